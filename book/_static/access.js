/* Names that a screen reader says: those of the theme say other words than stand there, and a
   slider's handle has none. */
document.addEventListener("DOMContentLoaded", () => {
  // The words that are seen are then the name.
  for (const part of document.querySelectorAll(".search-button-field, summary[aria-label]")) {
    if (part.textContent.trim()) part.removeAttribute("aria-label");
  }
  const name = () => {
    for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
      const row = handle.closest(".widget-inline-hbox, .widget-slider");
      const label = row?.querySelector(".widget-label")?.textContent.trim();
      handle.setAttribute("aria-label", label || "position");
    }
  };
  // Sliders are drawn after the page.
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
  name();
});
