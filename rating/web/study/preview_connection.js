// Stands in for the server: every answer leads to the next of the states told beforehand.
function createConnection() {
  let at = 0;
  const answerOf = (method, path) => {
    if (method === "POST" && /withdraw|sign-out/.test(path)) return { status: 409, values: { error: { message: "Not in a preview." } }, wait_s: 0 };
    if (method === "POST") at = Math.min(at + 1, states.length - 1);
    const state = states[at];
    return { status: 200, values: path.endsWith("answers") ? { result: "saved", state } : state, wait_s: 0 };
  };
  const ask = async (method, path) => answerOf(method, path);
  return { ask, deliver: ask, retryNow() {} };
}
