// The panel of a run is built when it opens.
const data = JSON.parse(document.getElementById("data").textContent);
const dialog = document.getElementById("run");

function section(title, values) {
  const entries = Object.entries(values).flatMap(([key, value]) => [
    element("dt", {}, key), element("dd", {}, format(value)),
  ]);
  return element("section", {}, element("h3", {}, title), element("dl", {}, ...entries));
}

const RESULT = ["top1", "top5", "top1_ema", "val_loss", "params", "gmacs", "epochs"];
const ENVIRONMENT = ["device", "torch", "commit", "train_seconds", "images_per_second", "started", "ended", "host", "cpu", "gpus", "peak_host_memory", "overrides"];
const NESTED = ["machine", "metrics", "versions"];

function openRun(run) {
  const { facts } = run;
  const pick = (names) => Object.fromEntries(names.map((name) => [name, facts[name]]));
  const listed = [...RESULT, ...ENVIRONMENT, ...NESTED];
  const known = (name) => facts[name] !== null && facts[name].length !== 0; // earlier versions recorded less
  const others = Object.keys(facts).filter((name) => !listed.includes(name) && facts[name] !== null);
  const metrics = Object.entries(facts.metrics).map(([name, value]) => [data.headings[name] ?? name, value]);
  const config = Object.entries(run.config).map(([name, index]) => [name, data.sections[index]]);
  const sections = config.filter(([, value]) => value !== null && typeof value === "object" && !Array.isArray(value));
  const values = config.filter((entry) => !sections.includes(entry) && !(entry[0] in facts));
  document.getElementById("run-title").textContent = `${facts.variant}, seed ${facts.seed}`;
  document.getElementById("run-body").replaceChildren(
    element("p", { class: "note" }, run.path),
    runCharts(run),
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

// The page of a step draws its curves when it opens.
for (const details of document.querySelectorAll("details.step")) {
  details.addEventListener("toggle", () => {
    const curves = details.querySelector(".curves");
    if (curves.childElementCount) return;
    curves.append(...seedCharts(curves.dataset.runs.split(",").map((index) => data.runs[index])));
  });
}
