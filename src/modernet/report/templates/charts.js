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

function short(value) {
  return Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(1) : format(Number(value.toPrecision(4)));
}

// Lines over epochs or steps, on one scale. Each line has a name, x and y; null in y is no point. Empty without values.
function chart(title, unit, lines) {
  const curves = lines.map(({ name, x, y }) => ({
    name, points: (y ?? []).flatMap((value, index) => (value === null ? [] : [[x[index], value]])),
  })).filter(({ points }) => points.length);
  if (!curves.length) return "";
  const all = curves.flatMap(({ points }) => points);
  const [xs, ys] = [all.map(([x]) => x), all.map(([, y]) => y)];
  const [left, right, low, high] = [extreme(xs, Math.min), extreme(xs, Math.max), extreme(ys, Math.min), extreme(ys, Math.max)];
  const [width, height, start, end, top, bottom] = [360, 210, 52, 348, 26, 176];
  const x = (value) => start + (end - start) * (right > left ? (value - left) / (right - left) : 0.5);
  const y = (value) => bottom - (bottom - top) * (high > low ? (value - low) / (high - low) : 0.5);
  const label = (text, position, anchor) => svgElement("text", { ...position, "text-anchor": anchor }, text);
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title },
    label(title, { x: 0, y: 12 }, "start"),
    ...[...new Set([low, (low + high) / 2, high])].flatMap((value) => [
      svgElement("line", { class: "axis", x1: start, x2: end, y1: y(value), y2: y(value) }),
      label(short(value), { x: start - 6, y: y(value) + 4 }, "end"),
    ]),
    label(unit, { x: (start + end) / 2, y: height - 6 }, "middle"),
    ...[...new Set([left, right])].map((value) => label(format(value), { x: x(value), y: height - 20 }, "middle")));
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
    chart("loss: evaluation, and training (dashed)", "epoch", [
      { name: "evaluation", x: curves.epoch, y: curves.val_loss },
      { name: "training", x: curves.epoch, y: curves.train_loss },
    ]),
  ];
  const byStep = Object.entries(BY_STEP).map(([title, name]) => chart(title, "step", [{ name, x: steps.step, y: steps[name] }]));
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
