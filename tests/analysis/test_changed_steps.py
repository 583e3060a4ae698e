"""A step whose values were changed between the runs of its variants and its own."""

import pytest
from records import make_record, write_runs

from modernet.analysis.compare import find_arms
from modernet.analysis.selection import select
from modernet.errors import UserError

OLD, NEW = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
LARGER = "gelu+kernel_size=11"


def network(layer_scale: float, **changed: int) -> dict[str, dict[str, float]]:
    return {"model": {"layer_scale": layer_scale, **changed}}


@pytest.mark.parametrize(("ended", "ended_of_step"), [(OLD, NEW), (NEW, OLD)])
def test_variant_and_step_with_an_unnamed_difference_are_not_compared(tmp_path, ended, ended_of_step):
    variant = [
        make_record("gelu", 80.0, seed, LARGER, config=network(0.1, kernel_size=11), ended=ended) for seed in (0, 1)
    ]
    step = make_record("gelu", 70.0, config=network(0.5), ended=ended_of_step)
    paths = write_runs(tmp_path, *variant, step)
    older, newer = (paths[:2], paths[2:]) if ended == OLD else (paths[2:], paths[:2])
    selection = select(tmp_path)
    assert list(selection.records) == newer
    reason = f"gelu was changed between this run and {newer[0]}, in model.layer_scale; the newest counts"
    assert selection.excluded == [f"{path}: {reason}" for path in older]


def test_variant_and_step_with_the_named_difference_alone_are_compared(tmp_path):
    variant = make_record("gelu", 80.0, variant=LARGER, config=network(0.1, kernel_size=11), ended=OLD)
    longer = make_record(
        "gelu", 80.0, variant=f"{LARGER}+recipe.epochs=5", config=network(0.5, kernel_size=11), ended=OLD
    )
    write_runs(tmp_path, variant, longer, make_record("gelu", 70.0, config=network(0.1), ended=NEW))
    selection = select(tmp_path)
    assert (len(selection.records), selection.excluded) == (3, [])


def test_a_run_with_two_names_and_two_results_is_an_error(tmp_path):
    write_runs(
        tmp_path,
        make_record("kernel_size", 80.0),
        make_record("move_up_depthwise", 81.0, variant="move_up_depthwise+kernel_size=7"),
    )
    with pytest.raises(UserError, match=r"two records of one run disagree.* has top-1 80 and .* has top-1 81"):
        select(tmp_path)


def test_a_run_is_not_compared_with_itself_under_another_name(tmp_path):
    records = [
        make_record("kernel_size", 80.0),
        make_record("move_up_depthwise", 80.0, variant="move_up_depthwise+kernel_size=7"),
    ]
    finished = dict(zip(write_runs(tmp_path, *records), records, strict=True))
    with pytest.raises(UserError, match=r"'kernel_size' and 'move_up_depthwise.* are two names of one"):
        find_arms([record.variant for record in records], finished)


def test_a_run_with_two_names_counts_once(tmp_path):
    """As where a later version made a step of a variant, and folders of both versions are read as one."""
    step = [make_record("kernel_size", 80.0 + seed, seed) for seed in (0, 1)]
    variant = [
        make_record("move_up_depthwise", 80.0 + seed, seed, "move_up_depthwise+kernel_size=7") for seed in (0, 1)
    ]
    assert [record.hash for record in step] == [record.hash for record in variant]
    paths = write_runs(tmp_path, *variant, *step)
    selection = select(tmp_path)
    assert list(selection.records) == paths[2:]
    name = "move_up_depthwise+kernel_size=7"
    assert selection.excluded == [
        f"{paths[seed]}: the run of {paths[2 + seed]} under another name, {name}" for seed in (0, 1)
    ]
