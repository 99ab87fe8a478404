// What is collapsed until wanted: seen before, defect tags, marks, a remark.
const LONGEST_REMARK = 2000;
const MOST_MARKS = 20;

// `input` holds is_seen_before, tags, marks, remark and is changed here; `told` has onChange(),
// onOpen() and setMarking(is).
function createExtras(item, input, told) {
  const slots = item.images.map((image) => image.slot);
  const panels = {};
  const openers = {};
  const seen = make("button.r-extra", {
    type: "button", "aria-pressed": "false", title: "I have seen this image before (S)", onclick: toggleSeen,
  }, item.images.length > 1 ? "Seen these before" : "Seen this before");
  const row = make("div.r-extras", { role: "group", "aria-label": "More about this image" }, seen);
  const made = make("div.r-more", {}, row);
  const tagList = make("div.r-tags", {});
  const markList = make("ol.r-marks", {});
  const markHint = make("p.r-quiet", {});
  const remark = make("textarea", {
    rows: 3, maxLength: LONGEST_REMARK, "aria-label": "Remark on this image",
    oninput: () => { input.remark = remark.value; told.onChange(); draw(); },
  });
  remark.value = input.remark;

  function toggleSeen() {
    input.is_seen_before = !input.is_seen_before;
    told.onChange();
    draw();
  }
  function addPanel(name, title, key, ...children) {
    const id = `r-panel-${name}`;
    panels[name] = make("div.r-panel-more", { id, hidden: true }, ...children);
    openers[name] = make("button.r-extra", {
      type: "button", "aria-expanded": "false", "aria-controls": id, title: `${title} (${key})`, "data-name": title,
      onclick: () => toggle(name),
    }, title);
    row.append(openers[name]);
    made.append(panels[name]);
  }
  function toggle(name, is = panels[name].hidden) {
    for (const [other, panel] of Object.entries(panels)) {
      panel.hidden = other !== name || !is;
      openers[other].setAttribute("aria-expanded", String(!panel.hidden));
    }
    told.setMarking(name === "mark" && is);
    if (is) {
      told.onOpen();
      panels[name].scrollIntoView({ block: "nearest" });
    }
    return is;
  }

  const isTagged = (slot, tag) => input.tags.some((each) => each.slot === slot && each.tag === tag);
  function toggleTag(slot, tag) {
    input.tags = isTagged(slot, tag)
      ? input.tags.filter((each) => each.slot !== slot || each.tag !== tag)
      : [...input.tags, { slot, tag }];
    told.onChange();
    draw();
  }
  for (const slot of item.tags.length ? slots : [])
    tagList.append(make("div.r-tag-row", { role: "group", "aria-label": slots.length > 1 ? `Defects of image ${slotName(slot)}` : "Defects" },
      slots.length > 1 ? make("span.r-slot-letter", { "aria-hidden": "true" }, slotName(slot)) : null,
      ...item.tags.map((tag) => make("button.r-tag", {
        type: "button", "data-slot": String(slot), "data-tag": tag, onclick: () => toggleTag(slot, tag),
      }, tag))));
  if (item.tags.length) addPanel("tags", "Defects", "T", tagList);
  addPanel("mark", "Mark", "M", markHint, markList);
  addPanel("remark", "Remark", "R", remark, make("p.r-quiet", {}, "Please name nobody in a remark."));

  function removeMark(at) {
    input.marks.splice(at, 1);
    told.onChange();
    draw();
    say("The point is removed.");
  }
  function drawMarks() {
    markHint.textContent = input.marks.length >= MOST_MARKS
      ? `No more than ${MOST_MARKS} points.`
      : matchMedia("(pointer: fine)").matches ? "Keys: arrows move the cross, Enter marks, Delete removes the last point." : "";
    markHint.hidden = !markHint.textContent;
    // Numbered within each picture, as on it.
    markList.replaceChildren(...input.marks.map((mark, at) => {
      const number = input.marks.slice(0, at + 1).filter((each) => each.slot === mark.slot).length;
      const kind = make("select", { "aria-label": `What is at point ${number}`, onchange: () => {
        mark.tag = kind.value || null;
        told.onChange();
      } }, make("option", { value: "" }, "no tag"), ...item.tags.map((tag) => make("option", { value: tag }, tag)));
      kind.value = mark.tag ?? "";
      return make("li", {},
        make("span.r-mark-number", {}, String(number)),
        slots.length > 1 ? make("span", {}, `Image ${slotName(mark.slot)}`) : null,
        item.tags.length ? kind : null,
        button("Remove", () => removeMark(at), { "aria-label": `Remove point ${number}` }));
    }));
  }
  function count(name, number, word) {
    if (!openers[name]) return;
    openers[name].textContent = number ? `${openers[name].dataset.name} · ${word}` : openers[name].dataset.name;
    openers[name].classList.toggle("r-filled", number > 0);
  }
  function draw() {
    seen.setAttribute("aria-pressed", String(input.is_seen_before));
    for (const chip of tagList.querySelectorAll("button"))
      chip.setAttribute("aria-pressed", String(isTagged(Number(chip.dataset.slot), chip.dataset.tag)));
    count("tags", input.tags.length, String(input.tags.length));
    count("mark", input.marks.length, String(input.marks.length));
    count("remark", input.remark.trim().length, "yes");
    drawMarks();
    told.drawMarks(input.marks);
  }
  draw();

  return {
    made, toggleSeen, toggle,
    has: (name) => Boolean(panels[name]),
    isOpen: () => Object.values(panels).some((panel) => !panel.hidden),
    isShown: (name) => panels[name] && !panels[name].hidden,
    close: () => { for (const name of Object.keys(panels)) toggle(name, false); },
    focusTags: () => tagList.querySelector("button")?.focus(),
    focusRemark: () => remark.focus(),
    addMark(slot, x, y) {
      if (input.marks.length >= MOST_MARKS) return;
      const rounded = (share) => Math.round(Math.min(Math.max(share, 0), 1) * 10_000) / 10_000;
      input.marks.push({ slot, x: rounded(x), y: rounded(y), tag: null });
      told.onChange();
      draw();
      say("Point marked.");
    },
    removeLastMark: () => { if (input.marks.length) removeMark(input.marks.length - 1); },
    lock(is) { for (const each of made.querySelectorAll("button, select, textarea")) each.disabled = is; },
  };
}
