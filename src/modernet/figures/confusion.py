"""The confusion matrix of a trained network."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from modernet.figures.fonts import find_families, missing_letters
from modernet.figures.style import PAGE, new_figure, styled
from modernet.runtime.text import printable

MAX_NUMBERS = 20  # classes up to which each cell has its number, and each row its name


@styled
def plot_confusion(confusion: NDArray[np.int64], names: Sequence[str], title: str) -> Figure:
    """Percent of the images of each class (rows) that are predicted as each class (columns)."""
    classes = len(confusion)
    images = confusion.sum(1, keepdims=True)
    percent = 100 * confusion / np.maximum(images, 1)
    caption = "Rows: true classes. Columns: predicted classes. Numbers and shades: percent of the images of the row."
    width = min(PAGE.width, 5.2 if classes <= 10 else 7.1)
    figure = new_figure(PAGE, width - 0.5, title, caption, width=width)
    fonts = find_families([title, *_drawn(names)])
    for text in figure.texts if len(fonts) > 1 else ():
        text.set(fontfamily=fonts, fontweight="normal")  # other fonts may have no bold one
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if classes <= MAX_NUMBERS:
        rotation = 90 if max(map(len, names)) > 2 else 0
        axes.set_xticks(range(classes), names, rotation=rotation, fontsize=7.5, family=fonts)
        axes.set_yticks(range(classes), names, fontsize=7.5, family=fonts)
        for row, column in np.ndindex(confusion.shape):
            if confusion[row, column]:
                colour = "white" if percent[row, column] > 60 else "black"
                text = f"{percent[row, column]:.0f}" if percent[row, column] >= 0.5 else "<1"
                axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    figure.colorbar(image, ax=axes, label="percent of the row", shrink=0.8)
    return figure


def letters_without_font(names: Sequence[str]) -> str:
    """The letters of the drawn names that no font here has, which are boxes in PNG and PDF; empty for none."""
    drawn = _drawn(names)
    return printable(" ".join(sorted(missing_letters(drawn, find_families(drawn)))))


def _drawn(names: Sequence[str]) -> Sequence[str]:
    return names if len(names) <= MAX_NUMBERS else ()
