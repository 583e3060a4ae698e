"""Estimated durations follow from records, and from GMACs where there are none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import MAIN_PATH, ROOT, compose, execution_config, run_command
from records import make_record

from modernet.commands.plan import total_duration
from modernet.config.experiment import Experiment
from modernet.data.fingerprint import resolve_data
from modernet.errors import UserError
from modernet.record import write_record
from modernet.sweeps import estimate
from modernet.sweeps.estimate import (
    EVAL_COST,
    STARTUP_SECONDS,
    Throughput,
    num_images,
    planned_settings,
    usual_device,
)

PLAIN = {"amp": "off", "compile": "off"}
MICRO = ("protocol=cifar10_micro",)


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    """Data sets with files and benchmarks are absent, as on a machine where a cluster's sweep is planned."""
    monkeypatch.delenv("MODERNET_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def write_finished_run(runs: Path, experiment: Experiment, images_per_second: float, **changes) -> None:
    folder = experiment.folder(runs)
    folder.mkdir(parents=True)
    record = make_record(
        experiment.step,
        50.0,
        experiment.seed,
        protocol=experiment.protocol,
        variant=experiment.variant,
        config=experiment.config,
    )
    write_record(folder, replace(record, images_per_second=images_per_second, **changes))


def table_row(text: str, title: str) -> list[str]:
    return next([cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if title in line)


def format_minutes(seconds: float) -> str:
    return f"{round(seconds) // 60} min {round(seconds) % 60:02} s"


def test_plan_uses_the_measured_speed_and_else_that_of_other_networks(tmp_path):
    write_finished_run(tmp_path, compose(*MICRO, "+step=gelu"), 1000.0, gmacs=0.01)
    sweep = (*MICRO, "+step=gelu,kernel_size,layer_norm", "seed=0,1", f"runs={tmp_path}")
    result = run_command("plan", "-m", *sweep)
    assert result.returncode == 0, result.stderr
    assert table_row(result.stdout, "gelu, seed 0")[1:] == ["done", "", ""]
    seconds = STARTUP_SECONDS + 6 * (50_000 + 10_000 * EVAL_COST) / 1000  # six epochs
    assert table_row(result.stdout, "gelu, seed 1")[1:] == ["to do", format_minutes(seconds), "measured"]
    # kernel_size has the 0.0071 GMACs of gelu, and other networks do 10 per second
    assert table_row(result.stdout, "kernel_size, seed 0")[3] == "GMACs, at 10 GMACs/s of other networks"
    assert "6 runs, 5 to train" in result.stdout
    assert "1 of these times are measured on cpu; 4 follow from GMACs" in result.stdout


def test_plan_of_absent_data_counts_the_published_images_and_says_so(tmp_path):
    result = run_command("plan", *MICRO, "+step=gelu", f"runs={tmp_path}")
    assert result.returncode == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("data=cifar10 is not on this machine, so its finished runs count as to do (")
    assert num_images(compose(*MICRO).data) == (50_000, 10_000)
    assert num_images(compose(*MICRO, "data.split=train/val").data) == (45_000, 5_000)
    assert num_images(compose("data=fake").data) == (1024, 256)


def test_plan_refuses_data_that_is_here_and_invalid(tmp_path):
    images, labels = np.zeros((4, 32, 32, 3), np.float32), np.arange(4)
    np.savez(tmp_path / "cifar10.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    result = run_command("plan", *MICRO, "+step=gelu", f"data.root={tmp_path}", f"runs={tmp_path}")
    assert result.returncode == 2
    assert "x_train must be (N, H, W, 3) uint8" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "at_once", "duration"), [([30, 30, 30], 2, 60), ([10, 20, 30], 2, 40), ([10, 20, 30], 1, 60)]
)
def test_a_run_starts_when_a_worker_is_free(seconds, at_once, duration):
    assert total_duration(seconds, at_once) == duration


def test_plan_of_a_study_for_a_cluster_is_in_roadmap_order(tmp_path, monkeypatch):
    monkeypatch.setattr(Throughput, "images_per_second", lambda self, *_: (self.assumed, "GMACs"))
    study = ("+study=roadmap", "protocol=imagenet", "seed=0,1,2", "hydra/launcher=slurm_node", f"runs={tmp_path}")
    result = run_command("plan", *study)
    assert result.returncode == 0, result.stderr
    assert "45 runs, 45 to train" in result.stdout
    assert "8 at once on 8 devices each" in result.stdout
    titles = [line.split(",")[0].strip("| ") for line in result.stdout.splitlines() if ", seed 0," in line]
    assert titles == MAIN_PATH


def test_duration_on_a_device_without_records_follows_from_the_assumed_speed(tmp_path):
    hours = []
    for speed in ("1000", "4000"):
        result = run_command("plan", "+step=convnext", "protocol=imagenet", f"runs={tmp_path}", "--speed", speed)
        assert f"GMACs, at an assumed {int(speed):,} GMACs/s" in result.stdout
        hours.append(float(result.stdout.split(" device-hours")[0].split()[-1].replace(",", "")))
    assert hours[0] == pytest.approx(4 * hours[1], rel=0.01)


def test_without_records_the_benchmarks_of_this_machine_count(tmp_path, monkeypatch):
    """Slurm's nodes may be of another kind."""
    monkeypatch.chdir(ROOT)
    arguments = ("plan", "+step=gelu", "protocol=cifar10_micro", f"runs={tmp_path}")
    assert table_row(run_command(*arguments, "device=cpu").stdout, "gelu, seed 0")[3] == "benchmark"
    elsewhere = run_command(*arguments, "device=cpu", "hydra/launcher=slurm")
    assert "at an assumed 2,000 GMACs/s" in table_row(elsewhere.stdout, "gelu, seed 0")[3]
    write_finished_run(tmp_path, resolve_data(compose("+step=gelu")), 100.0)
    elsewhere = run_command("plan", "+step=gelu", "seed=1", f"runs={tmp_path}", "hydra/launcher=slurm")
    assert "at an assumed 2,000 GMACs/s" in table_row(elsewhere.stdout, "gelu, seed 1")[3]
    absent = run_command(*arguments, "device=cuda:99")
    assert (absent.returncode, absent.stdout) == (2, "")
    assert "device=cuda:99 cannot be used" in absent.stderr


def test_throughput_is_that_of_one_device_with_the_threads_of_a_run():
    gelu = compose(*MICRO, "+step=gelu")
    record = make_record("gelu", 50.0, config=gelu.config)
    on_cpu = [replace(record, images_per_second=rate, machine={"threads": 2}) for rate in (100.0, 200.0, 900.0)]
    on_gpu = replace(record, images_per_second=8000.0, device="H100", machine={"devices": 4, "threads": 16})
    records = [*on_cpu, on_gpu]
    assert Throughput(records, [], usual_device(records), 1, None).images_per_second(gelu, PLAIN) == (100.0, "measured")
    assert Throughput(records, [], "cpu", 2, None).images_per_second(gelu, PLAIN) == (200.0, "measured")
    assert Throughput(records, [], "H100", 1, None).images_per_second(gelu, PLAIN) == (2000.0, "measured")
    larger = compose("protocol=imagenette", "+step=layer_norm")
    rate, source = Throughput(records, [], "cpu", 2, None).images_per_second(larger, PLAIN)
    assert source.endswith("GMACs/s of other networks on images of 32 px")
    assert 0 < rate < 100
    failed = replace(record, status="failed", images_per_second=5.0)
    assert usual_device([failed]) is None
    assert Throughput([failed], [], None, 1, 0.5).images_per_second(gelu, PLAIN)[1] == "GMACs, at an assumed 0 GMACs/s"


@pytest.mark.parametrize(
    ("device", "steps", "execution", "expected"),
    [
        ("cpu", 5000, {}, ("off", "off")),
        ("mps", 5000, {}, ("off", "off")),
        ("H100", 5000, {}, ("bf16", "on")),
        ("H100", 312, {}, ("bf16", "off")),
        ("H100", 312, {"compile": "on", "amp": "off"}, ("off", "on")),
        ("H100", 5000, {"compile": "off"}, ("bf16", "off")),
    ],
)
def test_planned_settings_are_those_that_a_run_chooses(device, steps, execution, expected):
    settings = planned_settings(execution_config(**{"amp": "auto", **execution}), device, steps)
    assert settings == dict(zip(("amp", "compile"), expected, strict=True))


def test_runs_with_another_program_are_not_taken_for_measurements():
    gelu, other = compose(*MICRO, "+step=gelu"), compose(*MICRO, "+step=layer_norm")
    compiled = {"amp": "bf16", "compile": "on"}

    def speed(*measured: tuple[float, dict[str, object]], experiment: Experiment = gelu) -> tuple[float, str]:
        record = replace(make_record("gelu", 50.0, config=gelu.config), device="H100", gmacs=0.01)
        records = [replace(record, images_per_second=rate, machine=machine) for rate, machine in measured]
        return Throughput(records, [], "H100", 1, None).images_per_second(experiment, compiled)

    short = (100.0, {"amp": "bf16", "compile": False})
    in_float32 = (50.0, {"amp": "off", "compile": False})
    long = (300.0, {"amp": "bf16", "compile": True})
    assert speed(short, long, in_float32) == (300.0, "measured")
    assert speed(short, (120.0, {})) == (120.0, "measured")  # a record that does not tell
    assert speed(short) == (100.0, "measured with compile=off")
    assert speed(in_float32) == (50.0, "measured with amp=off, compile=off")
    assert speed(short, long, experiment=other)[1] == "GMACs, at 3 GMACs/s of other networks"
    assert speed(short, experiment=other)[1] == "GMACs, at 1 GMACs/s of other networks"


def test_plan_names_the_settings_in_which_a_measured_run_differs(tmp_path):
    machine = {"devices": 1, "threads": 1, "amp": "off", "compile": False}
    write_finished_run(tmp_path, compose(*MICRO, "+step=gelu"), 1000.0, gmacs=0.01, machine=machine)
    for execution, source, summary in (
        ("amp=off", "measured", "1 of these times are measured on cpu; 0 follow from GMACs."),
        (
            "amp=bf16",
            "measured with amp=off",
            "0 of these times are measured; 1 are measured with another amp or compile; 0 follow from GMACs.",
        ),
    ):
        result = run_command("plan", *MICRO, "+step=gelu", "seed=1", f"runs={tmp_path}", execution)
        assert table_row(result.stdout, "gelu, seed 1")[3] == source, result.stderr
        assert summary in result.stdout


def test_the_rest_of_an_interrupted_run_is_estimated(tmp_path):
    experiment = resolve_data(compose("+step=gelu", "seed=1"))
    write_finished_run(tmp_path, replace(experiment, seed=0), 100.0)
    folder = experiment.folder(tmp_path)
    folder.mkdir()
    (folder / f"checkpoint-{12 * 22 // 2:09}-{'0' * 16}.pt").touch()
    result = run_command("plan", "+step=gelu", "seed=1", f"runs={tmp_path}")
    seconds = STARTUP_SECONDS + 12 * (1437 + 360 * EVAL_COST) / 100 / 2
    assert table_row(result.stdout, "gelu, seed 1")[1:] == ["50% done", format_minutes(seconds), "measured"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["+step=inverted"], "there is no step 'inverted'"),
        (["+study=all"], "there is no study 'all'; allowed: add_one_in, beyond, budget, kernels"),
        (["data=shards", "data.num_classes=2"], "the number of images of data=shards is unknown"),
        (["--speed", "-1"], "--speed must be a number of GMACs/s above 0, got -1"),
        (["--records", "/no/such"], "there is no folder /no/such"),
        (["--config-dir", "/no/such"], "--config-dir must name a folder of config groups"),
    ],
)
def test_a_mistake_in_plan_is_one_line_and_status_2(arguments, message, tmp_path):
    result = run_command("plan", *arguments, f"runs={tmp_path}")
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[-1]


def test_every_data_set_of_known_files_has_its_number_of_images():
    names = {path.stem for path in (ROOT / "configs/data").glob("*.yaml")}
    assert set(estimate.IMAGES) == names - {"digits", "fake", "folder", "shards"}


def test_number_of_images_of_an_unknown_data_set_is_an_error():
    with pytest.raises(UserError, match="the number of images of data=folder is unknown"):
        num_images(compose("data=folder").data)
