// Hands what buttons ask to Python, fetches downloads so that an error keeps the page, and copies.
const BUSY_AT_MOST_MS = 60_000;
const LOCK_TRIES = 60;
const LOCK_WAIT_MS = 150;

// ---- asking Python --------------------------------------------------------------------------

function say(text, isNote = false) {
  const box = page.querySelector("#results-message .s-message");
  if (!box) return;
  const said = document.createElement("p");
  said.textContent = text;
  const close = Object.assign(document.createElement("button"), { type: "button", className: "s-small", textContent: "Close" });
  close.dataset.close = "";
  box.replaceChildren(said, close);
  box.classList.toggle("s-note", isNote);
  box.setAttribute("role", isNote ? "status" : "alert");
  box.hidden = false;
  box.scrollIntoView({ block: "nearest" });
}

function ask(button) {
  // A second press is none while the first one is not answered.
  if (page.classList.contains("s-busy")) return;
  beBusy(button, BUSY_AT_MOST_MS);
  const values = {};
  for (const input of button.closest("form")?.querySelectorAll("input[name]") ?? []) values[input.name] = input.value;
  trigger("click", { action: button.dataset.action, id: button.dataset.id ?? "", values: JSON.stringify(values) });
}

// ---- downloads --------------------------------------------------------------------------------

async function download(link) {
  if (link.hasAttribute("aria-busy")) return;
  link.setAttribute("aria-busy", "true");
  try {
    const shares = link.dataset.share && page.querySelector("[data-shares]")?.checked;
    const answer = await fetch(shares ? link.dataset.share : link.href);
    if (!answer.ok) {
      const told = await answer.json().catch(() => null);
      throw new Error(told?.error?.message ?? `The server answered with ${answer.status}. Try again in a moment.`);
    }
    const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "results";
    const url = URL.createObjectURL(await answer.blob());
    const saved = Object.assign(document.createElement("a"), { href: url, download: name });
    saved.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    say(error instanceof TypeError ? "The connection to the server broke off; nothing was saved. Try again." : error.message);
  } finally {
    link.removeAttribute("aria-busy");
  }
}

// ---- what Python need not know ----------------------------------------------------------------

function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  copyText(button, source.value, () => {
    source.hidden = false;
    source.rows = 12;
    source.select();
  });
}

// The lock is a screen of the Study tab: go there as a person would.
function goToLock(code) {
  const tab = [...document.querySelectorAll('[role="tab"]')].find((each) => each.textContent.trim() === "Study");
  if (!tab) return;
  tab.click();
  let tries = 0;
  const step = () => {
    const study = document.querySelector("#study"); // made when its tab is first seen
    if (++tries > LOCK_TRIES) return;
    const isHere = study?.querySelector("#study-top code")?.textContent === code;
    const lock = study?.querySelector('[data-action="go_screen"][data-id="lock"]');
    if (isHere && lock?.hasAttribute("aria-current")) {
      lock.focus();
      return;
    }
    const next = isHere ? lock : study?.querySelector(`[data-action="go_study"][data-id="${CSS.escape(code)}"]`) ?? study?.querySelector('[data-action="go_list"]');
    if (next && !study.classList.contains("s-busy")) next.click();
    setTimeout(step, LOCK_WAIT_MS);
  };
  setTimeout(step, LOCK_WAIT_MS);
}

// ---- events -----------------------------------------------------------------------------------

element.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-download]");
  if (link) {
    event.preventDefault();
    download(link);
    return;
  }
  const button = event.target.closest("button");
  if (!button || button.hasAttribute("aria-busy")) return;
  if (button.dataset.action) ask(button);
  else if (button.dataset.jump) document.getElementById(button.dataset.jump)?.scrollIntoView({ block: "start" });
  else if (button.dataset.copy) copy(button);
  else if (button.dataset.lock) goToLock(button.dataset.lock);
  else if ("close" in button.dataset) button.closest(".s-message").hidden = true;
});
element.addEventListener("submit", (event) => event.preventDefault());
askOnEnter("form input[type=text]");

watch("value", () => {
  noticeAnswer();
  giveBackFocus();
});
