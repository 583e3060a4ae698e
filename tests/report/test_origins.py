"""The origin of runs: dates, hosts, hardware and the commands that train exactly them."""

from records import make_record

from modernet.report.origins import UNKNOWN, describe_origin, merge_commands, to_publishable


def test_origin_has_dates_hosts_and_hardware():
    dates: dict = {"started": "2026-03-02T10:00:30+00:00", "ended": "2026-03-02T11:00:30+00:00"}
    gpus = make_record("gelu", 70.0, train_seconds=3600.0, host="b", gpus=("H100", "H100"), cpu="EPYC", **dates)
    cpu = make_record("gelu", 70.0, 1, train_seconds=1800.0, host="a", cpu="EPYC", started="2026-03-01T10:00:30+00:00")
    earlier = make_record("gelu", 70.0, 2, train_seconds=0.0)
    origin = describe_origin([gpus, cpu, earlier])
    assert (origin.runs, origin.hours) == (3, 1.5)
    assert (origin.started, origin.ended) == ("2026-03-01 10:00", "2026-03-02 11:00")
    assert origin.facts["hosts"] == {"b": 1, "a": 1, UNKNOWN: 1}
    assert origin.facts["hardware"] == {"2 x H100": 1, "EPYC": 1, "cpu": 1}
    origin = describe_origin([earlier])
    assert (origin.started, origin.ended, origin.commands) == (UNKNOWN, UNKNOWN, [])


def test_commands_of_one_sweep_are_one_command():
    def run(step: str, seed: int, *others: str):
        return make_record(step, 70.0, seed, overrides=(f"+step={step}", "protocol=digits", f"seed={seed}", *others))

    records = [run(step, seed) for step in ("gelu", "layer_norm") for seed in (1, 0)]
    assert merge_commands(records) == ["modernet train -m protocol=digits +step=gelu,layer_norm seed=0,1"]
    records = [*records, run("gelu", 5), run("gelu", 0, "recipe.lr=1")]  # layer_norm has no seed 5
    assert (
        merge_commands(records)
        == [
            "modernet train protocol=digits recipe.lr=1 +step=gelu seed=0",
            "modernet train -m protocol=digits +step=layer_norm seed=0,1",
            "modernet train -m protocol=digits +step=gelu seed=0,1,5",
        ][::-1]
    )


def test_overrides_lose_the_folders_of_absolute_paths():
    assert to_publishable("data.root=/home/someone/data") == "data.root=data"
    assert to_publishable("runs=C:\\Users\\someone\\runs") == "runs=runs"
    assert to_publishable("runs=results/runs") == "runs=results/runs"
    assert to_publishable("data.split=train/val") == "data.split=train/val"


def test_overrides_lose_the_folders_of_quoted_paths_and_of_paths_in_lists():
    assert to_publishable("data.root='/home/someone/my data'") == "data.root='my data'"
    assert to_publishable("data.root=[/home/someone/a,/home/someone/b]") == "data.root=[a,b]"
    assert to_publishable("data.root=~/data/cifar") == "data.root=cifar"
    assert to_publishable("wandb.notes='0/1 of a/b'") == "wandb.notes='0/1 of a/b'"


def test_runs_without_a_step_are_a_command_of_their_own():
    records = [
        make_record("resnet50", 70.0, overrides=("seed=0",)),
        make_record("gelu", 70.0, overrides=("+step=gelu", "seed=0")),
    ]
    assert merge_commands(records) == ["modernet train seed=0", "modernet train +step=gelu seed=0"]
