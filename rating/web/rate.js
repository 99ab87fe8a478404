// The flow: the server says what comes next, this page shows it and brings the answers back.
const API = "/rate/api/";
const SAVING = "Your answer is kept and sent later.";
const READING = "Trying again…";
const STALE_MS = 1500;

const drafts = createDrafts();
const connection = createConnection();
const store = createPictureStore();
let state = null;
let stateAt = 0;
let revised = null; // the earlier item on the screen
let isSending = false;
let isOut = false; // signed out
let pauseSeenAt = -1;
let wasTooSmall = false;

const screen = createItemScreen(store, drafts, {
  onCommit: commit, onPrevious: openPrevious, onCancel: () => closeRevision(), onInput: arm,
});

const isRatingPhase = () => state?.phase === "practice" || state?.phase === "rating";

// ---- what the server said ----------------------------------------------------------------------

function adopt(next, word = "") {
  const before = state?.item ? `${state.item.token} ${state.item.step}` : "";
  state = next;
  stateAt = Date.now();
  isOut = false;
  drafts.use(state);
  revised = null;
  if (state.item) drafts.keepOnly([state.item.token]);
  const isNew = !state.item || before !== `${state.item.token} ${state.item.step}`;
  render(word, isNew);
}

function render(word = "", isNew = true) {
  drawTop();
  wasTooSmall = isTooSmall();
  if (wasTooSmall) {
    screen.leave();
    showTooNarrow(state.protocol.smallest_display_px, state.protocol.display === "side_by_side");
  } else if (isRatingPhase() && state.item) renderItem(word, isNew);
  else {
    screen.leave();
    store.keepOnly([]);
    const again = () => refresh(true);
    ({
      consent: () => showConsent(state, post), profile: () => showProfile(state, post),
      closing: () => showClosing(state, post), done: () => showDone(state),
      paused: () => showPaused(state, again), locked: () => showLocked(state),
      withdrawn: () => showWithdrawn(state),
    }[state.phase] ?? (() => showTrouble(`This page does not know the phase “${state.phase}”; reload it.`, () => location.reload())))();
  }
}

function renderItem(word, isNew) {
  const { progress, item } = state;
  const noted = drafts.noted();
  const isAtStart = progress.done === 0 && item.step === 1;
  const note = (values) => () => { drafts.note(values); render(); };
  const urls = [...item.images.map((image) => image.url), ...(state.next_images ?? [])];
  store.keepOnly(urls);
  for (const url of urls) store.get(url).catch(() => {});
  if (isAtStart && progress.practice_done === 0 && !noted.has_read) {
    screen.leave();
    return showInstructions(state, note({ has_read: true, has_started: !progress.practice_total }));
  }
  if (isAtStart && state.phase === "rating" && progress.practice_total && !noted.has_started) {
    screen.leave();
    return showStart(state, note({ has_started: true }));
  }
  if (progress.is_pause_offered && item.step === 1 && pauseSeenAt !== progress.done && isNew) {
    screen.leave();
    return showPause(state, () => { pauseSeenAt = progress.done; render(); });
  }
  const spoken = item.step > 1 ? "Saved. Now with the text." : `${word} ${countText()}.`;
  screen.show(item, { isRevision: false, spoken });
  shell.dataset.step = item.step;
}

function countText() {
  const { progress, item } = state;
  if (item?.is_practice) return `Practice ${Math.min(progress.practice_done + 1, progress.practice_total)} of ${progress.practice_total}`;
  return `Item ${Math.min(progress.done + 1, progress.total)} of ${progress.total}`;
}

function drawTop() {
  const { progress } = state;
  const isShown = isRatingPhase() && progress.total > 0;
  const isPractice = state.phase === "practice";
  const [done, total] = isPractice ? [progress.practice_done, progress.practice_total] : [progress.done, progress.total];
  const bar = one(".r-bar");
  bar.hidden = !isShown;
  bar.setAttribute("aria-valuemax", String(total));
  bar.setAttribute("aria-valuenow", String(done));
  bar.firstElementChild.style.width = `${total ? (100 * done) / total : 0}%`;
  one(".r-count").textContent = isShown ? countText() : "";
  one(".r-left").textContent = !isShown ? "" : isPractice ? "does not count" : timeLeft(progress, "about ").trim();
  shell.classList.toggle("r-practice", isPractice);
  one(".r-menu-button").hidden = false;
  one(".r-help-button").hidden = !isRatingPhase();
}

// On a phone two pictures beside each other are too small to be compared.
const isPhone = () => window.innerWidth < 720 || window.innerHeight < 440;
function isTooSmall() {
  if (!isRatingPhase()) return false;
  if (state.protocol.display === "side_by_side" && isPhone()) return true;
  return window.innerWidth < state.protocol.smallest_display_px;
}
window.addEventListener("resize", () => {
  if (!state || isOut || isSending || !isRatingPhase()) return;
  const is = isTooSmall();
  if (is !== wasTooSmall) {
    wasTooSmall = is;
    render("", false);
  }
});

// ---- asking -------------------------------------------------------------------------------------

// Returns the answer's status after dealing with what every request may be answered.
async function send(method, path, body, explain) {
  isSending = true;
  const result = await connection.deliver(method, path, body, explain);
  isSending = false;
  if (result.status === 401) signedOut(false);
  return result;
}

async function refresh(isAsked = false) {
  if (isSending) return;
  const result = await send("GET", `${API}state`, undefined, READING);
  if (result.status === 200) await afterState(result.values);
  else if (!isOut) showTrouble(result.values.error?.message, () => refresh(true));
  if (isAsked && state?.phase === "paused") toast("Still paused.");
}

