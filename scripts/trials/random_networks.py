"""Random networks over all fields of ModelConfig: one training step each, with its gradients and its GMACs checked.

python scripts/trials/random_networks.py small|large NUMBER ...
Prints a line of JSON for each number, which is the seed of a network: {"number": 3, "step": "", "cost": ""}. The texts
are problems. A process that dies names the network by the line that is missing; it also ends where a network takes
longer than MAX_SECONDS of its CPU time.
"""

import faulthandler
import json
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from modernet.config.schema import ExecutionConfig, ModelConfig, RecipeConfig
from modernet.models.flops import model_cost
from modernet.models.network import build_model
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.training.losses import training_loss
from modernet.training.state import TrainPlan, build_state

CLASSES = 7
MAX_SECONDS = 120  # of CPU time, of a network
MAX_ERROR = 0.05  # of all gradients in float32, relative to those in float64
MAX_ELEMENTS = 20_000_000  # of the widest activation, so that a step fits into a few GB
MAX_GMACS = 3  # of a batch, as kernels of 31 pixels in float64 take minutes otherwise


def _subset(rng: random.Random) -> tuple[int, ...]:
    return tuple(position for position in range(3) if rng.random() < 0.5)


def _one_of(*values: Any) -> Callable[[random.Random], Any]:
    return lambda rng: rng.choice(values)


# A value of each field of ModelConfig.
DRAWS: dict[str, Callable[[random.Random], Any]] = {
    "depths": lambda rng: tuple(rng.choice((1, 1, 1, 2, 3)) for _ in range(4)),
    "width": lambda rng: rng.choice((rng.randint(1, 10), rng.randint(1, 40))),
    "stem": _one_of("resnet", "patchify", "overlap"),
    "stem_stride": _one_of(4, 2, 1),
    "depthwise": _one_of(False, True),
    "inverted": _one_of(False, True),
    "spatial_first": _one_of(False, True),
    "kernel_size": _one_of(*range(1, 17, 2), 21, 31),
    "act": _one_of("relu", "gelu"),
    "act_after": _subset,
    "norm_after": _subset,
    "norm": _one_of("batch", "layer"),
    "downsample": _one_of("strided", "separate"),
    "layer_scale": _one_of(0.0, 1e-6, 0.1),
    "hidden_factor": _one_of(1, 1, 2, 3),
    "groups": _one_of(1, 1, 2, 3, 4, 8),
    "grn": _one_of(False, True),
    "mixer": _one_of("conv", "conv", "inception"),
    "small_kernel": _one_of(0, 0, 1, 3, 5),
}


@dataclass(frozen=True)
class Case:
    """A network with a batch of images and the setting of one training step."""

    model: ModelConfig
    image_size: int
    batch_size: int
    optimizer: Literal["sgd", "adamw", "lamb"]
    channels_last: bool


def draw_case(number: int, large: bool) -> Case:
    """The case of this number; `large` ones are narrow networks with many images at the resolution of the stem."""
    assert DRAWS.keys() == {field.name for field in fields(ModelConfig)}, "a field is missing in DRAWS"
    rng = random.Random(f"{number} {large}")
    while True:
        values = {name: draw(rng) for name, draw in DRAWS.items()}
        image_size, batch_size = rng.randint(8, 64), rng.randint(2, 8)
        if large:
            values |= {"width": rng.randint(1, 10), "stem_stride": 1, "depths": (1, 1, 1, 1)}
            image_size, batch_size = rng.randint(48, 58), rng.randint(128, 512)
        optimizer: Literal["sgd", "adamw", "lamb"] = rng.choice(("sgd", "adamw", "lamb"))
        channels_last = rng.random() < 0.75
        try:
            model = ModelConfig(**values)
        except ValidationError:  # a combination without a meaning
            continue
        pixels = batch_size * (image_size // model.stem_stride) ** 2
        is_large = pixels * 4 * model.width * model.hidden_factor > MAX_ELEMENTS
        if image_size < model.min_image_size or is_large:
            continue
        if batch_size * model_cost(model, image_size, CLASSES).gmacs <= MAX_GMACS:
            return Case(model, image_size, batch_size, optimizer, channels_last)


def _relative_error(values: Tensor, exact: Tensor) -> float:
    return ((values.double() - exact).norm() / exact.norm().clamp_min(1e-12)).item()


def _to_channels_last(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].contiguous(memory_format=torch.channels_last),)


