// Figures open in a larger window, from which they return to their position.
const enlarged = document.getElementById("enlarged");
for (const plot of document.querySelectorAll(".plot")) {
  const button = element("button", { type: "button", class: "enlarge", "aria-label": "Enlarge the figure" }, "⤢");
  button.addEventListener("click", () => {
    const svg = plot.querySelector("svg");
    enlarged.append(svg);
    enlarged.showModal();
    enlarged.addEventListener("close", () => plot.prepend(svg), { once: true });
  });
  plot.append(button);
}
for (const window of document.querySelectorAll("dialog")) {
  window.addEventListener("click", (event) => {
    if (event.target === window) window.close(); // a click beside it
  });
}

// A link to something folded opens it.
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let node = target; node; node = node.parentElement) {
    if (node.tagName === "DETAILS") node.open = true;
  }
  target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();

// The contents are folded on a narrow screen, and mark what is read on a wide one.
const contents = document.querySelector(".contents");
const narrow = matchMedia("(max-width: 62rem)");
const fold = () => { contents.open = !narrow.matches; };
narrow.addEventListener("change", fold);
fold();
const links = [...contents.querySelectorAll("a")].map((link) => [link, document.getElementById(link.hash.slice(1))]);
const mark = () => {
  const passed = links.filter(([, target]) => target && target.getBoundingClientRect().top < innerHeight / 3);
  links.forEach(([link]) => link.removeAttribute("aria-current"));
  passed.at(-1)?.[0].setAttribute("aria-current", "true");
};
addEventListener("scroll", mark, { passive: true });
mark();
