// Hands what buttons ask to Python, with the values of the form around them, and looks after what
// Python need not know: boxes ticked together, parts of a form that depend on a choice, copying.
const BUSY_AT_MOST_MS = 180_000;

// ---- values of a form -----------------------------------------------------------------------

async function valueOf(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.type !== "file") return input.value;
  const file = input.files[0];
  if (!file) return "";
  if (input.dataset.read === "text") return file.size > 500_000 ? "" : file.text();
  return (await upload(file)).path;
}

async function valuesOf(scope) {
  const values = {};
  const isIn = (input, group) => input.closest("[data-group]") === group;
  for (const input of scope.querySelectorAll("[name]")) {
    if (!input.matches("input, select, textarea") || !isIn(input, scope.closest("[data-group]"))) continue;
    const ticks = input.closest("[data-ticks]");
    if (ticks) {
      values[ticks.dataset.ticks] ??= [];
      if (input.checked) values[ticks.dataset.ticks].push(input.value);
    } else if (input.type === "radio") {
      if (input.checked) values[input.name] = input.value;
    } else if (!input.closest("[hidden]") || input.type !== "file") {
      values[input.name] = await valueOf(input);
    }
  }
  for (const group of scope.querySelectorAll("[data-group]")) {
    values[group.dataset.group] = [];
    for (const item of group.querySelectorAll("[data-item]")) values[group.dataset.group].push(await valuesOf(item));
  }
  return values;
}

// What was typed into the other forms of this part of the page outlives that it is drawn again.
let typed = new Map();

function keepTyped(button) {
  typed = new Map();
  for (const form of element.querySelectorAll("form.s-dirty[data-form]")) {
    if (form.contains(button)) continue;
    const inputs = [...form.querySelectorAll("[name]:not([type=file])")].filter((input) => !input.closest("[data-ticks], [data-group]"));
    typed.set(form.dataset.form, inputs.map((input) => [input.name, input.value, input.checked, input.type]));
  }
}

function giveBackTyped() {
  for (const [name, inputs] of typed) {
    const form = element.querySelector(`form[data-form="${name}"]:not(.s-dirty)`);
    if (!form) continue;
    for (const [field, value, isChecked, type] of inputs) {
      const isOne = type === "radio" || type === "checkbox";
      const input = form.querySelector(isOne ? `[name="${field}"][value="${CSS.escape(value)}"]` : `[name="${field}"]`) ?? form.querySelector(`[name="${field}"]`);
      if (input && isOne) input.checked = isChecked;
      else if (input) input.value = value;
    }
    form.classList.add("s-dirty");
  }
}

// ---- asking Python --------------------------------------------------------------------------

function fail(text) {
  const box = page.querySelector("#study-message .s-message");
  if (!box) return;
  const said = document.createElement("p");
  said.textContent = text;
  box.replaceChildren(said);
  box.classList.remove("s-note");
  box.hidden = false;
}

const answered = () => new Promise((resolve) => {
  document.addEventListener(ANSWERED, () => setTimeout(resolve), { once: true });
});

async function ask(button) {
  // A second press on the same button is none; one on another waits for its turn.
  if (button.hasAttribute("aria-busy")) return;
  while (page.classList.contains("s-busy")) await answered();
  if (!button.isConnected) return;
  if (button.dataset.confirm && !(await confirmed(button.dataset.confirm, button.dataset.yes))) return;
  const dirty = page.querySelector("form.s-dirty[data-dirty]");
  if (dirty && !button.closest("form.s-dirty") && !(await confirmed(dirty.dataset.dirty, "Leave"))) return;
  beBusy(button, BUSY_AT_MOST_MS);
  keepTyped(button);
  const form = button.closest("form");
  let values = {};
  try {
    // What all sources share stands in a form of its own.
    for (const shared of page.querySelectorAll("form[data-with]")) Object.assign(values, await valuesOf(shared));
    if (form) Object.assign(values, await valuesOf(form));
  } catch {
    endBusy();
    fail("The file could not be sent: the connection broke off, or it is larger than this server takes. Nothing was changed; try again, or use a folder on the server.");
    return;
  }
  const asked = { action: button.dataset.action, id: button.dataset.id ?? "", values: JSON.stringify(values) };
  trigger(button.dataset.slow === undefined ? "click" : "submit", asked);
}

function confirmed(text, yes = "Yes") {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    dialog.className = "s-dialog";
    const said = document.createElement("p");
    said.textContent = text;
    const make = (label, className) => Object.assign(document.createElement("button"), { type: "button", textContent: label, className });
    const [no, go] = [make("Cancel", "s-small"), make(yes, "s-primary")];
    const actions = document.createElement("p");
    actions.className = "s-actions";
    actions.append(no, go);
    dialog.append(said, actions);
    dialog.setAttribute("aria-label", text);
    // Among the regions, where the styles hold and nothing is drawn again.
    (page.querySelector("#study-regions")?.parentElement ?? page).append(dialog);
    no.onclick = () => dialog.close();
    go.onclick = () => dialog.close("yes");
    dialog.onclose = () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    };
    dialog.showModal();
    no.focus();
  });
}

// ---- what Python need not know ---------------------------------------------------------------

function tickAll(button) {
  const boxes = button.closest("form").querySelectorAll("[data-ticks] input");
  for (const box of boxes) box.checked = button.dataset.tick === "all";
  countTicks();
}

