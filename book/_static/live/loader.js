/* Draws the page's widgets of the anywidget form: a module whose default export has render().
   Later Jupyter Books do this themselves. The module stands in the page as text, and is imported
   from there: a page opened as file:// may not import a file. */
document.addEventListener("DOMContentLoaded", () => {
  for (const el of document.querySelectorAll(".anywidget")) draw(el);
});

async function draw(el) {
  const [code, state] = ["module", "model"].map((c) => el.querySelector(`script.${c}`).textContent);
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const values = JSON.parse(state);
  const heard = [];
  el.model = {
    get: (key) => values[key],
    set: (key, value) => {
      values[key] = value;
      for (const [name, call] of heard) if (name === `change:${key}`) call();
    },
    on: (name, call) => heard.push([name, call]),
    off: () => heard.splice(0),
    save_changes: () => {}, // there is no kernel to tell
  };
  await widget.render({ model: el.model, el });
}
