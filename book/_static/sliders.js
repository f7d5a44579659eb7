/* Sliders say to a screen reader what they change and where they stand: their own code gives the
   handle no name, and only the number of the frame. They are drawn late, and again at times. */
document.addEventListener("DOMContentLoaded", () => {
  const place = document.querySelector("article") || document.body;
  const set = (element, name, value) => {
    if (value && element.getAttribute(name) !== value) element.setAttribute(name, value);
  };
  const tell = () => {
    for (const slider of place.querySelectorAll(".widget-slider")) {
      const handle = slider.querySelector(".noUi-handle");
      const readout = slider.querySelector(".widget-readout");
      if (!handle || !readout) continue;
      set(handle, "aria-label", slider.querySelector(".widget-label")?.textContent);
      set(handle, "aria-valuetext", readout.textContent);
      set(readout, "contenteditable", "false"); // a stop of the Tab key where nothing can be typed
    }
  };
  new MutationObserver(tell).observe(place, {
    attributes: true,
    attributeFilter: ["aria-valuetext"],
    childList: true,
    characterData: true,
    subtree: true,
  });
  tell();
});
