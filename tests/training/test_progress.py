"""Progress of a run: a bar on a terminal, log lines elsewhere."""

import logging
import re

from helpers import ready_trainer, recipe_config, short_experiment, stderr_terminal

from modernet.runtime.distributed import DistributedEnv
from modernet.training import progress
from modernet.training.progress import Progress


def test_progress_bar_shows_epoch_step_loss_speed_and_time_left(tmp_path):
    with stderr_terminal() as shown, ready_trainer(tmp_path, short_experiment(epochs=1)) as trainer:
        list(trainer.epochs())
    bars = [part for part in re.split(r"[\r\n]", b"".join(shown).decode()) if "epoch_left" in part]
    assert bars
    for pattern in (
        r"epoch 1/1",
        r"step=\d+/22",
        r"loss=\d",
        r"top1=[\d.]+%",
        r"img/s",
        r"<\d+:\d\d",
        r"epoch_left=",
    ):
        assert re.search(pattern, bars[-1]), (pattern, bars[-1])


def test_progress_without_terminal_logs_a_line_on_the_main_process_only(monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0.0)
    recipe = recipe_config("modern", epochs=4, warmup_epochs=1, batch_size=64)
    with caplog.at_level(logging.INFO, "modernet"):
        for rank in (0, 1):
            with Progress(recipe, steps_per_epoch=10, steps_done=0, env=DistributedEnv(rank, 2)) as shown:
                shown.update(13, loss=1.25, top1=50.0)
    (line,) = caplog.messages
    expected = r"epoch 2/4: step 3/10, loss 1\.250, top1 50\.0%, \d+ images/s, time left: epoch [\d:]+, run [\d:]+"
    assert re.fullmatch(expected, line), line
