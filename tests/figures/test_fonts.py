"""Letters that matplotlib's own font lacks are drawn by an installed font that has them."""

import warnings

import numpy as np
import pytest

from modernet.figures.confusion import plot_confusion
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