def take_step(case: Case, number: int) -> str:
    """Why one training step of the case is wrong; empty where all gradients are finite and equal those in float64.

    They are equal to MAX_ERROR, or to twice the error of torch's own kernels in float32, in either memory layout.
    """
    recipe = RecipeConfig(name="trial", optimizer=case.optimizer, batch_size=case.batch_size, epochs=1, init="torch")
    plan = TrainPlan(recipe, 1, number, batch_layout(DistributedEnv(), recipe.batch_size, None))
    execution = ExecutionConfig(device="cpu", channels_last=case.channels_last)
    state = build_state(case.model, CLASSES, plan, execution, torch.device("cpu"))
    torch.manual_seed(number)
    images = torch.randn(case.batch_size, 3, case.image_size, case.image_size)
    labels = torch.randint(CLASSES, (case.batch_size,))
    training_loss(state.model(images), labels, recipe).backward()
    gradients = {name: parameter.grad for name, parameter in state.model.named_parameters()}
    for name, gradient in gradients.items():
        if gradient is None or not gradient.isfinite().all():
            return f"the gradient of {name} is {'missing' if gradient is None else 'not finite'}"
    ours = torch.cat([gradient.flatten() for gradient in gradients.values() if gradient is not None])

    def reference(dtype: torch.dtype, norms_in_channels_last: bool = False) -> Tensor:
        """The gradients by torch's own kernels in channels first, but for BatchNorm's with `norms_in_channels_last`."""
        model = build_model(case.model, CLASSES).to(dtype)
        model.load_state_dict(state.model.state_dict())
        for module in model.modules():
            if norms_in_channels_last and isinstance(module, nn.BatchNorm2d):
                module.register_forward_pre_hook(_to_channels_last)
        with torch.backends.mkldnn.flags(enabled=False):
            features = model.norm(model.pool(model.forward_features(images.to(dtype)))).flatten(1)
            logits = F.linear(features, model.classifier.weight, model.classifier.bias)  # Classifier is in float32
            training_loss(logits, labels, recipe).backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])

    exact = reference(torch.float64)
    error = _relative_error(ours, exact)
    # BatchNorm of two values has a gradient near 0 that float32 cannot hold with any kernel. In channels last, torch
    # sums its statistics value after value, which loses digits where the values hardly vary.
    if error > MAX_ERROR and error > 2 * max(
        _relative_error(reference(torch.float32, in_channels_last), exact) for in_channels_last in (False, True)
    ):
        return f"the gradients differ from those in float64 by {error:.3g} of their norm"
    state.apply_update(plan.lr(0))
    return "" if state.has_finite_weights() else "the weights after the step are not finite"


def count_cost(case: Case) -> str:
    """How fvcore's GMACs differ from half of the FLOPs by torch's counter; empty where they are equal."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        build_model(case.model, CLASSES).eval()(torch.empty(1, 3, case.image_size, case.image_size))
    ours, theirs = model_cost(case.model, case.image_size, CLASSES).gmacs, counter.get_total_flops() / 2e9
    return "" if round(1e9 * ours) == round(1e9 * theirs) else f"{ours} GMACs by fvcore, {theirs} by torch"


def check(case: Case, number: int) -> dict[str, str]:
    """The problems of a case, with the settings that repeat it."""
    problems = {}
    for name, test in (("step", lambda: take_step(case, number)), ("cost", lambda: count_cost(case))):
        try:
            problem = test()
        except Exception as error:  # whatever a network raises is the result of the trial
            problem = f"{type(error).__name__}: {error}"
        problems[name] = problem and f"{problem}; number {number}: {asdict(case)}"
    return problems


def main() -> None:
    torch.set_num_threads(1)
    faulthandler.register(signal.SIGPROF, chain=True)  # prints where it is; then the signal ends the process
    kind, *numbers = sys.argv[1:]
    for number in map(int, numbers):
        signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
        print(json.dumps({"number": number, **check(draw_case(number, kind == "large"), number)}), flush=True)


if __name__ == "__main__":
    main()
