"""Learning curves: the mean, its band, the losses by step, and the files that they are read from."""

import numpy as np
import pytest
from drawn import points
from matplotlib.axes import Axes
from records import make_record

from modernet.analysis.stats import confidence_interval, summarize
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.curves import load_curves, load_step_curves, plot_curves, recipes_note
from modernet.figures.svg import to_svg

CURVES = {"gelu": [[10.0, 20.0, 30.0], [20.0, 40.0, 31.0], [30.0, 30.0, 32.0]], "convnext": [[5.0, 6.0, 7.0]]}


def band_at(axes: Axes, x: float) -> tuple[float, float]:
    """The ends of the first band at this x."""
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)
    ends = band[band[:, 0] == x][:, 1]
    return ends.min(), ends.max()


def test_curves_show_the_mean_and_its_confidence_interval():
    axes = plot_curves(CURVES, "digits").axes[0]
    assert [points(line)[:, 1].tolist() for line in axes.lines] == [[20.0, 30.0, 31.0], [5.0, 6.0, 7.0]]
    assert [line.get_label() for line in axes.lines] == ["GELU (3)", "ConvNeXt (1)"]
    assert len(axes.collections) == 1  # none for a single seed
    assert band_at(axes, 2.0) == pytest.approx(confidence_interval(summarize([20.0, 40.0, 30.0])))
    assert axes.get_ylabel() == "top-1 (%),\nmean and 95 % confidence interval"
    with pytest.raises(NotEnoughRuns, match="at most 6 learning curves, got 7"):
        plot_curves({str(number): [[1.0]] for number in range(7)}, "digits")


def test_curves_of_two_seeds_show_both_runs_instead_of_an_interval():
    axes = plot_curves({"gelu": CURVES["gelu"][:2]}, "digits").axes[0]
    assert not axes.collections
    assert [points(line)[:, 1].tolist() for line in axes.lines] == [*CURVES["gelu"][:2], [15.0, 30.0, 30.5]]
    assert axes.get_ylabel() == "top-1 (%)"


def test_learning_curves_leave_the_changes_of_their_group_to_the_title():
    changes = "+recipe.lr=0.006+recipe.epochs=3+data.split=train/val"
    curves = {f"gelu+act=relu{changes}": [[50.0, 60.0, 61.0]], f"convnext{changes}": [[50.0, 60.0, 61.0]]}
    axes = plot_curves(curves, "digits").axes[0]
    assert [line.get_label() for line in axes.lines] == ["GELU, ReLU (1)", "ConvNeXt (1)"]


def test_curves_of_two_epochs_are_no_figure_without_steps():
    short = {"gelu": [[10.0, 20.0]]}
    with pytest.raises(NotEnoughRuns, match=r"fewer than 3 epochs and no steps.jsonl"):
        plot_curves(short, "digits")
    with pytest.raises(NotEnoughRuns, match=r"fewer than 3 epochs and fewer than 3 common lines in steps.jsonl"):
        plot_curves(short, "digits", {"gelu": [{10: 2.0}]})
    assert len(plot_curves(short, "digits", {"gelu": [{10: 2.0, 20: 1.5, 30: 1.0}]}).axes) == 2


def test_curves_by_step_show_the_training_loss_at_common_steps():
    steps = {"gelu": [{10: 2.0, 20: 1.0, 30: 0.5}, {10: 4.0, 20: 2.0, 30: 1.5, 40: 1.0}, {10: 3.0, 20: 1.5, 30: 1.0}]}
    by_step, by_epoch = plot_curves({"gelu": CURVES["gelu"]}, "digits", steps).axes
    assert points(by_step.lines[0]).tolist() == [[10, 3.0], [20, 1.5], [30, 1.0]]
    assert band_at(by_step, 10) == pytest.approx(confidence_interval(summarize([2.0, 4.0, 3.0])))
    assert (by_step.get_xlabel(), by_epoch.get_xlabel()) == ("optimizer step", "epoch")
    many = {"gelu": [{step: float(step) for step in range(1, 601)}]}
    (line,) = plot_curves({"gelu": CURVES["gelu"]}, "digits", many).axes[0].lines
    assert points(line)[:2].tolist() == [[5.5, 5.5], [15.5, 15.5]]  # means of ten steps


