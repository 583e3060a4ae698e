"""Letters that matplotlib's own font lacks are drawn by an installed font that has them."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from modernet.figures import fonts
from modernet.figures.confusion import letters_without_font, plot_confusion
from modernet.figures.fonts import OWN, find_families, missing_letters
from modernet.figures.svg import save_figure

STIX_LETTER = "\ue000"  # of a font that comes with matplotlib too
NO_LETTER = "\U0010fffd"  # the last code of the private use areas


@pytest.mark.parametrize(("texts", "missing"), [(["größe", "кот"], ""), (["a" + STIX_LETTER], STIX_LETTER)])
def test_letters_beyond_matplotlibs_font_get_a_font_that_has_them(texts, missing):
    assert missing_letters(texts) == set(missing)
    families = find_families(texts)
    assert families[0] == OWN
    assert len(families) == 1 + len(missing)
    assert not missing_letters(texts, families)


@pytest.mark.parametrize("name", ["Gone", ".LastResort"])
def test_fonts_that_are_gone_or_have_boxes_and_control_characters_are_passed_over(monkeypatch, name):
    files = [font.fname for font in fonts.fontManager.ttflist if "Last Resort" in font.name]
    file = files[0] if name == ".LastResort" else "/gone/font.ttf"
    entry = replace(fonts.fontManager.ttflist[0], name=name, fname=file, style="normal", weight=400)
    monkeypatch.setattr(fonts.fontManager, "ttflist", [*fonts.fontManager.ttflist, entry])
    fonts._files.cache_clear()
    assert find_families([NO_LETTER, "a\nb\x1b"]) == [OWN]
    assert missing_letters(["a\nb\x1b"]) == set()
    monkeypatch.undo()
    fonts._files.cache_clear()


def test_a_letter_that_no_font_has_is_left():
    families = find_families([NO_LETTER, STIX_LETTER])
    assert missing_letters([NO_LETTER, STIX_LETTER], families) == {NO_LETTER}


def test_names_of_classes_are_drawn_by_the_font_that_has_them_without_a_warning(tmp_path):
    figure = plot_confusion(np.eye(2, dtype=np.int64), [STIX_LETTER, NO_LETTER], "title")
    families = find_families([STIX_LETTER])
    labels = [*figure.axes[0].get_xticklabels(), *figure.axes[0].get_yticklabels()]
    assert [label.get_fontfamily() for label in labels] == [families] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "confusion")
    assert letters_without_font([STIX_LETTER, NO_LETTER]) == "\\U0010fffd"
    assert letters_without_font([NO_LETTER] * 21) == ""  # so many names are not drawn
    pdf = (tmp_path / "confusion.pdf").read_bytes()
    assert b"/Type3" in pdf
    assert b"/TrueType" not in pdf
