"""Progress of a run: a bar on a terminal, elsewhere a log line every half minute."""

import sys
import time

from tqdm import tqdm

from modernet.config.schema import RecipeConfig
from modernet.runtime.distributed import DistributedEnv
from modernet.runtime.logging import is_sweep_worker, logger
from modernet.runtime.streams import is_terminal

LINE_INTERVAL = 30.0  # seconds between lines where there is no terminal


def format_clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    return tqdm.format_interval(seconds).removeprefix("0")


class Progress:
    """A progress bar over all images of a run; silent on all ranks but the first."""

    def __init__(self, recipe: RecipeConfig, steps_per_epoch: int, steps_done: int, env: DistributedEnv) -> None:
        self.epochs, self.steps_per_epoch, self.batch_size = recipe.epochs, steps_per_epoch, recipe.batch_size
        self.enabled = env.is_main_process
        self.first_step = steps_done
        self.started = self.last_line = time.monotonic()
        on_terminal = is_terminal(sys.stderr) and not is_sweep_worker()
        self.bar = tqdm(
            total=self.epochs * steps_per_epoch * self.batch_size,
            initial=steps_done * self.batch_size,
            unit="img",
            unit_scale=True,
            dynamic_ncols=True,
            disable=not (self.enabled and on_terminal),
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def update(self, step: int, loss: float, top1: float) -> None:
        """Show the state after `step` optimizer steps of the run."""
        now = time.monotonic()
        line_due = self.enabled and self.bar.disable and now - self.last_line >= LINE_INTERVAL
        redrawn = self.bar.update(self.batch_size)
        if not (line_due or redrawn):
            return
        seconds_per_step = (now - self.started) / max(step - self.first_step, 1)  # evaluation included
        epoch = (step - 1) // self.steps_per_epoch
        epoch_left = format_clock(seconds_per_step * ((epoch + 1) * self.steps_per_epoch - step))
        run_left = format_clock(seconds_per_step * (self.epochs * self.steps_per_epoch - step))
        position = f"{step - epoch * self.steps_per_epoch}/{self.steps_per_epoch}"
        numbers = {"step": position, "loss": f"{loss:.3f}", "top1": f"{top1:.1f}%"}
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
        self.bar.set_postfix({**numbers, "epoch_left": epoch_left}, refresh=False)  # the bar shows the run's itself
        if line_due:
            self.last_line = now
            text = ", ".join(f"{name} {value}" for name, value in numbers.items())
            speed = self.batch_size / seconds_per_step
            logger.info(
                f"epoch {epoch + 1}/{self.epochs}: {text}, {speed:.0f} images/s, "
                f"time left: epoch {epoch_left}, run {run_left}"
            )
