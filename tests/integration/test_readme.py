"""What the README shows is what the committed records say."""

import re

from helpers import ROOT

from modernet.analysis.formatting import to_markdown
from modernet.analysis.selection import select
from modernet.analysis.table import build_rows

STUDY = ROOT / "results/studies/cifar10_micro"
README = (ROOT / "README.md").read_text()


def body(text: str, headers: str) -> list[list[str]]:
    """The cells below the table that begins like this, a list a line."""
    lines = text[text.index(headers) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_studys_table_follows_from_its_records():
    assert to_markdown(build_rows(select(STUDY).records.values())) in (STUDY / "table.md").read_text()


def test_the_first_screen_shows_the_studys_table():
    text = re.sub(" +", " ", (STUDY / "table.md").read_text())
    gaps = {cells[0]: cells[1] for cells in body(text, "| variant | vs previous step")}
    expected = [
        [name, n, top1, gaps[name], gmacs, params]
        for name, n, top1, _, gmacs, params, _ in body(text, "| variant | n | top-1")
        if "+" not in name
    ]
    assert body(README, "| step | n |") == expected
    assert len(expected) == 15


def test_every_file_that_the_readme_names_is_there():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
