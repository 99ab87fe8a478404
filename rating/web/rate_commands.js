// Menu, help and keys.
const KEYS = [
  ["1 – 9", "choose an answer of the highlighted question"],
  ["← →", "one point lower or higher"],
  ["↑ ↓", "question before or after"],
  ["J or 0", "cannot judge, or no preference"],
  ["Enter", "continue, next, save"],
  ["B", "back: change the answer before, where it may be changed"],
  ["S", "I have seen this image before"],
  ["T", "defect tags"],
  ["M", "mark a point: arrows move the cross, Enter marks, Delete removes"],
  ["R", "remark; Esc leaves it"],
  ["+ −", "zoom in, out; arrows move the picture when it has the focus"],
  ["F", "whole picture (also 0 when the picture has the focus)"],
  ["X", "show the pixels, or smooth"],
  ["?", "this help"],
];

function openHelp() {
  screen.stay();
  openDialog("Help",
    state ? make("details", {}, make("summary", {}, "What to do"), ...instructionText(state)) : null,
    make("h3", {}, "Touch and mouse"),
    make("p", {}, "Pinch, double tap or turn the wheel over the picture to zoom, drag to move it."),
    make("h3", {}, "Keys"),
    make("dl.r-keys", {}, ...KEYS.flatMap(([key, meaning]) => [make("dt", {}, key), make("dd", {}, meaning)])),
    ...(state ? about(state.study) : []));
}

function openMenu() {
  screen.stay();
  const isGoingOn = drafts.noted().is_going_on !== false;
  const mayWithdraw = state && !["withdrawn", "locked", "consent"].includes(state.phase);
  openDialog("Menu",
    make("p.r-quiet", {}, state ? `${state.study.title} · you are ${state.rater}` : ""),
    ...(state ? about(state.study) : []),
    isRatingPhase() ? choice("checkbox", "going-on", "", "Go on by itself after the last tap", {
      checked: isGoingOn, onchange: (event) => drafts.note({ is_going_on: event.target.checked }),
    }) : null,
    isRatingPhase() ? choice("checkbox", "pixels", "", "Show pixels when zoomed, not smoothed", {
      checked: screen.pictures.isPixelated, onchange: () => screen.pictures.togglePixels(),
    }) : null,
    make("div.r-menu", {},
      button("Help and keys", openHelp),
      button("Sign out", signOut),
      mayWithdraw ? button("Withdraw from the study…", openWithdrawal) : null));
}

async function signOut() {
  closeDialog();
  const { status } = await send("POST", `${API}sign-out`, {}, READING);
  if (!isOut && status < 400) signedOut(true);
}

function openWithdrawal() {
  const dialog = openDialog("Withdraw from the study?",
    make("p", {}, "You will be asked nothing more, and your link stops working for rating. This cannot be undone."),
    form(async (fields) => {
      if (!fields.get("kept")) return "Choose what is to happen to your answers.";
      const isErasing = fields.get("kept") === "no";
      const problem = await post("withdraw", { is_erasing: isErasing });
      if (!problem) {
        drafts.clearAll();
        closeDialog();
      }
      return problem;
    }, "Withdraw",
    make("fieldset", {}, make("legend", {}, "The answers I have given"),
      choice("radio", "kept", "yes", "may be used"),
      choice("radio", "kept", "no", "are to be erased"))),
    button("Stay in the study", closeDialog));
  dialog.querySelector("form").classList.add("r-danger");
}

one(".r-menu-button").addEventListener("click", openMenu);
one(".r-help-button").addEventListener("click", openHelp);
one(".r-dialog").addEventListener("click", (event) => { if (event.target === event.currentTarget) closeDialog(); });

// ---- keys ---------------------------------------------------------------------------------------

const isTyping = (target) => target.matches("textarea, select, input:not([type=radio]):not([type=checkbox])");

function onLetter(key) {
  const { extras, pictures } = screen;
  const opened = {
    t: () => extras.has("tags") && extras.toggle("tags") && extras.focusTags(),
    m: () => (extras.toggle("mark") ? pictures.focus(screen.item.images[0].slot) : screen.focusNext()),
    r: () => extras.toggle("remark") && extras.focusRemark(),
    s: extras.toggleSeen, j: cannotJudge, 0: cannotJudge, b: () => (revised ? closeRevision() : openPrevious()),
    f: pictures.fit, x: () => toast(pictures.togglePixels() ? "Pixels are shown." : "Pixels are smoothed.", 2000),
    "+": () => pictures.zoom(1.5), "=": () => pictures.zoom(1.5), "-": () => pictures.zoom(1 / 1.5),
  }[key];
  if (!opened) return false;
  if (!screen.isLocked || "fx+=-".includes(key)) opened();
  return true;
}

function cannotJudge() {
  if (screen.highlighted.chooseCannot()) screen.focusNext();
}

function onArrow(key) {
  const question = screen.highlighted;
  const isAlong = key === "ArrowLeft" || key === "ArrowRight" ? question.isAbreast : !question.isAbreast;
  const by = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  if (isAlong) question.move(by);
  else screen.highlightBy(by);
}

function onItemKey(event) {
  const { key, target } = event;
  const { extras, pictures } = screen;
  if (key === "Escape") {
    if (!extras.isOpen()) {
      screen.stay();
      return false;
    }
    extras.close();
    screen.focusNext();
    return true;
  }
  if ((key === "Delete" || key === "Backspace") && pictures.isMarking) {
    extras.removeLastMark();
    return true;
  }
  if (key === "Enter") {
    // Buttons other than the one that commits do their own work.
    if (target.closest("button, summary, a") && target !== screen.commit) return false;
    commit();
    return true;
  }
  if (/^[1-9]$/.test(key)) {
    if (!screen.isLocked && screen.highlighted.chooseDigit(Number(key))) screen.focusNext();
    return true;
  }
  if (key.startsWith("Arrow")) {
    if (!screen.isLocked) onArrow(key);
    return true;
  }
  return onLetter(key.toLowerCase());
}

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.repeat && (key === "Enter" || key === " ") && !isTyping(target)) {
    event.preventDefault(); // held down: once is enough
    return;
  }
  if (event.defaultPrevented || event.isComposing || isDialogOpen()) return;
  const isCommand = event.ctrlKey || event.metaKey;
  if (isTyping(target)) {
    if (key === "Enter" && isCommand && screen.item) commit();
    else if (key === "Escape" && screen.item) {
      screen.extras.close();
      screen.focusNext();
    }
    return;
  }
  if (isCommand || event.altKey) return;
  if (key === "?") openHelp();
  else if (!screen.item || !onItemKey(event)) return;
  event.preventDefault();
});

// The styles are nested, which browsers understand since the end of 2023.
if (CSS.supports("selector(&)")) refresh();
else showTrouble("This browser is too old to show the images properly. Please update it, or open your link in another one.", () => location.reload());
