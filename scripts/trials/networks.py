"""Trials of networks: all combinations of the steps, and random networks over all fields."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import compress, product
from pathlib import Path

import torch

from modernet.config.roadmap import apply_steps, network_steps
from modernet.models.network import build_model
from trials.trial import Trial

SCRIPT = Path(__file__).with_name("random_networks.py")
COMBINATIONS = "combinations of the 13 steps: build and have an output"
STEP = "random networks: one training step, gradients finite and as in float64"
COST = "random networks: GMACs by fvcore are half of torch's FLOPs"
LARGE = "narrow networks with 128 to 512 images of 48 to 58 pixels: the same step"


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Every row of this part."""
    yield from _combinations(100 if short else None, seed)
    for result in _in_processes("small", range(seed, seed + (10 if short else 300))):
        yield Trial(STEP, not result["step"], result["step"])
        yield Trial(COST, not result["cost"], result["cost"])
    for result in _in_processes("large", range(seed, seed + (2 if short else 30))):
        yield Trial(LARGE, not result["step"], result["step"])


def _combinations(count: int | None, seed: int) -> Iterator[Trial]:
    """All 2^13 networks, or `count` random ones, in size micro, without memory for their weights."""
    steps = network_steps("convnext", "micro")
    combinations = [tuple(compress(steps, chosen)) for chosen in product((False, True), repeat=len(steps))]
    if count is not None:
        combinations = random.Random(seed).sample(combinations, count)
    for names in combinations:
        problem = ""
        try:
            with torch.device("meta"), torch.no_grad():
                model = build_model(apply_steps(names, "micro"), 10)
                features = model.forward_features(torch.empty(2, 3, 32, 32))
            if features.shape != (2, model.classifier.in_features, 1, 1):
                problem = f"the output has the shape {tuple(features.shape)}"
        except Exception as error:  # whatever a network raises is the result of the trial
            problem = f"{type(error).__name__}: {error}"
        yield Trial(COMBINATIONS, not problem, f"{', '.join(names)}: {problem}")


def _in_processes(kind: str, numbers: Sequence[int]) -> Iterator[dict[str, str]]:
    """The results of random_networks.py; after a process that died, another one continues with the next network."""
    left = list(numbers)
    while left:
        command = [sys.executable, "-X", "faulthandler", SCRIPT, kind, *map(str, left)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        results = [json.loads(line) for line in process.stdout.splitlines()]
        yield from results
        left = left[len(results) :]
        if left:
            status = process.returncode
            reason = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            problem = (
                f"the process died ({reason}); repeat: {SCRIPT.name} {kind} {left.pop(0)}: {process.stderr[-500:]}"
            )
            yield {"step": problem, "cost": problem}