function countTicks() {
  for (const form of element.querySelectorAll("form:has([data-ticks])")) {
    const count = form.querySelectorAll("[data-ticks] input:checked").length;
    const all = form.querySelectorAll("[data-ticks] input").length;
    let said = form.querySelector(".s-count");
    if (!said) {
      said = Object.assign(document.createElement("span"), { className: "s-count s-quiet" });
      form.querySelector(".s-ticking")?.before(said);
    }
    said.textContent = `${count} of ${all} ticked`;
  }
}

function showParts() {
  for (const part of element.querySelectorAll("[data-when]")) {
    const [name, wanted] = part.dataset.when.split("=");
    const scope = part.closest("form");
    const chosen = scope.querySelector(`[name="${name}"]:checked`);
    part.hidden = wanted === undefined ? !chosen : chosen?.value !== wanted;
  }
}

function moveItem(button) {
  const form = button.closest("form");
  const item = button.closest("[data-item]");
  if (button.dataset.move === "add") {
    const group = form.querySelector("[data-group]");
    const made = group.querySelector("template").content.firstElementChild.cloneNode(true);
    group.querySelector("template").before(made);
    made.querySelector("input").focus();
  } else if (button.dataset.move === "out") {
    item.remove();
  } else {
    const other = button.dataset.move === "up" ? item.previousElementSibling : item.nextElementSibling;
    if (!other?.matches("[data-item]")) return;
    if (button.dataset.move === "up") other.before(item);
    else other.after(item);
    button.focus();
  }
  form.classList.add("s-dirty");
}

const addressOf = (path) => new URL(path, location.href).href;

function copy(button, text) {
  copyText(button, text, () => {
    const shown = button.closest("li, p")?.querySelector("code");
    if (shown) getSelection().selectAllChildren(shown);
  });
}

// The frame keeps the width of the device that it plays, drawn smaller where there is less room.
let playedWidth_px = 0;
function setWidth(width_px) {
  const box = element.querySelector(".s-preview");
  if (!box || !box.clientWidth) return;
  playedWidth_px = width_px;
  const isPhone = width_px < 500;
  const frame_px = isPhone ? Math.min(width_px, box.clientWidth) : width_px;
  const height_px = isPhone ? 844 : width_px < 1000 ? 1100 : 900;
  const scale = Math.min(1, box.clientWidth / frame_px);
  Object.assign(box.firstElementChild.style, { width: `${frame_px}px`, height: `${height_px}px`, transform: scale < 1 ? `scale(${scale})` : "" });
  box.style.height = `${height_px * scale}px`;
  for (const button of element.querySelectorAll("[data-width]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.width) === width_px));
  }
}
const boxes = new ResizeObserver(() => setWidth(playedWidth_px));

function markFaults() {
  const main = page.querySelector("#study-main");
  for (const old of main?.querySelectorAll("[aria-invalid]") ?? []) old.removeAttribute("aria-invalid");
  for (const line of element.querySelectorAll("li")) {
    const name = line.textContent.split(":")[0].trim();
    const question = name.match(/^questions\[(\d+)\]/);
    const found = question
      ? main?.querySelectorAll("[data-item]")[Number(question[1]) - 1]?.querySelector("[name]")
      : /^[\w.]+$/.test(name) && main?.querySelector(`[name="${name}"]`);
    if (found) found.setAttribute("aria-invalid", "true");
  }
}

function dress() {
  for (const shown of element.querySelectorAll("[data-join]")) shown.textContent = addressOf(shown.dataset.join);
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  for (const warning of element.querySelectorAll("[data-local]")) warning.hidden = !isLocal;
  countTicks();
  showParts();
  boxes.disconnect();
  const box = element.querySelector(".s-preview");
  if (!box) return;
  playedWidth_px ||= window.innerWidth < 700 ? 390 : 1440;
  boxes.observe(box);
}

// ---- events -----------------------------------------------------------------------------------

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || button.hasAttribute("aria-busy")) return;
  const { action, tick, move, copyJoin, copy: copied, width } = button.dataset;
  if (action) ask(button);
  else if (tick) tickAll(button);
  else if (move) moveItem(button);
  else if (copyJoin) copy(button, addressOf(copyJoin));
  else if (copied) copy(button, document.getElementById(copied).textContent);
  else if (width) setWidth(Number(width));
  else if ("copyAll" in button.dataset) {
    const lines = [...element.querySelectorAll("li")].map((line) =>
      `${line.querySelector("b").textContent}\t${line.querySelector("code").textContent}`);
    copy(button, lines.join("\n"));
  } else if ("close" in button.dataset) button.closest(".s-message").hidden = true;
});
element.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.target.querySelector(".s-primary[data-action]");
  if (button && !button.disabled) ask(button);
});
askOnEnter("form input:not([type=checkbox], [type=radio], [type=file])");
element.addEventListener("input", (event) => {
  event.target.form?.classList.add("s-dirty");
  if (event.target.matches("[data-item] [name=text]")) {
    event.target.closest("[data-item]").querySelector("[data-title]").textContent = event.target.value || "New question";
  }
  event.target.removeAttribute("aria-invalid");
  countTicks();
  showParts();
});

watch("value", () => {
  if (noticeAnswer()) markFaults();
  giveBackTyped();
  dress();
  giveBackFocus();
});
dress();
