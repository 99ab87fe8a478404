// What the Study and the Results tab share; the script of the tab follows in the same function.
const SEEN_AGAIN_MS = 1500;
const page = element.closest("#study, #results") ?? document;
const ANSWERED = `${page.id}-answered`;
let focusedKey = null;

// ---- asking Python --------------------------------------------------------------------------

function setBusy(button, is) {
  button.toggleAttribute("aria-busy", is);
  page.classList.toggle("s-busy", is);
}

const endBusy = () => document.dispatchEvent(new CustomEvent(ANSWERED));

// Until Python has answered, or for so long at most.
function beBusy(button, atMost_ms) {
  setBusy(button, true);
  const patience = setTimeout(endBusy, atMost_ms);
  document.addEventListener(ANSWERED, () => {
    clearTimeout(patience);
    setBusy(button, false);
  }, { once: true });
}

// Enter in a field does what the form's main button does, and never leaves the page.
function askOnEnter(fields) {
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches(fields)) return;
    event.preventDefault();
    const button = event.target.form.querySelector(".s-primary[data-action]");
    if (button && !button.disabled) ask(button);
  });
}

// ---- what Python need not know --------------------------------------------------------------

async function copyText(button, text, selectInstead) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // No clipboard without https: what is to be copied is selected instead.
    selectInstead();
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => { button.textContent = label; }, 2500);
}

// ---- what is drawn again --------------------------------------------------------------------

element.addEventListener("focusin", (event) => { focusedKey = event.target.dataset.key ?? null; });
document.addEventListener("focusin", (event) => { if (!element.contains(event.target)) focusedKey = null; });

function giveBackFocus() {
  if (focusedKey === null || element.contains(document.activeElement)) return;
  element.querySelector(`[data-key="${CSS.escape(focusedKey)}"]`)?.focus({ preventScroll: true });
}

// The message is drawn with every answer.
function noticeAnswer() {
  const message = element.querySelector(".s-message");
  if (!message) return false;
  endBusy();
  if (!message.hidden) message.scrollIntoView({ block: "nearest" });
  return true;
}

// The tab is drawn when it comes into sight, and again when something may have happened meanwhile.
if (element.querySelector("[data-watch]")) {
  let seenAt = -Infinity;
  const look = () => {
    if (Date.now() - seenAt < SEEN_AGAIN_MS || page.classList.contains("s-busy")) return;
    seenAt = Date.now();
    trigger("click", { action: "seen", id: "", values: "{}" });
  };
  new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) look(); }).observe(page);
}
