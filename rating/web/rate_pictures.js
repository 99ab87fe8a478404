// The picture, or several in step: zoom, pan, and points marked on them.
const MOST_SCALE = 8;
const STILL_PX = 8; // a finger that moves less has tapped
const DOUBLE_TAP_MS = 320;
const NATIVE_TIMES = 4; // a small picture is not blown up beyond this

// `told` has: onMark(slot, x, y), onReady(), onFailed(), onTouched()
function createPictures(told) {
  const view = { scale: 1, x: 0, y: 0 }; // x, y: shift of the middle, as a share of the frame
  const pointers = new Map();
  let stages = [];
  let isMarking = false;
  let isPixelated = false;
  let isKeyboard = false;
  let lastTap = { at: 0, x: 0, y: 0 };
  let travelled = 0;

  const zoomText = make("output.r-zoom", { "aria-live": "off" }, "100 %");
  const markNote = make("p.r-mark-note", { hidden: true });
  const tools = make("div.r-tools", { role: "group", "aria-label": "Zoom" },
    button("−", () => zoom(1 / 1.5), { "aria-label": "Zoom out", title: "Zoom out (−)" }),
    zoomText,
    button("+", () => zoom(1.5), { "aria-label": "Zoom in", title: "Zoom in (+)" }),
    button("Fit", fit, { title: "Whole picture (F)" }));
  const grid = make("div.r-stages", {});
  const host = make("section.r-pictures", { "aria-label": "Picture" }, grid, markNote, tools);

  function place() {
    const first = stages[0];
    if (!first) return;
    const frame = { width: first.frame.offsetWidth || 1, height: first.frame.offsetHeight || 1 };
    const most = (share, side) =>
      Math.max(0, (frame[side] * view.scale - first.stage[side === "width" ? "clientWidth" : "clientHeight"]) / 2) / frame[side];
    view.scale = Math.min(Math.max(view.scale, 1), MOST_SCALE);
    view.x = Math.min(Math.max(view.x, -most(view.x, "width")), most(view.x, "width"));
    view.y = Math.min(Math.max(view.y, -most(view.y, "height")), most(view.y, "height"));
    for (const { stage, frame: each } of stages) {
      each.style.transform = `translate(${view.x * 100}%, ${view.y * 100}%) scale(${view.scale})`;
      each.style.setProperty("--inverse", 1 / view.scale);
      stage.classList.toggle("r-zoomed", view.scale > 1);
    }
    zoomText.textContent = `${Math.round(view.scale * 100)} %`;
  }

  // Zooms about a point, in px from the middle of the stage, which stays where it is.
  function zoom(factor, px = 0, py = 0) {
    const frame = stages[0]?.frame;
    if (!frame) return;
    const scale = Math.min(Math.max(view.scale * factor, 1), MOST_SCALE);
    const [ax, ay] = [px / frame.offsetWidth, py / frame.offsetHeight];
    view.x = ax - ((ax - view.x) * scale) / view.scale;
    view.y = ay - ((ay - view.y) * scale) / view.scale;
    view.scale = scale;
    place();
  }
  function fit() {
    Object.assign(view, { scale: 1, x: 0, y: 0 });
    place();
  }
  function pan(x, y) {
    view.x += x / view.scale;
    view.y += y / view.scale;
    place();
  }
  const fromMiddle = (stage, event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  };

  function tap(each, event) {
    if (isMarking) {
      const box = each.frame.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      if (x >= 0 && x <= 1 && y >= 0 && y <= 1) told.onMark(each.slot, x, y);
      return;
    }
    const isDouble = event.timeStamp - lastTap.at < DOUBLE_TAP_MS
      && Math.hypot(event.clientX - lastTap.x, event.clientY - lastTap.y) < 30;
    lastTap = { at: isDouble ? 0 : event.timeStamp, x: event.clientX, y: event.clientY };
    if (!isDouble) return;
    if (view.scale > 1) fit();
    else zoom(2.5, ...fromMiddle(each.stage, event));
  }

  function listen(each) {
    const { stage } = each;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      told.onTouched();
      setKeyboard(false);
      if (!pointers.size) travelled = 0;
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (pointers.size > 1) travelled = Infinity;
    });
    stage.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = { x: event.clientX, y: event.clientY };
      travelled += Math.hypot(now.x - before.x, now.y - before.y);
      if (pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const gap = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
        const middle = { clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 };
        zoom(gap(now, other) / gap(before, other), ...fromMiddle(stage, middle));
        pan(((now.x - before.x) / 2 / each.frame.offsetWidth) * view.scale, ((now.y - before.y) / 2 / each.frame.offsetHeight) * view.scale);
      } else if (travelled > STILL_PX) {
        view.x += (now.x - before.x) / each.frame.offsetWidth;
        view.y += (now.y - before.y) / each.frame.offsetHeight;
        place();
      }
      Object.assign(before, now);
    });
    stage.addEventListener("pointerup", (event) => {
      if (pointers.delete(event.pointerId) && !pointers.size && travelled <= STILL_PX) tap(each, event);
    });
    stage.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      told.onTouched();
      const [px, py] = fromMiddle(stage, event);
      zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0025)), px, py);
    }, { passive: false });
    stage.addEventListener("keydown", (event) => onKey(each, event));
    stage.addEventListener("focus", () => setKeyboard(stage.matches(":focus-visible")));
    stage.addEventListener("blur", () => setKeyboard(false));
  }

  // With the picture in focus: arrows move it, or the cross that marks; Enter or space marks.
  function onKey(each, event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 0.01 : 0.05;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (move && isMarking) {
      setKeyboard(true);
      each.cross.x = Math.min(Math.max(each.cross.x + move[0], 0), 1);
      each.cross.y = Math.min(Math.max(each.cross.y + move[1], 0), 1);
      drawCross(each);
    } else if (move && view.scale > 1) pan(-2 * move[0], -2 * move[1]);
    else if (event.key === "0") fit();
    else if (isMarking && (event.key === "Enter" || event.key === " ") && !event.repeat) {
      setKeyboard(true);
      told.onMark(each.slot, each.cross.x, each.cross.y);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function drawCross(each) {
    each.cross.made.hidden = !(isMarking && isKeyboard && document.activeElement === each.stage);
    each.cross.made.style.left = `${each.cross.x * 100}%`;
    each.cross.made.style.top = `${each.cross.y * 100}%`;
  }
  function setKeyboard(value) {
    isKeyboard = value;
    stages.forEach(drawCross);
  }

  function build(image, count) {
    const name = count > 1 ? `Image ${slotName(image.slot)}` : "Image";
    const picture = make("img", { alt: name, draggable: "false", width: image.width_px, height: image.height_px });
    const cross = make("span.r-cross", { hidden: true, "aria-hidden": "true" });
    const frame = make("div.r-frame", {
      style: { "--ratio": image.width_px / image.height_px, "--most": `${image.width_px * NATIVE_TIMES}px` },
    }, picture, cross);
    const failed = make("div.r-failed", { hidden: true });
    const stage = make("div.r-stage", {
      tabIndex: 0, role: "group",
      "aria-label": `${name}. Plus and minus zoom, arrow keys move it when it is zoomed.`,
    }, frame, failed);
    const slot = make("div.r-slot", {}, count > 1 ? make("p.r-slot-name", {}, name) : null, stage);
    const each = { slot: image.slot, url: image.url, stage, frame, picture, failed, made: slot, cross: { made: cross, x: 0.5, y: 0.5 }, isReady: false };
    listen(each);
    return each;
  }

  async function load(each, store) {
    each.failed.hidden = true;
    try {
      each.picture.src = await store.get(each.url);
      await each.picture.decode();
    } catch {
      if (!stages.includes(each)) return;
      each.failed.replaceChildren(
        make("p", {}, "The picture could not be loaded."),
        button("Load again", () => load(each, store), { class: "r-plain r-on-grey" }));
      each.failed.hidden = false;
      told.onFailed();
      return;
    }
    if (!stages.includes(each)) return;
    each.isReady = true;
    each.frame.classList.add("r-ready");
    if (stages.every((other) => other.isReady)) told.onReady();
  }

  new ResizeObserver(place).observe(grid);
  window.addEventListener("online", () => {
    for (const each of stages) if (!each.failed.hidden) each.failed.querySelector("button")?.click();
  });

  return {
    host, zoom, fit,
    show(images, store) {
      Object.assign(view, { scale: 1, x: 0, y: 0 });
      pointers.clear();
      stages = images.map((image) => build(image, images.length));
      grid.replaceChildren(...stages.map((each) => each.made));
      grid.style.setProperty("--slots", images.length);
      host.classList.toggle("r-many", images.length > 2);
      for (const each of stages) load(each, store);
      place();
    },
    drawMarks(marks) {
      for (const each of stages) {
        for (const old of each.frame.querySelectorAll(".r-mark")) old.remove();
        marks.filter((mark) => mark.slot === each.slot).forEach((mark, index) => {
          each.frame.append(make("span.r-mark", {
            "aria-hidden": "true", style: { left: `${mark.x * 100}%`, top: `${mark.y * 100}%` },
          }, String(index + 1)));
        });
      }
    },
    setMarking(value) {
      isMarking = value;
      host.classList.toggle("r-marking", value);
      markNote.textContent = "Tap the picture to mark a point";
      markNote.hidden = !value;
      stages.forEach(drawCross);
    },
    focus: (slot = 0) => stages.find((each) => each.slot === slot)?.stage.focus({ preventScroll: true }),
    togglePixels() {
      isPixelated = !isPixelated;
      host.classList.toggle("r-pixels", isPixelated);
      return isPixelated;
    },
    get isMarking() { return isMarking; },
    get isReady() { return stages.length > 0 && stages.every((each) => each.isReady); },
    get isPixelated() { return isPixelated; },
  };
}

const slotName = (slot) => String.fromCharCode(65 + slot);
