"use strict";

// Tables: a click on a header sorts by its column, ascending then descending. Empty cells come last in both.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const entries = [...body.rows].map((row) => [row.cells[column].dataset.value, row]);
    const numeric = entries.every(([value]) => value === undefined || !Number.isNaN(Number(value)));
    const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
    entries.sort(([a], [b]) => {
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return sign * compare(a, b);
    });
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    body.append(...entries.map(([, row]) => row));
  }));
  addTools(table, headers, [...body.rows]);
}

function element(name, attributes = {}, ...children) {
  return build(document.createElement(name), attributes, children);
}

function svgElement(name, attributes = {}, ...children) {
  return build(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function build(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Above a table: a filter by words, a filter by the kind of a row, and the choice of columns.
function addTools(table, headers, rows) {
  const tools = element("div", { class: "tools" });
  if (rows.length > 5) tools.append(...buildFilters(table, rows));
  if (headers.some((header) => "optional" in header.dataset)) tools.append(buildColumnChoice(table, headers));
  if (tools.childElementCount) table.closest(".table").prepend(tools);
}

function buildFilters(table, rows) {
  const search = element("input", { type: "search", placeholder: "Filter: words", "aria-label": "Filter rows by words" });
  const count = element("output", {});
  const kinds = [...new Set(rows.map((row) => row.dataset.kind).filter(Boolean))];
  const kind = element("select", { "aria-label": `Filter rows by ${table.dataset.kind}` },
    element("option", { value: "" }, `any ${table.dataset.kind}`),
    ...kinds.map((name) => element("option", { value: name }, name)));
  const texts = new Map(); // built at the first filter, not at loading
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
      row.hidden = Boolean(kind.value && row.dataset.kind !== kind.value) || !words.every((word) => texts.get(row).includes(word));
      shown += !row.hidden;
    }
    count.textContent = words.length || kind.value ? `${shown} of ${rows.length} rows` : "";
  };
  search.addEventListener("input", apply);
  kind.addEventListener("change", apply);
  return kinds.length > 1 ? [search, kind, count] : [search, count];
}

function buildColumnChoice(table, headers) {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  table.id ||= `table-${document.adoptedStyleSheets.length}`;
  const boxes = headers.slice(1).map((header) => {
    const box = element("input", { type: "checkbox" });
    box.checked = !("optional" in header.dataset);
    return box;
  });
  const apply = () => {
    const hidden = boxes.flatMap((box, index) => (box.checked ? [] : [`#${table.id} tr > :nth-child(${index + 2})`]));
    sheet.replaceSync(hidden.length ? `${hidden.join(",")} { display: none; }` : "");
  };
  boxes.forEach((box) => box.addEventListener("change", apply));
  apply();
  const labels = boxes.map((box, index) => element("label", {}, box, ` ${headers[index + 1].textContent.trim()}`));
  return element("details", {}, element("summary", {}, "Columns"), element("div", { class: "choices" }, ...labels));
}