def test_recipes_of_learning_curves_are_named_where_they_differ():
    recipes = {"resnet50": ("classic", 0.0), "modern_recipe": ("modern", 0.1), "convnext": ("modern", 0.1)}
    records = [
        make_record(step, 60.0, seed, recipe=name, config={"recipe": {"label_smoothing": smoothing}})
        for step, (name, smoothing) in recipes.items()
        for seed in (0, 1)
    ]
    note = recipes_note(records, recipes)
    assert note == (
        "Recipes differ, so training losses are not comparable across them: classic (ResNet-50); modern "
        "(Modern recipe, ConvNeXt)."
    )
    assert recipes_note(records, ["modern_recipe", "convnext"]) == ""
    assert note in " ".join(plot_curves(CURVES, "digits", None, note).get_supxlabel().split())


def test_long_curves_have_no_marks():
    figure = plot_curves({"gelu": [[float(epoch) for epoch in range(300)]]}, "digits")
    assert "<title>" not in to_svg(figure)


def test_step_curves_are_read_where_every_run_has_them(tmp_path):
    records = {tmp_path / str(seed) / "record.json": make_record("gelu", 50.0, seed) for seed in (0, 1)}
    for path in records:
        path.parent.mkdir()
        path.with_name("steps.jsonl").write_text(
            '{"step": 50, "epoch": 1, "train_loss": 2.0}\n{"step": 100, "epoch": 2, "train_loss": 1.0}\n'
        )
    assert load_step_curves(records, ["gelu"]) == ({"gelu": [{50: 2.0, 100: 1.0}] * 2}, [])
    first, second = (path.with_name("steps.jsonl") for path in records)
    first.write_text('{"step": 50, "tr')
    curves, (line,) = load_step_curves(records, ["gelu"])
    assert curves == {}
    assert line.startswith(f"training loss by step: {first}: ")
    first.unlink()
    assert load_step_curves(records, ["gelu"]) == (
        {},
        [f"training loss by step: {first}: No such file or directory"],
    )
    second.unlink()
    assert load_step_curves(records, ["gelu"]) == ({}, [])  # runs of modernet 0.1


def test_load_curves_skips_unreadable_metrics_and_names_their_files(tmp_path):
    good = '{"epoch": 1, "top1": 50.0}\n{"epoch": 2, "top1": 60.0}\n'
    bad = {
        **{"torn": '{"epoch": 1, "to', "bare": "{}\n", "empty": "", "words": '{"epoch": 1, "top1": "high"}\n'},
        "nan": '{"epoch": 1, "top1": NaN}\n{"epoch": 2, "top1": 60.0}\n',
        "short": '{"epoch": 1, "top1": 60.0}\n',
        "twice": good + good,
        "of another run": good.replace("60.0", "61.0"),
    }
    records = {}
    for seed, (name, text) in enumerate({"good": good, **bad}.items()):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(text)
        records[tmp_path / name / "record.json"] = make_record("gelu", 60.0, seed)
    records[tmp_path / "missing/record.json"] = make_record("gelu", 60.0, 9)
    curves, skipped = load_curves(records, ["gelu", "convnext"])
    assert curves == {"gelu": [[50.0, 60.0]]}
    assert skipped[-1].endswith("metrics.jsonl: No such file or directory")
    assert "not that of the record, with 2 epochs to top-1 60" in skipped[-2]
    assert [line.split("/metrics.jsonl")[0] for line in skipped] == [str(tmp_path / name) for name in (*bad, "missing")]
