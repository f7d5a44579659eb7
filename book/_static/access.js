/* What a screen reader says. Names of the theme say other words than stand there, and a slider's
   handle has none; lists of the bibliography and of long signatures are not what they claim to be. */
document.addEventListener("DOMContentLoaded", () => {
  // The words that are seen are then the name.
  for (const part of document.querySelectorAll(".search-button-field, summary[aria-label]")) {
    if (part.textContent.trim()) part.removeAttribute("aria-label");
  }
  for (const list of document.querySelectorAll(".citation-list")) list.removeAttribute("role");
  const plain = (old) => {
    const line = document.createElement("div");
    line.className = "sig-line";
    line.append(...old.childNodes);
    old.replaceWith(line);
  };
  document.querySelectorAll("dt.sig > dl > dd").forEach(plain);
  document.querySelectorAll("dt.sig > dl").forEach(plain);
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
