// Tables sort by their headers; larger ones can be filtered; all can be copied and kept as CSV.
const number = (cell) => {
  const text = (cell.querySelector("[title]")?.title ?? cell.textContent).replace(/[,\s]/g, "");
  const value = parseFloat(text.replace("−", "-"));
  return /^[-+−]?[\d.]/.test(text) && !Number.isNaN(value) ? value : null;
};
const written = (cell) => {
  const exact = cell.querySelector("[title]");
  return exact && /^[\d,]+$/.test(exact.title) ? exact.title.replaceAll(",", "") : cell.textContent.trim();
};
const asCsv = (table, separator) => [...table.rows].filter((row) => !row.hidden).map((row) => [...row.cells].map((cell) => {
  const text = written(cell);
  return separator === "," && /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}).join(separator)).join("\n") + "\n";
document.querySelectorAll(".scroll table:not(.prose)").forEach((table, at) => {
  const body = table.tBodies[0], head = table.tHead?.rows[0];
  if (!body || !head || body.rows.length < 2) return;
  [...head.cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") !== "descending";
      for (const other of head.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [row, number(row.cells[column]), row.cells[column].textContent]);
      rows.sort(([, a, s], [, b, t]) => (a !== null && b !== null ? b - a : a !== null ? -1 : b !== null ? 1 : t.localeCompare(s)) * (down ? 1 : -1));
      body.append(...rows.map(([row]) => row));
    });
  });
  const bar = document.createElement("div");
  bar.className = "tools";
  if (body.rows.length > 12) {
    const filter = document.createElement("input");
    filter.type = "search";
    filter.placeholder = "filter";
    filter.setAttribute("aria-label", "Filter the rows of the table");
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/);
      for (const row of body.rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    });
    bar.append(filter);
  }
  const title = table.closest("section")?.querySelector("h2")?.textContent ?? `table ${at + 1}`;
  const copy = document.createElement("button"), save = document.createElement("a");
  copy.type = "button";
  copy.textContent = "copy";
  copy.setAttribute("aria-label", `Copy the table: ${title}`);
  copy.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(asCsv(table, "\t")); copy.textContent = "copied"; } catch { getSelection().selectAllChildren(table); copy.textContent = "selected"; }
    setTimeout(() => { copy.textContent = "copy"; }, 1500);
  });
  save.textContent = "CSV";
  save.href = "#";
  save.setAttribute("aria-label", `Download the table as CSV: ${title}`);
  save.download = title.replace(/\W+/g, "_").toLowerCase() + ".csv";
  save.addEventListener("click", () => { save.href = "data:text/csv;charset=utf-8," + encodeURIComponent(asCsv(table, ",")); });
  bar.append(copy, save);
  table.closest(".scroll").before(bar);
});
