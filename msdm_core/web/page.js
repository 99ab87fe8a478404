// Hands clicks on elements with data-action to Python, and keeps the keyboard focus where it was
// when Python replaces the content.
let focusedKey = null;
element.addEventListener("click", (event) => {
  const target = event.target.closest("[data-action]");
  if (target) trigger("click", { action: target.dataset.action, id: target.dataset.id ?? "" });
});
element.addEventListener("focusin", (event) => {
  focusedKey = event.target.dataset.key ?? null;
});
document.addEventListener("focusin", (event) => {
  if (!element.contains(event.target)) focusedKey = null;
});
watch("value", () => {
  if (focusedKey === null || element.contains(document.activeElement)) return;
  const target = element.querySelector(`[data-key="${CSS.escape(focusedKey)}"]`);
  if (target) target.focus({ preventScroll: true });
});
