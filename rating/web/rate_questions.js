// One question with its labelled points and "cannot judge": native radio buttons, so that every
// reader and every key works as people know it.
const LONGEST_LABEL = 26;
const MOST_ABREAST = 7;
const LABEL_SIZES_PX = [14, 13, 12, 11];

// `told` has: onAnswer(code, value or null for cannot judge, isPointer), onFocus(code)
function createQuestion(question, answer, told) {
  const id = `r-q-${question.code}`;
  const isPreference = question.kind === "preference";
  const labels = question.points.map(({ label }) => (isPreference ? `Image ${label}` : String(label)));
  const mayAbreast = labels.length <= MOST_ABREAST && labels.every((label) => label.length <= LONGEST_LABEL);
  let isAbreast = mayAbreast;
  let byPointer_ms = -Infinity;

  function point(value, label, digit) {
    const input = make("input", { type: "radio", name: id, value: String(value ?? ""), id: `${id}-${value ?? "none"}` });
    input.checked = answer !== undefined && answer === value;
    input.addEventListener("change", () =>
      told.onAnswer(question.code, value, performance.now() - byPointer_ms < 700));
    input.addEventListener("focus", () => told.onFocus(question.code));
    return make(value === null ? "label.r-point.r-cannot" : "label.r-point", {}, input,
      digit === null ? null : make("span.r-digit", { "aria-hidden": "true" }, String(digit)),
      make("span.r-label", {}, label));
  }

  const points = question.points.map(({ value }, index) => point(value, labels[index], index + 1));
  const cannot = question.has_cannot_judge
    ? point(null, isPreference ? "No preference" : "Cannot judge", null) : null;
  const list = make("div.r-points", { style: { "--points": points.length } }, ...points);
  const made = make("div.r-question", { role: "radiogroup", "aria-labelledby": id, "data-code": question.code, tabIndex: -1 },
    make("div.r-question-head", {}, make("h2", { id }, question.text), cannot), list);

  // No word of a label is ever broken: the largest size that fits, else the points below each other.
  function fitLabels() {
    const room_px = list.clientWidth / points.length - 6;
    const words = labels.flatMap((label) => label.split(/\s+|(?<=-)/));
    const ruler = document.createElement("canvas").getContext("2d");
    const size_px = LABEL_SIZES_PX.find((size) => {
      ruler.font = `${size}px ${getComputedStyle(list).fontFamily}`;
      return Math.max(...words.map((word) => ruler.measureText(word).width)) <= room_px;
    });
    isAbreast = mayAbreast && size_px !== undefined;
    list.classList.toggle("r-abreast", isAbreast);
    if (size_px) list.style.setProperty("--label", `${size_px / 16}rem`);
  }
  list.classList.toggle("r-abreast", isAbreast);
  const observer = new ResizeObserver(fitLabels);
  observer.observe(list);
  made.addEventListener("pointerup", () => { byPointer_ms = performance.now(); }, true);
  made.addEventListener("click", (event) => {
    // A tap on what is chosen already: no change, but the same wish.
    const input = event.target.matches("input") ? event.target : null;
    if (input?.checked && performance.now() - byPointer_ms < 700) told.onAgain?.(question.code);
  });

  made.addEventListener("focus", () => told.onFocus(question.code));

  const inputs = [...made.querySelectorAll("input")];
  const scale = inputs.filter((input) => input.value !== "");
  function choose(input) {
    if (!input || input.disabled) return false;
    input.checked = true;
    byPointer_ms = -Infinity;
    told.onAnswer(question.code, input.value === "" ? null : Number(input.value), false);
    return true;
  }
  return {
    code: question.code, text: question.text, made,
    get isAbreast() { return isAbreast; },
    chooseDigit: (digit) => choose(scale[digit - 1]),
    chooseCannot: () => choose(inputs.find((input) => input.value === "")),
    move(by) {
      const at = scale.findIndex((input) => input.checked);
      const next = at < 0 ? (by > 0 ? 0 : scale.length - 1) : Math.min(Math.max(at + by, 0), scale.length - 1);
      choose(scale[next]);
      scale[next].focus({ preventScroll: true });
    },
    focus() {
      // Not the first point: none is to be suggested.
      (inputs.find((input) => input.checked) ?? made).focus({ preventScroll: true });
      made.scrollIntoView({ block: "nearest" });
    },
    highlight(is) { made.classList.toggle("r-highlighted", is); },
    lock(is) { for (const input of inputs) input.disabled = is; },
    fault(text) {
      made.querySelector(".r-fault")?.remove();
      made.classList.toggle("r-faulty", Boolean(text));
      if (text) made.append(make("p.r-fault", {}, text));
    },
  };
}
