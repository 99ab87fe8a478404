// The item screen: the picture, the questions of the present step, and the one button that commits.
const MOST_VISIBLE_MS = 24 * 3600 * 1000;
const MOMENT_MS = 1500; // between the last tap and going on, to change one's mind

// `told` has: onCommit(), onPrevious(), onCancel(), onInput(input)
function createItemScreen(store, drafts, told) {
  let item = null;
  let isRevision = false;
  let input = null;
  let questions = [];
  let highlighted = 0;
  let extras = null;
  let commit = null;
  let moment = 0;
  let isLocked = false;
  const clock = { since: null };

  const pictures = createPictures({
    onMark: (slot, x, y) => { if (!isLocked) extras.addMark(slot, x, y); },
    onReady: () => { startClock(); drawCommit(); },
    onFailed: () => drawCommit(),
    onTouched: () => stay(),
  });
  const panel = make("div.r-panel", {});
  const host = make("div.r-item", {}, pictures.host, panel);

  // Time that the picture was really in sight, in this step.
  function startClock() {
    if (clock.since === null && item && pictures.isReady && !document.hidden && !isLocked) clock.since = performance.now();
  }
  function stopClock() {
    if (clock.since === null) return;
    input.visible_ms += Math.round(performance.now() - clock.since);
    clock.since = null;
  }
  document.addEventListener("visibilitychange", () => {
    if (!item) return;
    if (document.hidden) {
      stopClock();
      stay();
      keep();
    } else startClock();
  });

  const keep = () => {
    if (item && input && !isLocked) drafts.save(item.token, input);
  };
  const isAnswered = (code) => code in input.answers || input.cannot_judge.includes(code);
  const missing = () => questions.filter((each) => !isAnswered(each.code));
  const isLastStep = () => item.step >= item.step_count;
  const goesOnItself = () =>
    isLastStep() && item.can_revise && !isRevision && !extras.isOpen() && drafts.noted().is_going_on !== false;

  function stay() {
    if (!moment) return;
    clearTimeout(moment);
    moment = 0;
    drawCommit();
  }
  function goOnSoon() {
    clearTimeout(moment);
    moment = setTimeout(() => {
      moment = 0;
      told.onCommit();
    }, MOMENT_MS);
    drawCommit();
    say("Going on to the next image in a moment. Choose again to change your answer.");
  }

  function onAnswer(code, value, isPointer) {
    if (isLocked) return;
    stay();
    input.cannot_judge = input.cannot_judge.filter((each) => each !== code);
    delete input.answers[code];
    if (value === null) input.cannot_judge.push(code);
    else input.answers[code] = value;
    const question = questions.find((each) => each.code === code);
    question.fault("");
    stopClock();
    startClock();
    keep();
    told.onInput();
    const next = questions.findIndex((each) => !isAnswered(each.code));
    highlight(next < 0 ? questions.indexOf(question) : next);
    drawCommit();
    if (next < 0 && isPointer && pictures.isReady && goesOnItself()) goOnSoon();
  }

  function highlight(index) {
    highlighted = index;
    questions.forEach((each, at) => each.highlight(at === index));
  }

  function drawCommit() {
    if (!commit) return;
    const left = missing().length;
    commit.classList.toggle("r-moment", Boolean(moment));
    commit.setAttribute("aria-disabled", String(isLocked || left > 0 || !pictures.isReady));
    commit.firstChild.textContent = isLocked ? "Saving…" : isRevision ? "Save change" : isLastStep() ? "Next" : "Continue";
    commit.lastChild.textContent = isLocked || left ? ""
      : moment ? "going on… tap again to change" : isLastStep() ? "" : "makes these answers final";
  }

  function blank(saved = {}) {
    return {
      step: item.step, answers: { ...saved.answers }, cannot_judge: [...(saved.cannot_judge ?? [])],
      is_seen_before: saved.is_seen_before ?? false, tags: [...(saved.tags ?? [])],
      marks: (saved.marks ?? []).map((mark) => ({ ...mark })), remark: saved.remark ?? "", visible_ms: 0,
      pending: null,
    };
  }

  function buildPanel(labels) {
    questions = item.questions.map((question) => createQuestion(
      question,
      question.code in input.answers ? input.answers[question.code] : input.cannot_judge.includes(question.code) ? null : undefined,
      { onAnswer, onAgain: () => { if (moment) goOnSoon(); }, onFocus: (code) => highlight(questions.findIndex((each) => each.code === code)) },
    ));
    extras = createExtras(item, input, {
      onChange: () => { stay(); keep(); told.onInput(); },
      onOpen: stay, setMarking: pictures.setMarking, drawMarks: pictures.drawMarks,
    });
    commit = make("button.r-commit", { type: "button", onclick: () => told.onCommit() },
      make("span", {}, ""), make("span.r-hint", {}));
    const back = isRevision ? button(labels.cancel, told.onCancel, { class: "r-plain r-back" })
      : item.previous && item.can_revise ? button("Back", told.onPrevious, { class: "r-plain r-back", title: "Change the answer before (B)" }) : null;
    panel.replaceChildren(
      make("div.r-body", {},
        isRevision ? make("p.r-revising", {}, labels.revising) : null,
        item.answered.length ? frozen() : null,
        item.prompt === null || item.prompt === undefined ? null : make("div.r-prompt", {},
          make("p.r-quiet", { id: "r-prompt-title" }, "The text that belongs to it"),
          make("blockquote", { "aria-labelledby": "r-prompt-title" }, item.prompt)),
        ...questions.map((each) => each.made), extras.made),
      make("div.r-actions", {}, make("div.r-buttons", {}, back, commit)),
    );
    panel.scrollTop = 0;
  }
  function frozen() {
    return make("details.r-frozen", { open: isRevision },
      make("summary", {}, make("span.r-final", {}, "Final"),
        make("span", {}, item.answered.map((each) => each.label).join(" · "))),
      make("dl", {}, ...item.answered.flatMap((each) => [make("dt", {}, each.text), make("dd", {}, each.label)])));
  }

  return {
    host, pictures, stay, startClock,
    show(shown, labels = { isRevision: false }) {
      clearTimeout(moment);
      moment = 0;
      if (item) stopClock();
      const isSame = item && item.token === shown.token && shell.dataset.screen === "item";
      item = shown;
      isRevision = labels.isRevision;
      isLocked = false;
      clock.since = null;
      const draft = drafts.load(item.token);
      input = draft && draft.step === item.step ? { ...blank(item.saved), ...draft } : blank(item.saved);
      if (draft && draft.step !== item.step) drafts.clear(item.token);
      shell.dataset.screen = "item";
      shell.dataset.display = item.display;
      if (!host.isConnected) one(".r-main").replaceChildren(host);
      if (!isSame) pictures.show(item.images, store);
      pictures.setMarking(false);
      buildPanel(labels);
      const first = questions.findIndex((each) => !isAnswered(each.code));
      highlight(Math.max(first, 0));
      drawCommit();
      questions[highlighted]?.focus();
      startClock();
      say(labels.spoken ?? "");
    },
    leave() {
      clearTimeout(moment);
      moment = 0;
      if (item) {
        stopClock();
        keep();
      }
      item = null;
    },
    // What would be sent now, or null with the reason told.
    committed() {
      if (!pictures.isReady) {
        toast("The picture is not there yet.");
        return null;
      }
      const [first] = missing();
      if (first) {
        first.fault("Choose one, or “cannot judge”.");
        highlight(questions.indexOf(first));
        first.focus();
        say(`Not answered: ${first.text}`);
        return null;
      }
      clearTimeout(moment);
      moment = 0;
      stopClock();
      return {
        item: item.token, step: item.step, key: newKey(), answers: input.answers,
        cannot_judge: input.cannot_judge, is_seen_before: input.is_seen_before, tags: input.tags,
        marks: input.marks, remark: input.remark.trim(), visible_ms: Math.min(input.visible_ms, MOST_VISIBLE_MS),
        viewport: [window.innerWidth, window.innerHeight], device_pixel_ratio: window.devicePixelRatio || 1,
      };
    },
    hold(path, body) {
      input.pending = { path, body };
      keep();
      isLocked = true;
      for (const each of questions) each.lock(true);
      extras.lock(true);
      drawCommit();
    },
    release(faults = {}) {
      isLocked = false;
      input.pending = null;
      for (const each of questions) {
        each.lock(false);
        each.fault(faults[each.code] ?? "");
      }
      extras.lock(false);
      keep();
      startClock();
      drawCommit();
    },
    highlightBy(by) {
      const next = Math.min(Math.max(highlighted + by, 0), questions.length - 1);
      highlight(next);
      questions[next].focus();
    },
    focusNext() {
      if (missing().length) questions[highlighted].focus();
      else commit.focus({ preventScroll: true });
    },
    get highlighted() { return questions[highlighted]; },
    get extras() { return extras; },
    get item() { return item; },
    get isRevision() { return isRevision; },
    get isLocked() { return isLocked; },
    get commit() { return commit; },
  };
}
