"use strict";

// A header sorts its column: up, then down. What is empty comes last either way.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const keyed = [...body.rows].map((row) => [row.cells[column].dataset.value, row]);
    const numeric = keyed.every(([value]) => value === undefined || !Number.isNaN(Number(value)));
    const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
    keyed.sort(([a], [b]) => {
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return sign * compare(a, b);
    });
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    body.append(...keyed.map(([, row]) => row));
  }));
}

// Marks of figures say what they are when they are pointed at, or reached: a figure is one stop, arrows go on within.
const tip = document.getElementById("tip");
let pointed = null;

function show(mark) {
  pointed = mark;
  (mark.closest("dialog") ?? document.body).append(tip); // a panel lies above all else
  tip.textContent = mark.getAttribute("aria-label");
  tip.hidden = false;
  place();
}

function place() {
  if (!pointed) return;
  const at = pointed.lastElementChild.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(at.right, innerWidth) + 8;
  tip.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
  tip.style.top = `${at.top > height + 8 ? at.top - height - 4 : at.bottom + 4}px`;
}

function hide() {
  pointed = null;
  tip.hidden = true;
}

function explained(svg) {
  const marks = [...svg.querySelectorAll(".mark")];
  marks.forEach((mark, place) => {
    const title = mark.querySelector("title");
    mark.setAttribute("aria-label", title.textContent);
    mark.setAttribute("role", "img");
    mark.setAttribute("tabindex", place ? -1 : 0);
    title.remove(); // else the browser shows a second tooltip
    mark.addEventListener("pointerenter", () => show(mark));
    mark.addEventListener("pointerleave", hide);
    mark.addEventListener("focus", () => show(mark));
    mark.addEventListener("blur", hide);
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      marks[(place + step + marks.length) % marks.length].focus();
    });
  });
}

document.querySelectorAll("figure svg").forEach(explained);
addEventListener("scroll", place, { capture: true, passive: true });

// A run's panel is made when it is asked for. Everything is set as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const dialog = document.getElementById("run");

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shown(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  if (typeof value === "number" && Math.abs(value) >= 1e4) return value.toLocaleString("en");
  if (value === null) return "–";
  if (Array.isArray(value)) return value.map(shown).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function part(title, values) {
  const entries = Object.entries(values).flatMap(([key, value]) => [
    element("dt", {}, key), element("dd", {}, shown(value)),
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
  const label = (text, at, anchor) => drawn("text", { ...at, "text-anchor": anchor }, text);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title },
    label(title, { x: 0, y: 12 }, "start"),
    ...[...new Set([low, high])].flatMap((value) => [
      drawn("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      label(shown(Number(value.toFixed(2))), { x: left - 6, y: y(value) + 4 }, "end"),
    ]),
    label("epoch", { x: (left + width - right) / 2, y: height - 4 }, "middle"),
    ...[...new Set([epochs[0], epochs.at(-1)])].map((epoch) => label(shown(epoch), { x: x(epoch), y: height - 18 }, "middle")));
  Object.entries(lines).forEach(([name, line], order) => {
    const points = line.flatMap((value, place) => (value === null ? [] : [[epochs[place], value]]));
    if (!points.length) return;
    const kind = order ? "second" : "";
    svg.append(drawn("polyline", { class: `line ${kind}`, points: points.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }));
    svg.append(...points.map(([epoch, value]) => drawn("g", { class: "mark" },
      drawn("title", {}, `epoch ${epoch}\n${name}: ${shown(value)}`),
      drawn("circle", { cx: x(epoch), cy: y(value), r: 7, style: "fill: none; pointer-events: all" }),
      drawn("circle", { class: kind, cx: x(epoch), cy: y(value), r: 2.5 }))));
  });
  explained(svg);
  return svg;
}

const RESULT = ["top1", "top5", "top1_ema", "val_loss", "params", "gmacs", "epochs"];
const ENVIRONMENT = ["device", "torch", "commit", "train_seconds", "images_per_second"];

function open(run) {
  const { facts, curves } = run;
  const pick = (names) => Object.fromEntries(names.map((name) => [name, facts[name]]));
  const names = Object.keys(facts).filter((name) => ![...RESULT, ...ENVIRONMENT, "machine"].includes(name) && facts[name] !== null);
  const config = Object.entries(run.config).map(([name, place]) => [name, data.parts[place]]);
  const groups = config.filter(([, value]) => value !== null && typeof value === "object" && !Array.isArray(value));
  const single = config.filter((entry) => !groups.includes(entry) && !(entry[0] in facts));
  document.getElementById("run-title").textContent = `${facts.variant}, seed ${facts.seed}`;
  const learned = typeof curves === "string"
    ? element("p", {}, `No learning curve: ${curves}`)
    : element("div", { class: "curves" },
      chart("top-1 of the evaluated images (%)", curves.epoch, { "top-1": curves.top1 }),
      chart("loss: evaluated, and trained on (dashed)", curves.epoch, { evaluated: curves.val_loss, "trained on": curves.train_loss }));
  document.getElementById("run-body").replaceChildren(
    element("p", { class: "note" }, run.path),
    learned,
    element("div", { class: "parts" },
      part("Result", pick(RESULT)),
      part("Environment", { ...pick(ENVIRONMENT), ...facts.machine }),
      part("Run", { ...pick(names), ...Object.fromEntries(single) }),
      ...groups.map(([name, values]) => part(`Config: ${name}`, values))));
  dialog.showModal();
  dialog.scrollTop = 0;
}

for (const button of document.querySelectorAll("button.run")) {
  button.addEventListener("click", () => open(data.runs[button.dataset.run]));
}
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside the panel
});
