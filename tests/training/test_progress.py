"""Progress of a run: a bar on a terminal, log lines elsewhere."""

import fcntl
import logging
import os
import re
import struct
import termios

import pytest
from helpers import ready_trainer, recipe_config

from modernet.runtime.distributed import DistributedEnv
from modernet.training import progress
from modernet.training.progress import Progress


@pytest.fixture
def terminal(monkeypatch):
    """Standard error is a terminal of 200 columns; the fixture returns the end from which to read what it shows."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))  # rows, columns
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        yield reader
    os.close(reader)


def test_progress_bar_shows_epoch_step_loss_speed_and_time_left(terminal, tmp_path):
    with ready_trainer(tmp_path) as trainer:
        list(trainer.epochs())
    text = os.read(terminal, 1_000_000).decode()
    bars = [part for part in re.split(r"[\r\n]", text) if "epoch_left" in part]
    assert bars
    for pattern in (
        r"epoch [12]/2",
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
    recipe = recipe_config("modern", epochs=4, batch_size=64)
    with caplog.at_level(logging.INFO, "modernet"):
        for rank in (0, 1):
            with Progress(recipe, steps_per_epoch=10, steps_done=0, env=DistributedEnv(rank, 2)) as shown:
                shown.update(13, loss=1.25, top1=50.0)
    (line,) = caplog.messages
    expected = r"epoch 2/4: step 3/10, loss 1\.250, top1 50\.0%, \d+ images/s, time left: epoch [\d:]+, run [\d:]+"
    assert re.fullmatch(expected, line), line
