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
}

// Tooltips of figures open by pointer and by keyboard: Tab reaches a figure, arrow keys go from mark to mark.
const tooltip = document.getElementById("tooltip");
let currentMark = null;

function showTooltip(mark) {
  currentMark = mark;
  (mark.closest("dialog") ?? document.body).append(tooltip); // an open dialog covers the rest of the page
  tooltip.textContent = mark.getAttribute("aria-label");
  tooltip.hidden = false;
  positionTooltip();
}

function positionTooltip() {
  if (!currentMark) return;
  const box = currentMark.lastElementChild.getBoundingClientRect();
  const { width, height } = tooltip.getBoundingClientRect();
  const left = Math.min(box.right, innerWidth) + 8;
  tooltip.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
  tooltip.style.top = `${box.top > height + 8 ? box.top - height - 4 : box.bottom + 4}px`;
}

function hideTooltip() {
  currentMark = null;
  tooltip.hidden = true;
}

function addTooltips(svg) {
  const marks = [...svg.querySelectorAll(".mark")];
  marks.forEach((mark, index) => {
    const title = mark.querySelector("title");
    mark.setAttribute("aria-label", title.textContent);
    mark.setAttribute("role", "img");
    mark.setAttribute("tabindex", index ? -1 : 0);
    title.remove(); // the browser would show it as a second tooltip
    mark.addEventListener("pointerenter", () => showTooltip(mark));
    mark.addEventListener("pointerleave", hideTooltip);
    mark.addEventListener("focus", () => showTooltip(mark));
    mark.addEventListener("blur", hideTooltip);
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hideTooltip();
      if (!step) return;
      event.preventDefault();
      marks[(index + step + marks.length) % marks.length].focus();
    });
  });
}

document.querySelectorAll("figure svg").forEach(addTooltips);
addEventListener("scroll", positionTooltip, { capture: true, passive: true });

// The panel of a run is built when it opens. All values are set as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const dialog = document.getElementById("run");

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

function format(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  if (typeof value === "number" && Math.abs(value) >= 1e4) return value.toLocaleString("en");
  if (value === null) return "–";
  if (Array.isArray(value)) return value.map(format).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function section(title, values) {
  const entries = Object.entries(values).flatMap(([key, value]) => [
    element("dt", {}, key), element("dd", {}, format(value)),
  ]);
  return element("section", {}, element("h3", {}, title), element("dl", {}, ...entries));
}

// One or two lines over the epochs, on one scale.
function chart(title, epochs, lines) {
  const values = Object.values(lines).flat().filter((value) => value !== null);
  if (!values.length) return "";
  const [width, height, left, right, top, bottom] = [360, 220, 44, 12, 26, 34];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (epoch) => left + (width - left - right) * (epochs.length > 1 ? (epoch - epochs[0]) / (epochs.at(-1) - epochs[0]) : 0.5);
  const y = (value) => height - bottom - (height - top - bottom) * (high > low ? (value - low) / (high - low) : 0.5);
  const label = (text, position, anchor) => svgElement("text", { ...position, "text-anchor": anchor }, text);
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title },
    label(title, { x: 0, y: 12 }, "start"),
    ...[...new Set([low, high])].flatMap((value) => [
      svgElement("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      label(format(Number(value.toFixed(2))), { x: left - 6, y: y(value) + 4 }, "end"),
    ]),
    label("epoch", { x: (left + width - right) / 2, y: height - 4 }, "middle"),
    ...[...new Set([epochs[0], epochs.at(-1)])].map((epoch) => label(format(epoch), { x: x(epoch), y: height - 18 }, "middle")));
  Object.entries(lines).forEach(([name, line], order) => {
    const points = line.flatMap((value, index) => (value === null ? [] : [[epochs[index], value]]));
    if (!points.length) return;
    const style = order ? "second" : "";
    svg.append(svgElement("polyline", { class: `line ${style}`, points: points.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }));
    svg.append(...points.map(([epoch, value]) => svgElement("g", { class: "mark" },
      svgElement("title", {}, `epoch ${epoch}\n${name}: ${format(value)}`),
      svgElement("circle", { cx: x(epoch), cy: y(value), r: 7, style: "fill: none; pointer-events: all" }),
      svgElement("circle", { class: style, cx: x(epoch), cy: y(value), r: 2.5 }))));
  });
  addTooltips(svg);
  return svg;
}

const RESULT = ["top1", "top5", "top1_ema", "val_loss", "params", "gmacs", "epochs"];
const ENVIRONMENT = ["device", "torch", "commit", "train_seconds", "images_per_second", "started", "ended", "host", "cpu", "gpus", "peak_host_memory", "overrides"];
const NESTED = ["machine", "metrics", "versions"];

function openRun(run) {
  const { facts, curves } = run;
  const pick = (names) => Object.fromEntries(names.map((name) => [name, facts[name]]));
  const listed = [...RESULT, ...ENVIRONMENT, ...NESTED];
  const known = (name) => facts[name] !== null && facts[name].length !== 0; // earlier versions recorded less
  const others = Object.keys(facts).filter((name) => !listed.includes(name) && facts[name] !== null);
  const metrics = Object.entries(facts.metrics).map(([name, value]) => [data.headings[name] ?? name, value]);
  const config = Object.entries(run.config).map(([name, index]) => [name, data.sections[index]]);
  const sections = config.filter(([, value]) => value !== null && typeof value === "object" && !Array.isArray(value));
  const values = config.filter((entry) => !sections.includes(entry) && !(entry[0] in facts));
  document.getElementById("run-title").textContent = `${facts.variant}, seed ${facts.seed}`;
  const charts = typeof curves === "string"
    ? element("p", {}, `No learning curve: ${curves}`)
    : element("div", { class: "curves" },
      chart("top-1 on the evaluation split (%)", curves.epoch, { "top-1": curves.top1 }),
      chart("loss: evaluation, and training (dashed)", curves.epoch, { evaluation: curves.val_loss, training: curves.train_loss }));
  document.getElementById("run-body").replaceChildren(
    element("p", { class: "note" }, run.path),
    charts,
    element("div", { class: "parts" },
      section("Result", { ...pick(RESULT), ...Object.fromEntries(metrics) }),
      section("Environment", { ...pick(ENVIRONMENT.filter(known)), ...facts.machine, ...facts.versions }),
      section("Run", { ...pick(others), ...Object.fromEntries(values) }),
      ...sections.map(([name, content]) => section(`Config: ${name}`, content))));
  dialog.showModal();
  dialog.scrollTop = 0;
}

for (const button of document.querySelectorAll("button.run")) {
  button.addEventListener("click", () => openRun(data.runs[button.dataset.run]));
}
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // a click beside the panel
});
