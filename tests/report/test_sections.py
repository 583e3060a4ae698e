"""Groups of runs become the headline, further main sections, or folded lines."""

from collections.abc import Iterable
from pathlib import Path

from records import make_record, write_study

from modernet.record import Record
from modernet.report.folded import Folded, fold_sections
from modernet.report.run_data import RunData
from modernet.report.sections import MAIN, SIDE, SINGLE_SEED, TUNING, Section, build_sections
from modernet.report.studies import load_studies


def sections_of(folder: Path, **studies: Iterable[Record]) -> list[Section]:
    folders = [write_study(folder / name, records) for name, records in studies.items()]
    return build_sections(load_studies(folders), RunData(expected_runs=1))


def pair(change: str = "", seeds: int = 2, **changes) -> list[Record]:
    """Two neighbouring steps."""
    return [
        make_record(step, 70.0 + seed / 10, seed, step + change, **changes)
        for step in ("kernel_size", "gelu")
        for seed in range(seeds)
    ]


def test_the_headline_is_the_unchanged_protocol_with_most_tested_steps(tmp_path):
    many = [make_record(step, 70.0 + seed / 10, seed) for step in ("resnet50", "modern_recipe") for seed in (0, 1)]
    sections = sections_of(
        tmp_path,
        a=pair("+recipe.epochs=5", seeds=9),
        b=pair(protocol="cifar10_micro", data="cifar10"),
        c=[*many, *pair()],
        d=pair(protocol="imagenette", data="imagenette", seeds=1),
        e=pair("+data.split=train/val"),
    )
    found = [(section.study.title, section.kind) for section in sections]
    assert found == [("c", MAIN), ("b", MAIN), ("a", SIDE), ("d", SINGLE_SEED), ("e", TUNING)]
    assert sections[0].figures
    assert not sections[3].figures
    assert not sections[4].figures


def test_of_two_studies_of_the_same_steps_the_headline_is_that_of_longer_training(tmp_path):
    sections = sections_of(tmp_path, a=pair(seeds=9), b=pair(epochs=6))
    assert [section.study.title for section in sections] == ["b", "a"]


def test_the_protocols_section_has_the_figure_of_its_other_lengths(tmp_path):
    sections = sections_of(tmp_path, a=[*pair(), *pair("+recipe.epochs=6", epochs=6)])
    assert [("budget" in section.figures) for section in sections] == [True, False]


def test_single_seeds_alone_are_still_a_headline(tmp_path):
    [section] = sections_of(tmp_path, a=pair(seeds=1))
    assert section.kind == MAIN


def test_tuning_and_single_seeds_are_one_line_per_study_and_side_studies_one_line_each(tmp_path):
    rates = (f"+data.split=train/val+recipe.lr={rate}" for rate in (1, 2, 3))
    tuning = [record for change in rates for record in pair(change, seeds=1)]
    sides = [*pair("+recipe.lr=5"), *pair("+recipe.lr=6"), *pair("+recipe.lr=7", seeds=1)]
    lines = fold_sections(sections_of(tmp_path, runs=[*pair(), *sides, *tuning], other=tuning))
    texts = [f"{line.title}: {line.facts}" for line in lines]
    assert texts == [
        "Side study: runs (Digits, 2 epochs, size micro, learning rate 5): 2 networks, 2 seeds, 4 runs",
        "Side study: runs (Digits, 2 epochs, size micro, learning rate 6): 2 networks, 2 seeds, 4 runs",
        "Single seed: runs (Digits, size micro): 2 networks, 1 seed, 2 runs",
        "Tuning on held-out images: runs (Digits, size micro): 3 settings, 2 networks, 1 seed, 6 runs",
        "Tuning on held-out images: other (Digits, size micro): 3 settings, 2 networks, 1 seed, 6 runs",
    ]
    assert [overview_changes(line) for line in lines[-1:]] == [
        [f"data.split=train/val+recipe.lr={rate}" for rate in (1, 2, 3)]
    ]


def overview_changes(line: Folded) -> list[str]:
    [overview] = line.overviews
    return overview.changes
