"""What the plan foretells follows from the records."""

from dataclasses import replace
from pathlib import Path

import hydra
import pytest
from helpers import ROOT, run_script
from hydra import initialize_config_dir
from records import make_record as made

from modernet.sweeps import estimate as plan
from modernet import record
from modernet import roadmap
from modernet.config.experiment import from_config
from modernet.sweeps.estimate import EVALUATION, START, Speeds


@pytest.fixture(scope="module")
def compose():
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        yield lambda *overrides: from_config(hydra.compose("config", [*overrides]))


def measured(folder: Path, run, speed: float, **changes) -> None:
    """A finished run of this experiment, so fast."""
    folder = run.folder(folder)
    folder.mkdir(parents=True)
    one = made(run.step, 50.0, run.seed, protocol=run.protocol, variant=run.variant, config=run.config)
    record.write(folder, replace(one, images_per_second=speed, **changes))


def line_of(text: str, title: str) -> list[str]:
    return next([cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if title in line)


def test_times_follow_from_what_was_measured(compose, tmp_path):
    sweep = ("protocol=cifar10_micro", "+step=gelu,kernel_size,layer_norm", "seed=0,1", f"runs={tmp_path}")
    measured(tmp_path, compose("protocol=cifar10_micro", "+step=gelu"), 1000.0, gmacs=0.01)
    result = run_script("scripts/plan.py", "-m", *sweep)
    assert result.returncode == 0, result.stderr
    assert line_of(result.stdout, "gelu, seed 0")[1:] == ["done", "", ""]
    seconds = START + 2 * (50_000 + 10_000 * EVALUATION) / 1000  # two epochs
    assert line_of(result.stdout, "gelu, seed 1")[1:] == [
        "to do",
        f"{seconds // 60:.0f} min {seconds % 60:02.0f} s",
        "measured",
    ]
    # kernel_size has the GMACs of gelu, which are 0.0071, and other networks do 10 a second.
    assert line_of(result.stdout, "kernel_size, seed 0")[3] == "GMACs, at 10 GMACs/s of other networks"
    assert "6 runs, 5 of them to train" in result.stdout
    assert "1 of these times are measured, on cpu; 4 follow from GMACs" in result.stdout


def test_the_whole_table_of_imagenet(tmp_path):
    sweep = ("protocol=imagenet", "+step=glob(*)", "seed=0,1,2", f"runs={tmp_path}")
    hours = []
    for speed in ("1000", "4000"):
        result = run_script("scripts/plan.py", *sweep, "hydra/launcher=slurm_node", "--speed", speed)
        assert result.returncode == 0, result.stderr
        assert "45 runs, 45 of them to train" in result.stdout
        assert "8 at once on 8 devices each" in result.stdout
        assert f"at {int(speed):,} GMACs/s, which nothing measured" in result.stdout
        hours.append(float(result.stdout.split(" device-hours")[0].split()[-1].replace(",", "")))
    assert hours[0] == pytest.approx(4 * hours[1], rel=0.01)
    titles = [line.split(",")[0].strip("| ") for line in result.stdout.splitlines() if ", seed 0," in line]
    assert titles == list(roadmap("t")), "in the order of the roadmap"


def test_speeds_are_of_one_device_and_of_the_threads_that_a_run_will_have(compose):
    run = compose("protocol=cifar10_micro", "+step=gelu")
    found = made("gelu", 50.0, config=run.config)
    on_cpu = [replace(found, images_per_second=rate, machine={"threads": 2}) for rate in (100.0, 200.0, 900.0)]
    on_gpu = replace(found, images_per_second=8000.0, device="H100", machine={"devices": 4, "threads": 16})
    assert Speeds([*on_cpu, on_gpu], None, 1, None).of(run) == (100.0, "measured")
    assert Speeds([*on_cpu, on_gpu], None, 2, None).of(run) == (200.0, "measured")
    assert Speeds([*on_cpu, on_gpu], "H100", 1, None).of(run) == (2000.0, "measured")
    failed = replace(found, status="failed", images_per_second=5.0)
    assert Speeds([failed], None, 1, 0.5).of(run)[1].endswith("which nothing measured")


def test_what_is_half_done_takes_half_the_time(compose, tmp_path):
    run_ = compose("protocol=digits", "+step=gelu", "seed=1")
    measured(tmp_path, replace(run_, seed=0), 100.0)
    folder = run_.folder(tmp_path)
    folder.mkdir()
    (folder / f"checkpoint-{12 * 22 // 2:09}-{'0' * 16}.pt").touch()
    cells = line_of(run_script("scripts/plan.py", "+step=gelu", "seed=1", f"runs={tmp_path}").stdout, "gelu, seed 1")
    seconds = START + 12 * (1437 + 360 * EVALUATION) / 100 / 2
    assert cells[1:] == ["50% done", f"{seconds // 60:.0f} min {seconds % 60:02.0f} s", "measured"]


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        ({"_target_": "hydra_plugins.a.b.JoblibLauncher", "n_jobs": 1}, (1, 1)),
        ({"_target_": "hydra_plugins.a.b.JoblibLauncher", "n_jobs": 10_000}, (10_000, 1)),
        (
            {
                "_target_": "a.SlurmLauncher",
                "array_parallelism": 7,
                "nodes": 2,
                "tasks_per_node": 4,
                "cpus_per_task": 3,
            },
            (7, 8),
        ),
        ({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, (1, 1)),
    ],
)
def test_a_launcher_runs_so_many_at_once(launcher, expected):
    found = plan.workers(launcher)
    assert (found.runs, found.devices) == expected
    assert found.threads >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["+step=inverted"], "there is no step 'inverted'"),
        (["data=folder"], "nothing says how many images data=folder has"),
        (["--speed", "-1"], "--speed must be a number of GMACs/s above 0, got -1"),
        (["--records", "/no/such"], "there is no folder /no/such"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, message, tmp_path):
    result = run_script("scripts/plan.py", *arguments, f"runs={tmp_path}")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert message in result.stderr


def test_all_data_sets_with_files_of_their_own_are_known():
    configs = {path.stem for path in (ROOT / "configs/data").glob("*.yaml")}
    assert set(plan.IMAGES) == configs - {"fake", "folder", "shards"}
