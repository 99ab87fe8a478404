// Zoom and pan of all pictures together, a slider between two of them, and which are chosen. What is
// zoomed, chosen and unfolded is kept here, because Python redraws the pictures while a job runs.
const MOST = 8;
const view = { scale: 1, x: 0, y: 0 };
const chosen = new Set();
const unfolded = new Set();
const compared = { isOpen: false, left: "", right: "", share: 0.5 };
const pointers = new Map();
let job = null;

const within = (value, least, most) => Math.min(Math.max(value, least), most);
const all = (selector) => element.querySelectorAll(selector);
const one = (selector) => element.querySelector(selector);

// x and y are the place of the picture's upper left corner, as a share of its frame.
function place() {
  view.scale = within(view.scale, 1, MOST);
  view.x = within(view.x, 1 - view.scale, 0);
  view.y = within(view.y, 1 - view.scale, 0);
  const moved = `translate(${view.x * 100}%, ${view.y * 100}%) scale(${view.scale})`;
  for (const frame of all(".m-view")) {
    frame.classList.toggle("m-zoomed", view.scale > 1);
    for (const image of frame.querySelectorAll(".m-image")) image.style.transform = moved;
  }
  const told = one(".m-zoom");
  if (told) told.textContent = `${Math.round(view.scale * 100)} %`;
}

// Zooms about a point of the frame (shares of its sides), which then stays where it is.
function zoom(factor, px = 0.5, py = 0.5) {
  const scale = within(view.scale * factor, 1, MOST);
  view.x = px - ((px - view.x) * scale) / view.scale;
  view.y = py - ((py - view.y) * scale) / view.scale;
  view.scale = scale;
  place();
}

function reset() {
  Object.assign(view, { scale: 1, x: 0, y: 0 });
  place();
}

function share(frame, event) {
  const box = frame.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function divide(value) {
  compared.share = within(value, 0, 1);
  const percent = Math.round(compared.share * 100);
  const over = one(".m-over");
  const handle = one(".m-handle");
  if (!over || !handle) return;
  over.style.clipPath = `inset(0 0 0 ${percent}%)`;
  handle.style.left = `${percent}%`;
  handle.setAttribute("aria-valuenow", String(percent));
  handle.setAttribute("aria-valuetext", `${percent} % of the left picture`);
}

function drawCompared() {
  const panel = one(".m-compare");
  if (!panel) return;
  panel.hidden = !compared.isOpen;
  one('[data-view="compare"]').setAttribute("aria-expanded", String(compared.isOpen));
  for (const side of ["left", "right"]) {
    const select = panel.querySelector(`[data-compare="${side}"]`);
    const options = [...select.options];
    if (!options.some((option) => option.value === compared[side]))
      compared[side] = options[side === "left" ? 0 : 1].value;
    select.value = compared[side];
    const option = select.selectedOptions[0];
    const image = panel.querySelector(`.m-${side}`);
    if (compared.isOpen && image.getAttribute("src") !== option.dataset.url) image.src = option.dataset.url;
    image.alt = `${side === "left" ? "Left" : "Right"}: ${option.textContent}`;
  }
  divide(compared.share);
}

function drawChosen() {
  for (const box of all("[data-choose]")) box.checked = chosen.has(box.dataset.choose);
  const button = one('[data-action="study"]');
  if (!button) return;
  button.textContent = chosen.size ? `Send ${chosen.size} chosen to a study` : "Send all to a study";
  button.dataset.id = chosen.size ? [...chosen].join(",") : button.dataset.all;
}

function redraw() {
  const shown = one(".m-job")?.dataset.job ?? null;
  if (shown !== job) {
    job = shown;
    chosen.clear();
    unfolded.clear();
    Object.assign(compared, { isOpen: false, left: "", right: "", share: 0.5 });
    Object.assign(view, { scale: 1, x: 0, y: 0 });
  }
  // A drag goes on over a redraw, unless the picture under it is gone.
  for (const [id, { frame }] of pointers) if (!frame.isConnected) pointers.delete(id);
  for (const record of all("details[data-unfold]")) record.open = unfolded.has(record.dataset.unfold);
  place();
  drawCompared();
  drawChosen();
}

element.addEventListener("click", (event) => {
  const action = event.target.closest("[data-view]")?.dataset.view;
  if (action === "in") zoom(1.5);
  if (action === "out") zoom(1 / 1.5);
  if (action === "reset") reset();
  if (action === "compare") {
    compared.isOpen = !compared.isOpen;
    drawCompared();
    place();
  }
});
element.addEventListener("change", (event) => {
  const { choose, compare } = event.target.dataset;
  if (choose) {
    if (event.target.checked) chosen.add(choose);
    else chosen.delete(choose);
    drawChosen();
  }
  if (compare) {
    compared[compare] = event.target.value;
    drawCompared();
    place();
  }
});
// Toggle events do not bubble.
element.addEventListener("toggle", (event) => {
  const name = event.target.dataset.unfold;
  if (!name || !event.target.isConnected) return;
  if (event.target.open) unfolded.add(name);
  else unfolded.delete(name);
}, true);
element.addEventListener("wheel", (event) => {
  const frame = event.target.closest(".m-view");
  // Without the key the wheel scrolls the page; a pinch on a touch pad comes with it set.
  if (!frame || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 300), ...share(frame, event));
}, { passive: false });
element.addEventListener("dblclick", (event) => {
  const frame = event.target.closest(".m-view");
  if (!frame || event.target.closest(".m-handle")) return;
  if (view.scale > 1) reset();
  else zoom(2.5, ...share(frame, event));
});
element.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches(".m-handle")) {
    const step = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    divide(compared.share + step);
    return;
  }
  if (!event.target.matches(".m-view")) return;
  const moves = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
  if (event.key === "+" || event.key === "=") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else if (event.key === "0") reset();
  else if (event.key in moves && view.scale > 1) {
    view.x += moves[event.key][0];
    view.y += moves[event.key][1];
    place();
  } else return;
  event.preventDefault();
});
element.addEventListener("pointerdown", (event) => {
  const handle = event.target.closest(".m-handle");
  const frame = event.target.closest(".m-view");
  if (!frame || event.button) return;
  (handle ?? frame).setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, frame, isHandle: Boolean(handle) });
});
element.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const box = before.frame.getBoundingClientRect();
  if (before.isHandle) divide(share(before.frame, event)[0]);
  else if (pointers.size === 2) {
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const gap = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
    const now = { x: event.clientX, y: event.clientY };
    const middle = { clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 };
    zoom(gap(now, other) / gap(before, other), ...share(before.frame, middle));
  } else if (view.scale > 1) {
    view.x += (event.clientX - before.x) / box.width;
    view.y += (event.clientY - before.y) / box.height;
    place();
  }
  before.x = event.clientX;
  before.y = event.clientY;
});
for (const end of ["pointerup", "pointercancel"])
  element.addEventListener(end, (event) => pointers.delete(event.pointerId));

watch("value", redraw);
redraw();
