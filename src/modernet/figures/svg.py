"""Figures as SVG with tooltips, and as files.

matplotlib has no tooltips. `add_tooltips` stores the texts in the artist's id, which matplotlib writes into the SVG,
and `to_svg` turns each marked shape into `<g class="mark"><title>TEXT</title>...</g>`.
"""

import io
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from modernet.figures.style import STYLE
from modernet.runtime.io import write_bytes, write_text

TOOLTIPS = "tooltips:"  # prefix of an artist's id; the texts follow as JSON
HIT_RADIUS = "7"  # points around a mark in which its tooltip opens
NAMESPACE = "http://www.w3.org/2000/svg"
INVALID_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ElementTree.register_namespace("", NAMESPACE)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def add_tooltips(marks: Line2D, texts: Sequence[str]) -> None:
    """Give each mark of a line its tooltip; points at NaN are not drawn and have none."""
    drawn = [bool(np.isfinite(point).all()) for point in np.asarray(marks.get_xydata())]
    marks.set_gid(TOOLTIPS + json.dumps([text for text, visible in zip(texts, drawn, strict=True) if visible]))


def to_svg(figure: Figure, salt: str = "modernet") -> str:
    """The figure as an `<svg>` element with tooltips. Figures with different salts have different ids."""
    file = io.StringIO()
    style = {**STYLE, "svg.hashsalt": salt}
    _save(figure, file, "svg", style, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ElementTree.fromstring(INVALID_IN_XML.sub("\ufffd", file.getvalue()))
    _remove_style_sheets(root)
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
    for group in root.findall(f".//{{{NAMESPACE}}}g[@id]"):
        name = group.attrib.pop("id")
        if name.startswith(TOOLTIPS):
            shapes = group.findall(f".//{{{NAMESPACE}}}use")
            for shape, text in zip(shapes, json.loads(name.removeprefix(TOOLTIPS)), strict=True):
                _wrap_with_tooltip(shape, text)
    return ElementTree.tostring(root, encoding="unicode")


def _remove_style_sheets(root: ElementTree.Element) -> None:
    """In an HTML page, the rules of an inline SVG would apply to the whole page."""
    for definitions in root.findall(f"{{{NAMESPACE}}}defs"):
        for rules in definitions.findall(f"{{{NAMESPACE}}}style"):
            definitions.remove(rules)


def _wrap_with_tooltip(shape: ElementTree.Element, text: str) -> None:
    """Turn a shape into a group that holds its tooltip, an invisible circle around it, and the shape."""
    tag, attributes = shape.tag, dict(shape.attrib)
    shape.tag = f"{{{NAMESPACE}}}g"
    shape.attrib.clear()
    shape.set("class", "mark")
    ElementTree.SubElement(shape, f"{{{NAMESPACE}}}title").text = INVALID_IN_XML.sub("\ufffd", text)
    circle = {"cx": attributes["x"], "cy": attributes["y"], "r": HIT_RADIUS}
    circle["style"] = "fill: none; pointer-events: all"
    ElementTree.SubElement(shape, f"{{{NAMESPACE}}}circle", circle)
    ElementTree.SubElement(shape, tag, attributes)


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write `path`.svg, `path`.png and `path`.pdf, and return the three paths. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    svg, png, pdf = _files(path)
    write_text(svg, to_svg(figure) + "\n")
    write_bytes(png, _render(figure, "png"))
    write_bytes(pdf, _render(figure, "pdf", metadata=dict.fromkeys(("Creator", "Producer", "CreationDate"))))
    return [svg, png, pdf]


def remove_figure(path: Path) -> None:
    """Remove what `save_figure` wrote there earlier: a figure that records no longer allow would contradict them."""
    for file in _files(path):
        file.unlink(missing_ok=True)


def _files(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}.{suffix}") for suffix in ("svg", "png", "pdf")]


def _render(figure: Figure, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    has_other_fonts = any(len(text.get_fontfamily()) > 1 for text in figure.findobj(Text))
    style = STYLE | {"pdf.fonttype": 3} if has_other_fonts else STYLE  # TrueType would embed OpenType fonts wrongly
    _save(figure, file, file_format, style, **options)
    return file.getvalue()


def _save(figure: Figure, file: IO[Any], file_format: str, style: dict[Any, Any], **options: Any) -> None:
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a line for each letter that no font has, which is drawn as a box
        figure.savefig(file, format=file_format, **options)
