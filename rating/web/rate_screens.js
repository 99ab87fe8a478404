// The pages of words: consent, profile, instructions, pauses, the end, and what went wrong.
const primary = (text, onclick, settings = {}) =>
  button(text, onclick, { class: "r-commit", ...settings });

function about(study) {
  return [
    study.ethics_approval ? make("p.r-quiet", {}, `Ethics approval: ${study.ethics_approval}`) : null,
    study.contact ? make("p.r-quiet", {}, `Contact: ${study.contact}`) : null,
  ];
}

// A form whose button is busy while what it sends is under way.
function form(send, submitText, ...children) {
  const fault = make("p.r-fault", { role: "alert", hidden: true });
  const submit = make("button.r-commit", { type: "submit" }, submitText);
  let isBusy = false;
  return make("form.r-form", {
    novalidate: "", onsubmit: async (event) => {
      event.preventDefault();
      if (isBusy) return;
      isBusy = true;
      submit.disabled = true;
      const problem = await send(new FormData(event.target));
      isBusy = false;
      submit.disabled = false;
      fault.textContent = problem ?? "";
      fault.hidden = !problem;
    },
  }, ...children, fault, submit);
}

const choice = (type, name, value, text, settings = {}) =>
  make("label.r-choice", {}, make("input", { type, name, value, ...settings }), make("span", {}, text));

function showConsent(state, send) {
  const { consent, study } = state;
  showPage(study.title,
    make("div.r-text", {}, ...paragraphs(consent.text)),
    ...about({ ...study, ...consent }),
    form((fields) => {
      if (!fields.get("agreed")) return "Tick the box if you agree; without it the study cannot begin.";
      if (!fields.get("independent")) return "Say whether you are independent of the authors.";
      return send("consent", {
        consent_sha256: consent.sha256, is_agreed: true, is_independent: fields.get("independent") === "yes",
      });
    }, "Agree and go on",
    choice("checkbox", "agreed", "yes", "I have read this and agree to take part."),
    make("fieldset", {}, make("legend", {}, "Do you belong to the authors of this study, or of the software that made its images?"),
      choice("radio", "independent", "yes", "No, I am independent of them"),
      choice("radio", "independent", "no", "Yes, I am one of them"))),
    make("p.r-quiet", {}, "If you would rather not take part, simply close this page."));
}

function showProfile(state, send) {
  const specialty = make("select", { name: "specialty", id: "r-specialty", "data-first": "" },
    make("option", { value: "" }, "Choose one"),
    ...state.profile.specialties.map((name) => make("option", { value: name }, name)));
  showPage("Two facts about you",
    make("p.r-quiet", {}, "They are reported for all raters together. Your name is not asked."),
    form((fields) => {
      const years = String(fields.get("years") ?? "").trim();
      if (!fields.get("specialty")) return "Choose your specialty.";
      if (!/^\d{1,2}$/.test(years) || Number(years) > 70) return "Give your years of experience as a whole number, 0 to 70.";
      return send("profile", { specialty: fields.get("specialty"), years_experience: Number(years) });
    }, "Go on",
    make("label.r-field", { for: "r-specialty" }, make("span", {}, "Specialty"), specialty),
    make("label.r-field", {}, make("span", {}, "Years of experience in it"),
      make("input", { type: "text", inputmode: "numeric", name: "years", autocomplete: "off", maxlength: "2" }))));
}

function instructionText(state) {
  const { protocol, study } = state;
  const isSeveral = protocol.display === "side_by_side";
  return [
    make("div.r-text", {}, ...paragraphs(study.instructions)),
    make("ul.r-list", {},
      isSeveral ? make("li", {}, "Compare the images, then choose one, or “No preference”.") : null,
      !isSeveral && protocol.step_count > 1 ? make("li", {}, "First you see the image alone. “Continue” makes these answers final; then its text appears.") : null,
      make("li", {}, "“Cannot judge” is a good answer when it is true."),
      make("li", {}, "After your last tap the next image follows by itself. You can change your mind for a moment, or go back."),
      make("li", {}, "Everything is saved at once. Stop when you like; your link brings you back here, on any device.")),
  ];
}

function showInstructions(state, go) {
  const total = state.progress.practice_total;
  showPage(state.study.title,
    ...instructionText(state),
    make("p", {}, total
      ? `${total === 1 ? "One practice image comes" : `${total} practice images come`} first. They do not count.`
      : `There are ${state.progress.total} images.`),
    primary(total ? "Start with practice" : "Start", go, { "data-first": "" }));
}

function showStart(state, go) {
  showPage("Practice is over",
    make("p", {}, `From here on your answers count: ${state.progress.total} images${timeLeft(state.progress, ", about ")}.`),
    primary("Start", go, { "data-first": "" }));
}

const timeLeft = (progress, before) => (progress.left_min ? `${before}${progress.left_min} min` : "");

function showPause(state, go) {
  const { done, total } = state.progress;
  showPage("Time for a pause?",
    make("p", {}, `${done} of ${total} images are done${timeLeft(state.progress, "; the rest takes about ")}. Everything is saved.`),
    make("p", {}, "You may close this page and come back by your link whenever you like, on any device."),
    primary("Continue", go, { "data-first": "" }));
}

function showClosing(state, send) {
  const remark = make("textarea", { name: "remark", rows: 5, maxlength: "4000", id: "r-closing", "data-first": "" });
  showPage("All images are done",
    form((fields) => send("closing", { remark: String(fields.get("remark") ?? "").trim() }), "Finish",
      make("label.r-field", { for: "r-closing" }, make("span", {}, "Is there anything we should know? (optional)"), remark)));
}

function showDone(state) {
  showPage("Thank you",
    make("p", {}, "All your answers are saved. You can close this page."), ...about(state.study));
}

function showPaused(state, again) {
  showPage("The study is paused",
    make("p", {}, "Your answers are safe. Your link works again as soon as the study goes on."), ...about(state.study),
    primary("Try again", again, { "data-first": "" }));
}

function showLocked(state) {
  showPage("The study is closed",
    make("p", {}, "No more answers are taken. Those you gave before are kept. Thank you."), ...about(state.study));
}

function showWithdrawn(state) {
  showPage("You have left the study",
    make("p", {}, "Nothing more is asked of you. Thank you for your time."), ...about(state.study));
}

function showSignedOut(isAsked, hasUnsent) {
  showPage("You are signed out",
    make("p", {}, isAsked ? "Your answers are saved." : "The answers you have sent are saved."),
    make("p", {}, "To come back in, open your personal link again: the one you were sent."),
    hasUnsent ? make("p", {}, "One answer is not sent yet. It is kept in this browser and sent when you come back in.") : null);
}

function showTrouble(message, again) {
  showPage("That did not work",
    make("p", {}, message || "The server could not answer."),
    make("p", {}, "What you have put in is kept in this browser."),
    primary("Try again", again, { "data-first": "" }));
}

function showTooNarrow(needed_px, isSeveral) {
  showPage("This window is too small",
    make("p", {}, isSeveral
      ? "Here images are compared side by side, which a phone is too small for. Please use a tablet or a computer: your link works there too, and takes you to this place."
      : `The images need a window of at least ${needed_px} px; this one has ${window.innerWidth} px. Widen it, or turn the device.`));
}
