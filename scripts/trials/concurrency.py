"""Sixteen sweeps on one folder of runs, while tables are built from it."""

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trials.processes import Command, Result, leftovers, remove, run, start, without_clock
from trials.trial import Trial

REPETITIONS, FEW = 20, 1
SWEEPS, WAITING, TABLES = 12, 4, 4
SWEEP = (
    *("-m", "+step=gelu,convnext", "seed=0,1,2", "data=fake", "data.image_size=8", "data.num_classes=10"),
    *("data.train_images=128", "data.test_images=64", "recipe.batch_size=64", "recipe.epochs=3"),
    *("recipe.warmup_epochs=0", "wandb=disabled", "hydra.launcher.n_jobs=1"),  # else 16 times one process per core
)
RUNS = 6


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """No record is lost, doubled or torn, and a sweep that waits reports every run as done."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="modernet-") as name:
        folder = Path(name)
        run(folder / "alone", "train", *SWEEP, f"runs={folder / 'alone/runs'}")
        reference = _load(folder / "alone/runs")
        for number in range(FEW if short else REPETITIONS):
            yield from _repetition(folder / str(number), reference, rng)


def _load(runs: Path) -> dict[str, Any]:
    """Folder of a run -> its record without what depends on the clock. Raises ValueError for a torn one."""
    return {path.parent.name: without_clock(json.loads(path.read_text())) for path in runs.glob("*/*/record.json")}


def _repetition(folder: Path, reference: dict[str, Any], rng: random.Random) -> Iterator[Trial]:
    runs = folder / "runs"
    runs.mkdir(parents=True)
    words = [SWEEP] * SWEEPS + [(*SWEEP, "wait=true")] * WAITING
    rng.shuffle(words)
    sweeps = [start(folder / f"sweep-{i}", "train", *word, f"runs={runs}") for i, word in enumerate(words)]
    tables = _build_tables(folder, runs, sweeps)
    results = [sweep.wait() for sweep in sweeps]
    try:
        records = _load(runs)
    except ValueError as error:
        records = {"torn": str(error)}
    logs = [log.read_text().count("epoch 1: ") for log in runs.rglob("train.log")]
    faults = [f"{len(records)} records"] if len(records) != RUNS else []
    faults += ["a record differs"] if records != reference else []
    faults += ["a run was trained twice"] if logs != [1] * RUNS else []
    left = [name for name in leftovers(runs) if name.endswith((".part", ".pt"))]
    faults += [f"left {left}"] if left else []
    what = f"{SWEEPS + WAITING} sweeps and {TABLES} tables at a time: no record is lost, doubled or torn"
    yield Trial(what, not faults, f"{'; '.join(faults)}, {folder}")

    bad = [result for result, word in zip(results, words, strict=True) if not _is_expected(result, word)]
    what = "a sweep beside others reports every run: done, or trained by another process; done with wait=true"
    yield Trial(what, not bad, f"{bad[:1]}, {folder}")

    torn = [
        table for table in tables if table.status not in (0, 2) or "excluded" in table.err or len(table.errors()) > 1
    ]
    yield Trial("a table that is built meanwhile", not torn, f"{len(tables)} tables: {torn[:1]}, {folder}")
    if not faults and not bad and not torn:
        remove(folder)


def _build_tables(folder: Path, runs: Path, sweeps: list[Command]) -> list[Result]:
    """Tables, always `TABLES` at a time, until the sweeps end."""
    results: list[Result] = []
    while any(sweep.process.is_alive() for sweep in sweeps):
        tables = [start(folder / f"table-{len(results) + i}", "table", runs, "--json") for i in range(TABLES)]
        results += [table.wait() for table in tables]
    return results


def _is_expected(result: Result, words: tuple[str, ...]) -> bool:
    if "wait=true" in words:
        return result.status == 0 and len(result.out.splitlines()) == RUNS
    missing = [line for line in result.err.splitlines() if "is being trained by" in line]
    return result.status == int(bool(missing)) and len(result.out.splitlines()) + len(missing) == RUNS
