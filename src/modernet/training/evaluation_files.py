"""The files of an evaluation: its numbers, those of each class, the confusion matrix, and the logits."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modernet.analysis.formatting import escape_formula
from modernet.errors import UserError
from modernet.figures.confusion import plot_confusion
from modernet.figures.svg import save_figure
from modernet.runtime.io import write_bytes, write_text
from modernet.training.evaluation import Evaluation

SUMMARY_FILE = "summary.json"


def default_folder(run: Path, images: str, is_ema: bool, facts: Mapping[str, Any]) -> Path:
    """The folder of this kind of evaluation in that of the run; `images` is empty for those of the run.

    Raises UserError where it has an evaluation of other images or values, by the `facts` of its summary.
    """
    out = run / "-".join(["evaluation", *filter(None, [images, "ema" if is_ema else ""])])
    try:
        before: Any = json.loads((out / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or a damaged one
        return out
    compared = {name: value for name, value in facts.items() if name != "evaluated"}  # a path can be moved
    if isinstance(before, dict) and any(before.get(name, value) != value for name, value in compared.items()):
        words = [str(before.get("data") or ""), str(before.get("evaluated")), *map(str, before.get("overrides", []))]
        raise UserError(
            f"{out} has the evaluation of {', '.join(filter(None, words))}, which this one would replace; --out=DIR "
            "names another folder"
        )
    return out


def write_files(
    out: Path, evaluation: Evaluation, names: Sequence[str], title: str, facts: Mapping[str, Any]
) -> list[Path]:
    """Write summary.json, per_class.csv, confusion.csv and the figure of the matrix; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    per_class = [[name, *values] for name, values in zip(names, evaluation.per_class(), strict=True)]
    write_text(out / "per_class.csv", _to_csv([["class", "images", "top1", "precision"], *per_class]))
    matrix = [[name, *row] for name, row in zip(names, evaluation.confusion.tolist(), strict=True)]
    write_text(out / "confusion.csv", _to_csv([["class", *names], *matrix]))
    summary = {
        **facts,
        "images": len(evaluation.labels),
        "skipped": evaluation.skipped,
        "top1": evaluation.accuracy(1),
        "top5": evaluation.accuracy(5),
        "balanced_top1": evaluation.balanced_accuracy,
        "largest_class": evaluation.largest_class,
        "loss": evaluation.loss,
    }
    write_text(out / SUMMARY_FILE, json.dumps(summary, indent=1) + "\n")
    figures = save_figure(plot_confusion(evaluation.confusion, names, title), out / "confusion")
    return [out / SUMMARY_FILE, out / "per_class.csv", out / "confusion.csv", *figures]


def write_logits(path: Path, evaluation: Evaluation, names: Sequence[str]) -> None:
    """Write the arrays logits (N, classes), labels (N,) and classes as .npz."""
    file = io.BytesIO()
    logits, labels = evaluation.logits.numpy(), evaluation.labels.numpy()
    np.savez(file, logits=logits, labels=labels, classes=np.array(names))
    write_bytes(path, file.getvalue())


def _to_csv(rows: list[list[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([list(map(escape_formula, row)) for row in rows])
    return file.getvalue()
