"""Fonts for the letters that matplotlib's own font lacks, as of Chinese names."""

from collections.abc import Iterable
from functools import cache
from unicodedata import category

from matplotlib.font_manager import fontManager, get_font

OWN = "DejaVu Sans"  # comes with matplotlib
PLACEHOLDER = "lastresort"  # in the names of fonts that have a box for every letter
REGULAR = (400, "normal", "regular", "book")  # weights


def missing_letters(texts: Iterable[str], families: Iterable[str] = (OWN,)) -> set[str]:
    """The letters of the texts that none of these fonts has."""
    codes = set().union(*map(_codes, families))
    letters = {letter for text in texts for letter in text if ord(letter) not in codes}
    return {letter for letter in letters if category(letter) != "Cc"}  # line breaks and other control characters


def find_families(texts: Iterable[str]) -> list[str]:
    """matplotlib's font, and installed ones for the letters that it lacks, as far as any font has them."""
    families, missing = [OWN], missing_letters(texts)
    while missing:
        best = min(sorted(_files()), key=lambda family: len(missing_letters(missing, [family])))
        left = missing_letters(missing, [best])
        if left == missing:
            break
        families.append(best)
        missing = left
    return families


@cache
def _files() -> dict[str, str]:
    """Family -> file of its upright font of regular weight."""
    fonts = [font for font in fontManager.ttflist if font.style == "normal" and font.weight in REGULAR]
    return {font.name: font.fname for font in fonts if PLACEHOLDER not in font.name.replace(" ", "").lower()}


@cache
def _codes(family: str) -> frozenset[int]:
    try:
        return frozenset(get_font(_files()[family]).get_charmap())
    except (OSError, RuntimeError):  # matplotlib keeps a list of fonts, and this one is gone or damaged
        return frozenset()
