// Talks JSON to the server. What must arrive is sent again, unchanged, until the server answers.
const PATIENCE_MS = 20_000;
const WAITS_MS = [500, 1000, 2000, 4000, 5000];
const MOST_SERVER_ERRORS = 4;

function createConnection() {
  let wake = null; // ends the present wait

  async function ask(method, path, body) {
    const headers = { Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    let values = null;
    try {
      values = await response.json();
    } catch (error) {
      if (response.ok) throw error; // an answer that broke off is no answer
    }
    return { status: response.status, values: values ?? {}, wait_s: Number(response.headers.get("Retry-After")) || 0 };
  }

  const pause = (wait_ms) => new Promise((resolve) => {
    const timer = setTimeout(end, wait_ms);
    function end() {
      clearTimeout(timer);
      window.removeEventListener("online", end);
      wake = null;
      resolve();
    }
    wake = end;
    window.addEventListener("online", end);
  });

  // Returns {status, values} once the server has answered, however long that takes. `explain` is
  // the word for the time without a connection.
  async function deliver(method, path, body, explain) {
    let serverErrors = 0;
    for (let attempt = 0; ; attempt += 1) {
      let result = null;
      try {
        result = await ask(method, path, body);
      } catch {
        // no connection, or it broke off; whether the server has it is told by the next answer
      }
      if (result && result.status === 500) serverErrors += 1;
      const isAnswer = result && ![429, 502, 503, 504].includes(result.status);
      if (isAnswer && (result.status !== 500 || serverErrors >= MOST_SERVER_ERRORS)) {
        banner("");
        return result;
      }
      const wait_ms = WAITS_MS[Math.min(attempt, WAITS_MS.length - 1)];
      // A hiccup of half a second needs no words.
      if (attempt > 0 || !navigator.onLine)
        banner(`${result ? "The server is busy." : "No connection."} ${explain}`, () => wake?.());
      await pause(result?.wait_s ? result.wait_s * 1000 : wait_ms);
    }
  }

  return { ask, deliver, retryNow: () => wake?.() };
}

// Pictures come as bytes, once: they are not to be cached, and so that the next one is at hand.
function createPictureStore() {
  const held = new Map(); // address -> promise of an object URL
  function get(url) {
    if (!held.has(url)) {
      const loading = fetch(url, { credentials: "same-origin", cache: "no-store" })
        .then((response) => {
          if (!response.ok) throw new Error(`status ${response.status}`);
          return response.blob();
        })
        .then((blob) => URL.createObjectURL(blob));
      held.set(url, loading);
      loading.catch(() => held.delete(url));
    }
    return held.get(url);
  }
  function keepOnly(urls) {
    for (const [url, loading] of held) {
      if (urls.includes(url)) continue;
      held.delete(url);
      loading.then((address) => URL.revokeObjectURL(address), () => {});
    }
  }
  return { get, keepOnly };
}
