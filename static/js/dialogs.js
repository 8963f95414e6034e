/* Dialogs: opening, closing, the preview of what the assistant will be told, preset reasons. */
import { onClick, openDialog } from "./dom.js";

export function watchDialogs() {
  onClick("[data-opens]", (button) => {
    const dialog = document.getElementById(button.dataset.opens);
    if (!dialog || dialog.open) return;
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
  });
  onClick("[data-closes]", (button) => button.closest("dialog").close());
  // a click on the backdrop is a click on the dialog itself, outside its content
  document.addEventListener("mousedown", (event) => {
    if (event.target.matches?.("dialog[open]") && outside(event.target, event)) event.target.close();
  });

  onClick("[data-copies]", async (button) => {
    await navigator.clipboard?.writeText(document.getElementById(button.dataset.copies).textContent);
    button.textContent = "Copied";
  });
  onClick("[data-insert]", (button) => {
    const box = document.querySelector("[data-search]");
    box.value = `${box.value} ${button.dataset.insert}`.trimStart();
    box.focus();
  });

  onClick("[data-preset]", (button) => {
    const field = document.getElementById(button.dataset.preset);
    const words = button.textContent.trim();
    const reasons = field.value.split("; ").filter(Boolean);
    field.value = (reasons.includes(words) ? reasons.filter((r) => r !== words) : [...reasons, words]).join("; ");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  });
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!field.dataset?.preview) return;
    const told = document.getElementById(field.dataset.preview);
    told.textContent = field.value.trim() || told.dataset.otherwise;
    const reasons = field.value.split("; ");
    for (const preset of document.querySelectorAll(`[data-preset="${field.id}"]`)) {
      preset.setAttribute("aria-pressed", String(reasons.includes(preset.textContent.trim())));
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    const form = openDialog()?.querySelector("form[method=post]") ?? event.target.closest?.("form[method=post]");
    if (!form) return;
    event.preventDefault();
    form.requestSubmit();
  });
}

function outside(dialog, event) {
  const box = dialog.getBoundingClientRect();
  return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
}
