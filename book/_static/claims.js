/* The filter of the page of claims: shows the rows of one study and of one verdict. */
document.addEventListener("DOMContentLoaded", () => {
  const place = document.querySelector(".claim-filter");
  if (!place) return;
  const article = place.closest("article") || document;
  const sections = [...article.querySelectorAll("section > h2")].map((h) => h.parentElement);
  const tables = [...article.querySelectorAll("section section table, section details table")];
  const word = (row) => row.querySelector("td:last-child strong")?.textContent || "";
  const rows = tables.flatMap((table) => [...table.tBodies].flatMap((body) => [...body.rows]));

  const none = (part) => rows.every((row) => row.hidden || !part.contains(row));

  const choice = (label, names) => {
    const select = document.createElement("select");
    select.append(new Option("all", ""), ...names.map((name) => new Option(name, name)));
    const box = document.createElement("label");
    box.append(`${label} `, select);
    place.append(box);
    select.addEventListener("change", show);
    return select;
  };
  const title = (section) => section.querySelector("h2").firstChild.textContent.trim();
  const study = choice("Study", sections.map(title));
  const verdict = choice("Verdict", [...new Set(rows.map(word))].sort());
  const count = document.createElement("output");
  place.append(count);

  function show() {
    for (const row of rows) row.hidden = verdict.value && verdict.value !== word(row);
    for (const table of tables) {
      const empty = none(table);
      // A table goes with the line that names its place in the paper, or the fold around it.
      const whole = table.closest("details, .pst-scrollable-table-container") || table;
      whole.hidden = empty;
      const above = whole.previousElementSibling;
      if (above?.querySelector(":scope > strong:first-child")) above.hidden = empty;
      if (whole.matches("details") && verdict.value) whole.open = !empty;
    }
    for (const section of article.querySelectorAll("section section")) section.hidden = none(section);
    for (const section of sections) {
      section.hidden = none(section) || (study.value && study.value !== title(section));
    }
    const left = rows.filter((row) => !row.hidden && !row.closest("section[hidden]")).length;
    count.textContent = ` ${left} of ${rows.length} claims`;
  }
  show();
});
