// Small makers of page elements. Whatever came from people is put in as text, never as markup.
const one = (selector) => element.querySelector(selector);
const shell = one(".r-app");

// make("p.r-quiet", {hidden: true, onclick: f, "aria-label": "x"}, "text", child, null, ...)
function make(kind, settings = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, set] of Object.entries(value)) made.style.setProperty(key, set);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

const button = (text, onclick, settings = {}) =>
  make("button", { type: "button", class: "r-plain", onclick, ...settings }, text);

const paragraphs = (text) =>
  String(text ?? "").split(/\n\s*\n|\n/).filter((line) => line.trim()).map((line) => make("p", {}, line));

// Said to those who listen; repeated text must change to be spoken again.
function say(text) {
  const live = one(".r-live");
  live.textContent = live.textContent === text ? `${text} ` : text;
}

let toastTimer = 0;
function toast(text, lasts_ms = 6000) {
  const box = one(".r-toast");
  clearTimeout(toastTimer);
  box.textContent = text;
  box.hidden = false;
  toastTimer = setTimeout(() => { box.hidden = true; }, lasts_ms);
}

function untoast() {
  clearTimeout(toastTimer);
  one(".r-toast").hidden = true;
}

function banner(text, onretry = null) {
  const box = one(".r-banner");
  box.hidden = !text;
  if (box.firstElementChild.textContent !== text) box.firstElementChild.textContent = text;
  const retry = box.lastElementChild;
  retry.hidden = !onretry;
  retry.onclick = onretry;
}

// One dialogue at a time; the browser keeps the focus inside and gives it back.
function openDialog(title, ...children) {
  const dialog = one(".r-dialog");
  if (dialog.open) dialog.close();
  dialog.replaceChildren(
    make("div.r-dialog-head", {},
      make("h2", { id: "r-dialog-title" }, title),
      button("Close", closeDialog, { class: "r-plain" })),
    make("div.r-dialog-body", {}, ...children),
  );
  dialog.setAttribute("aria-labelledby", "r-dialog-title");
  dialog.showModal();
  return dialog;
}

function closeDialog() {
  const dialog = one(".r-dialog");
  if (dialog.open) dialog.close();
}

const isDialogOpen = () => one(".r-dialog").open;

// A page of words: headline, text, perhaps a form. The first button or field gets the focus.
function showPage(title, ...children) {
  shell.dataset.screen = "page";
  const heading = make("h1", { tabIndex: -1 }, title);
  const article = make("article.r-article", {}, heading, ...children);
  const page = make("div.r-page", {}, article);
  one(".r-main").replaceChildren(page);
  const first = article.querySelector("[data-first]") ?? heading;
  first.focus({ preventScroll: true });
  say(title);
  return article;
}
