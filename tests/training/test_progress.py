"""What a run shows: a bar on a terminal, else lines; and what the watch sees."""

import fcntl
import logging
import os
import re
import struct
import subprocess
import sys
import termios

import torch
from helpers import ROOT

from modernet.training.state import progress
from modernet.training.progress import Progress, LossMonitor


def test_a_terminal_gets_a_bar_with_everything(tmp_path):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))  # rows, columns
    command = [sys.executable, "train.py", "+step=gelu", "recipe.epochs=3", f"runs={tmp_path}", "wandb=disabled"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # the other side is closed
            break
    os.close(ours)
    assert process.wait() == 0
    text = shown.decode()
    bars = [part for part in re.split(r"[\r\n]", text) if "epoch_left" in part]
    assert bars
    for pattern in (
        r"epoch [123]/3",
        r"step=\d+/22",
        r"loss=\d",
        r"top1=[\d.]+%",
        r"img/s",
        r"<\d+:\d\d",
        r"epoch_left=",
    ):
        assert re.search(pattern, bars[-1]), (pattern, bars[-1])


def test_elsewhere_a_line_is_written_now_and_then(monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, "modernet"):
        shown = Progress(epochs=4, steps=10, batch=64, done=0, shown=True)
        shown.step(13, loss=1.25, top1=50.0)
        shown.close()
        silent = Progress(epochs=4, steps=10, batch=64, done=0, shown=False)
        silent.step(13, loss=1.25, top1=50.0)
        silent.close()
    (line,) = caplog.messages
    expected = r"epoch 2/4: step 3/10, loss 1\.250, top1 50\.0%, \d+ images/s, left: epoch [\d:]+, run [\d:]+"
    assert re.fullmatch(expected, line), line


def test_the_watch_reads_means_and_keeps_the_first_bad_step():
    watch = LossMonitor()
    watch.put(1, 0.1, torch.tensor([64.0, 128.0, 32.0, 60.0]))
    assert (watch.loss, watch.top1, watch.bad) == (2.0, 50.0, None)
    for step, lr in ((2, 0.2), (3, 0.3)):
        watch.put(step, lr, torch.tensor([64.0, float("nan"), 0.0, 0.0]))
    assert watch.bad is not None
    assert (watch.bad.step, watch.bad.lr) == (2, 0.2)