// Whatever was on its way when the page was left goes first, unchanged.
async function afterState(values) {
  drafts.use(values);
  if (["paused", "locked", "withdrawn"].includes(values.phase)) return adopt(values);
  for (const [token, draft] of drafts.pending()) {
    const result = await send("POST", draft.pending.path, draft.pending.body, SAVING);
    if (isOut) return undefined;
    if (result.values.state) values = result.values.state;
    if (result.status !== 500 && !isHeldBack(result)) drafts.clear(token);
    if (result.status === 409) toast(result.values.error?.message ?? "");
  }
  return adopt(values);
}

// The study was paused meanwhile: the answer waits with it.
const isHeldBack = (result) => result.status === 409 && result.values.error?.code === "paused";

// Of the pages of words: returns what is wrong, or nothing.
async function post(name, body) {
  const { status, values } = await send("POST", API + name, body, READING);
  if (isOut) return "";
  if (values.state || values.phase) {
    adopt(values.state ?? values);
    if (status === 409) toast(values.error?.message ?? "");
    return "";
  }
  return values.error?.message || "The server could not take this. Try again.";
}

async function commit() {
  if (isSending || screen.isLocked || !screen.item) return;
  const body = screen.committed();
  if (!body) return;
  untoast();
  await deliver(screen.isRevision ? `${API}revise` : `${API}answers`, body);
}

async function deliver(path, body) {
  screen.hold(path, body);
  const result = await send("POST", path, body, SAVING);
  const { status, values } = result;
  const message = values.error?.message ?? "";
  if (isOut) return;
  if (values.state) {
    if (!isHeldBack(result)) drafts.clear(body.item);
    adopt(values.state, status === 200 ? "Saved." : "");
    if (status === 409) toast(message || "This was answered before; here is where you are.");
    else if (path.endsWith("revise")) toast("Change saved.", 2500);
  } else if (status === 422 || status === 413) {
    screen.release(values.error?.fields ?? {});
    toast(message || "This could not be taken as it is.");
  } else {
    // It is kept as it was sent, so that trying again cannot save it twice.
    openDialog("Not saved yet",
      make("p", {}, message || "The server could not answer."),
      make("p", {}, "Your answer is kept in this browser."),
      primary("Try again", () => { closeDialog(); deliver(path, body); }));
  }
}

function signedOut(isAsked) {
  isOut = true;
  const hasUnsent = drafts.pending().length > 0;
  screen.leave();
  closeDialog();
  banner("");
  store.keepOnly([]);
  for (const name of [".r-menu-button", ".r-help-button", ".r-bar"]) one(name).hidden = true;
  one(".r-count").textContent = one(".r-left").textContent = "";
  showSignedOut(isAsked, hasUnsent);
}

// ---- earlier items ------------------------------------------------------------------------------

async function openPrevious() {
  const token = screen.item?.previous;
  if (!token || !screen.item.can_revise || isSending || screen.isLocked) return;
  screen.stay();
  const result = await send("GET", `${API}items/${encodeURIComponent(token)}`, undefined, READING);
  if (isOut) return;
  if (result.values.item) {
    revised = result.values.item;
    screen.show(revised, {
      isRevision: true, revising: revised.is_practice ? "An earlier practice image" : `Changing item ${revised.number}`,
      cancel: "Leave as it was", spoken: "An earlier item. Change the answer and save, or leave it as it was.",
    });
    arm();
  } else {
    if (result.values.state) adopt(result.values.state);
    toast(result.values.error?.message ?? "That item cannot be changed any more.");
  }
}

function closeRevision() {
  if (!revised || screen.isLocked) return;
  drafts.clear(revised.token);
  revised = null;
  render();
}

// ---- the browser's Back button ------------------------------------------------------------------

// One entry of our own stands before leaving: Back closes what is open or goes to the item before.
function arm() {
  if (history.state?.rating !== "in") history.pushState({ rating: "in" }, "");
}
window.addEventListener("popstate", () => {
  if (isOut || !state) return;
  if (isDialogOpen()) {
    closeDialog();
    arm();
  } else if (revised) {
    closeRevision();
    arm();
  } else if (screen.item?.previous && screen.item.can_revise) openPrevious();
  else if (screen.item) toast("Press Back once more to leave. Everything you have sent is saved.");
});

// ---- staying true -------------------------------------------------------------------------------

// Another tab or device may have gone on meanwhile.
async function lookAgain() {
  if (document.hidden || isSending || isOut || !state || screen.isLocked || Date.now() - stateAt < STALE_MS) return;
  stateAt = Date.now();
  let result = null;
  try {
    result = await connection.ask("GET", `${API}state`);
  } catch {
    return;
  }
  if (isSending || screen.isLocked) return;
  if (result.status === 401) {
    signedOut(false);
    return;
  }
  if (result.status !== 200) return;
  const key = (each) => [each.phase, each.item?.token, each.item?.step, each.rater].join(" ");
  if (key(result.values) === key(state) || (revised && result.values.phase === state.phase)) return;
  const isMoved = isRatingPhase() && Boolean(result.values.item);
  adopt(result.values);
  if (isMoved) toast("Continued where you are now, from another window or device.");
}
document.addEventListener("visibilitychange", lookAgain);
window.addEventListener("focus", lookAgain);
window.addEventListener("pageshow", (event) => { if (event.persisted) { stateAt = 0; lookAgain(); } });
window.addEventListener("offline", () => banner("You are offline. What you answer is kept and sent later."));
window.addEventListener("online", () => { if (!isSending) banner(""); });
window.addEventListener("beforeunload", (event) => {
  if ((isSending && screen.isLocked) || (!drafts.isKept && screen.item)) event.preventDefault();
});
setInterval(() => { if (state?.phase === "paused") lookAgain(); }, 30_000);
