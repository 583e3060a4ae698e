// Charts of learning curves, drawn on demand. All values are set as text, never as HTML.
const LOOKS = ["", "second", "third"]; // of the lines of a chart; further lines look alike
const MOST_MARKS = 60; // of a line; a longer one is a line alone, with a mark at its end

function format(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  if (typeof value === "number" && Math.abs(value) >= 1e4) return value.toLocaleString("en");
  if (value === null) return "–";
  if (Array.isArray(value)) return value.map(format).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const LABEL_WIDTH = 40; // of a number at the horizontal axis

// Round numbers around these two, two to five steps of 1, 2 or 5 times a power of ten apart.
function roundTicks(low, high) {
  const range = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(range / 2));
  const step = power * [5, 2, 1].find((factor) => factor * power <= range / 2);
  const [first, last] = [Math.floor(low / step + 1e-6), Math.ceil(high / step - 1e-6)];
  const [magnitude, size] = [step, Math.max(Math.abs(first), Math.abs(last), 1) * step].map((value) => Math.floor(Math.log10(value) + 1e-6));
  const write = (value) => (magnitude < -4 || size > 5 ? value.toExponential(size - magnitude) : value.toFixed(Math.max(0, -magnitude)));
  return Array.from({ length: Math.max(last - first, 1) + 1 }, (_, index) => ({
    value: (first + index) * step, text: write((first + index) * step),
  }));
}

// Samples of the lines with their names, from `left` to `right`; lines that look alike share one.
function legend(curves, left, right, y) {
  const alike = curves.length - LOOKS.length;
  const names = curves.slice(0, LOOKS.length).map(({ name }) => name);
  if (alike > 0) names.push(alike > 1 ? `${alike} others` : curves.at(-1).name);
  return names.flatMap((name, order) => {
    const start = left + order * Math.min(100, (right - left) / names.length);
    return [
      svgElement("line", { class: `line ${LOOKS[order] ?? "other"}`, x1: start, x2: start + 20, y1: y - 4, y2: y - 4 }),
      svgElement("text", { x: start + 24, y }, name),
    ];
  });
}

// Lines over epochs or steps, on one scale. Each line has a name, x and y; null in y is no point. Empty without values.
function chart(title, unit, lines) {
  const curves = lines.map(({ name, x, y }) => ({
    name, points: (y ?? []).flatMap((value, index) => (value === null ? [] : [[x[index], value]])),
  })).filter(({ points }) => points.length);
  if (!curves.length) return "";
  const all = curves.flatMap(({ points }) => points);
  const [xs, ys] = [all.map(([x]) => x), all.map(([, y]) => y)];
  const [left, right] = [extreme(xs, Math.min), extreme(xs, Math.max)];
  const ticks = roundTicks(extreme(ys, Math.min), extreme(ys, Math.max));
  const [low, high] = [ticks[0].value, ticks.at(-1).value];
  const top = lines.length > 1 ? 42 : 26; // below the legend
  const [width, height, start, end, bottom] = [360, top + 184, 52, 348, top + 150];
  const x = (value) => start + (end - start) * (right > left ? (value - left) / (right - left) : 0.5);
  // Epochs and steps are whole numbers; those beside an end would overlap it.
  const between = roundTicks(left, right).map(({ value }) => value).filter((value) =>
    Number.isInteger(value) && x(value) - start > LABEL_WIDTH && end - x(value) > LABEL_WIDTH);
  const y = (value) => bottom - ((bottom - top) * (value - low)) / (high - low);
  const label = (text, position, anchor) => svgElement("text", { ...position, "text-anchor": anchor }, text);
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title },
    label(title, { x: 0, y: 12 }, "start"),
    ...(lines.length > 1 ? legend(curves, start, end, 29) : []),
    ...ticks.flatMap(({ value, text }) => [
      svgElement("line", { class: "axis", x1: start, x2: end, y1: y(value), y2: y(value) }),
      label(text, { x: start - 6, y: y(value) + 4 }, "end"),
    ]),
    label(unit, { x: (start + end) / 2, y: height - 6 }, "middle"),
    ...[...new Set([left, ...between, right])].map((value) => label(format(value), { x: x(value), y: height - 20 }, "middle")));
  curves.forEach(({ name, points }, order) => {
    const look = LOOKS[order] ?? "other";
    svg.append(svgElement("polyline", { class: `line ${look}`, points: points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ") }));
    const marked = points.length > MOST_MARKS ? points.slice(-1) : points;
    svg.append(...marked.map(([a, b]) => svgElement("g", { class: "mark" },
      svgElement("title", {}, `${unit} ${a}\n${name}: ${format(b)}`),
      svgElement("circle", { cx: x(a), cy: y(b), r: 7, style: "fill: none; pointer-events: all" }),
      svgElement("circle", { class: look, cx: x(a), cy: y(b), r: 2.5 }))));
  });
  addTooltips(svg);
  return svg;
}

// Of an array of any length, which Math.min(...values) is not for.
function extreme(values, choose) {
  return values.reduce((a, b) => choose(a, b));
}

// The charts by step where the run has them: title -> column.
const BY_STEP = {
  "training loss": "train_loss",
  "training top-1 (%)": "train_top1",
  "learning rate": "lr",
  "norm of the gradient": "grad_norm",
  "images per second": "images_per_second",
  "waiting for data (%)": "data_wait",
};

function runCharts({ curves, steps }) {
  const byEpoch = typeof curves === "string" ? [] : [
    chart("top-1 on the evaluation split (%)", "epoch", [{ name: "top-1", x: curves.epoch, y: curves.top1 }]),
    chart("loss", "epoch", [
      { name: "evaluation", x: curves.epoch, y: curves.val_loss },
      { name: "training", x: curves.epoch, y: curves.train_loss },
    ]),
  ];
  const known = new Set(["step", "epoch", ...Object.values(BY_STEP)]);
  const others = Object.keys(steps).filter((name) => typeof steps !== "string" && !known.has(name));
  const titled = [...Object.entries(BY_STEP), ...others.map((name) => [name, name])];
  const byStep = titled.map(([title, name]) => chart(title, "step", [{ name, x: steps.step, y: steps[name] }]));
  const notes = [typeof curves === "string" ? `No curves by epoch: ${curves}` : "", typeof steps === "string" ? `No curves by step: ${steps}` : ""];
  return element("div", {},
    element("div", { class: "curves" }, ...byEpoch, ...byStep),
    ...notes.filter(Boolean).map((note) => element("p", { class: "note" }, note)));
}

// The seeds of a step in one chart each: evaluated accuracy by epoch, training loss by step or else by epoch.
function seedCharts(runs) {
  const name = (run) => `seed ${run.facts.seed}`;
  const read = runs.filter((run) => typeof run.curves !== "string");
  const stepwise = runs.filter((run) => run.steps.train_loss);
  const loss = stepwise.length
    ? chart("training loss of each seed", "step", stepwise.map((run) => ({ name: name(run), x: run.steps.step, y: run.steps.train_loss })))
    : chart("training loss of each seed", "epoch", read.map((run) => ({ name: name(run), x: run.curves.epoch, y: run.curves.train_loss })));
  return [
    chart("top-1 of each seed (%)", "epoch", read.map((run) => ({ name: name(run), x: run.curves.epoch, y: run.curves.top1 }))),
    loss,
  ].filter(Boolean);
}
