"""Trials of numbers: equal commands have equal results bit for bit, and a record has the loss of the saved weights."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from modernet import load_run
from modernet.config.roadmap import roadmap
from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.loader import build_loader
from modernet.record import load_record
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.runtime.file_names import METRICS_FILE, WEIGHTS_FILE
from modernet.training.loop import evaluate
from trials.commands import REPOSITORY
from trials.processes import without_clock
from trials.trial import Trial

MAX_SECONDS = 600  # of a run
QUICK = ("recipe.epochs=2", "recipe.warmup_epochs=1", "wandb=disabled", "log_every_steps=5")
CHOICES = {
    "recipe": ("modern", "classic", "a2"),
    "recipe.batch_size": (64, 96, 250),
    "recipe.ema_decay": (0.0, 0.9),
    "recipe.drop_path_rate": (0.0, 0.3),
    "channels_last": ("true", "false"),
}


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Every row of this part; on a GPU with `deterministic=true`."""
    for number in range(seed, seed + (1 if short else 20)):
        with tempfile.TemporaryDirectory() as name:
            yield from _train_twice(Path(name), number)


def _train_twice(folder: Path, number: int) -> Iterator[Trial]:
    rng = random.Random(number)
    words = [f"+step={rng.choice(list(roadmap('micro')))}", f"seed={number}", *QUICK]
    words += [f"{name}={rng.choice(values)}" for name, values in CHOICES.items()]
    on_gpu = torch.cuda.is_available()
    words += ["deterministic=true"] if on_gpu else []
    what = f"the same command in two processes: the same bits ({'GPU, deterministic=true' if on_gpu else 'CPU'})"
    outcomes = []
    for attempt in ("1", "2"):
        try:
            outcomes.append(_train(words, folder / attempt, PYTHONHASHSEED=attempt))
        except RuntimeError as error:
            yield Trial(what, False, f"{' '.join(words)}: {error}")
            return
    (record, epochs, weights), (_, other_epochs, other_weights) = outcomes
    same_weights = all(torch.equal(weights[name], other_weights[name]) for name in weights)
    held = epochs == other_epochs and same_weights
    yield Trial(
        what, held, f"{' '.join(words)}: weights equal: {same_weights}, metrics equal: {epochs == other_epochs}"
    )
    loss, recorded = _evaluate(record), load_record(record).val_loss
    detail = f"{' '.join(words)}: {recorded} in the record, {loss} by the saved weights"
    yield Trial("val_loss of the record: that of the saved weights, bit for bit", loss == recorded, detail)


def _train(words: list[str], runs: Path, **environment: str) -> tuple[Path, list[dict[str, Any]], dict[str, Any]]:
    """Path of the record, metrics without times, and weights of a run. Raises RuntimeError where it fails."""
    command = [sys.executable, REPOSITORY / "train.py", *words, f"runs={runs}"]
    try:
        result = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=MAX_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(str(error)) from error
    if result.returncode:
        raise RuntimeError(f"exit status {result.returncode}: {result.stderr[-500:]}")
    record = Path(result.stdout.splitlines()[-1])
    lines = record.with_name(METRICS_FILE).read_text().splitlines()
    epochs = [without_clock(json.loads(line)) for line in lines]
    return record, epochs, torch.load(record.with_name(WEIGHTS_FILE), weights_only=True)["model"]


def _evaluate(path: Path) -> float:
    """The loss of a run's saved weights on its evaluated split, computed as the run did it."""
    record, env = load_record(path), DistributedEnv()
    recipe, data = RecipeConfig(**record.config["recipe"]), DataConfig(**record.config["data"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = batch_layout(env, recipe.batch_size, recipe.micro_batch_size)
    loader = build_loader(data, recipe, record.seed, layout, device, 0)
    format = torch.channels_last if record.machine["channels_last"] else torch.contiguous_format
    model = load_run(path).to(device, memory_format=format)  # pyright: ignore[reportCallIssue]
    torch.set_num_threads(record.machine["threads"])
    return evaluate(model, loader.eval_batches(), env).loss
