"""configs/wandb/ with the real `wandb sweep` and `wandb agent`, against the stand-in server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
import yaml
from helpers import MAIN_PATH, QUICK_RUN, ROOT, printed_record
from wandb_server import Server


def parameters(name: str) -> dict[str, list]:
    """Parameter of a sweep file -> its values."""
    file = yaml.safe_load((ROOT / f"configs/wandb/{name}.yaml").read_text())
    return {key: entry.get("values", [entry.get("value")]) for key, entry in file["parameters"].items()}


def test_sweep_files_have_the_steps_and_the_kernel_sizes():
    assert parameters("roadmap")["+step"] == MAIN_PATH
    kernels = parameters("kernels")
    assert (kernels["+step"], kernels["model.kernel_size"]) == (["move_up_depthwise"], [3, 5, 7, 9, 11])


def test_sweep_files_are_no_options_of_the_config_group(train_in_process):
    for choice in ("kernels", "sometimes"):
        result = train_in_process(f"wandb={choice}")
        assert result.returncode == 2
        assert "auto, disabled, offline, online" in result.stderr
        assert "roadmap" not in result.stderr


@pytest.mark.slow
def test_agent_trains_a_run_online_and_replays_a_finished_one(tmp_path):
    def run_wandb(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            **server.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        return subprocess.run(
            [sys.executable, "-m", "wandb", *words],
            cwd=ROOT,
            env=environment | {"WANDB_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    wandb.teardown()
    with Server(tmp_path) as server:
        result = run_wandb("sweep", "--entity", "me", "--project", "searches", "configs/wandb/kernels.yaml")
        assert result.returncode == 0, result.stderr
        quick = dict(word.split("=", 1) for word in (*QUICK_RUN, f"runs={tmp_path / 'runs'}"))
        chosen = {key: values[0] for key, values in parameters("kernels").items()} | quick
        arguments = {key: {"value": value} for key, value in chosen.items()}
        server.agent_runs = [{"run_id": name, "args": arguments} for name in ("first", "second")]
        result = run_wandb("agent", "me/searches/sweep0")
        assert result.returncode == 0, result.stderr
        (record,) = (tmp_path / "runs").rglob("record.json")
        trained, replayed = server.runs["first"], server.runs["second"]
    top1 = printed_record(subprocess.CompletedProcess([], 0, f"{record}\n", ""))["top1"]
    for run in (trained, replayed):
        assert run.project == "searches"
        assert run.settings["sweep"] == "sweep0"
        assert run.summary["val/top1"] == run.summary["top1"] == pytest.approx(top1)
        assert run.exits[-1] == 0
    losses = [[row["train/loss"] for row in run.history] for run in (trained, replayed)]
    assert losses[0] == losses[1] != []
