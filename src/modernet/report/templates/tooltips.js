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
