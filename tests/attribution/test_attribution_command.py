"""`modernet attribution` from its arguments to its report."""

import json
from pathlib import Path

import pytest
from helpers import compose, run_command, run_script
from plans import STEPS, game, plan_for, record_of

from modernet.attribution.shapley import prefixes
from modernet.record import load_record, write_record


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "0"], "--orders and --runs must be integers above 0, got '0'"),
        (["--orders", "3"], "--orders must be even and at most 1000, got 3"),
        (["--hours", "soon"], "--hours must be a number above 0, got 'soon'"),
        (["--hours", "1"], "no run of digits with this recipe is finished, so the time of a run is unknown"),
        (["--runs", "20"], "the path, leave-one-out and add-one-in alone take 38 runs, which exceeds the budget of 20"),
        (["--seeds", "0,x", "--orders", "2"], "--seeds must be integers, 0 or more, as in 0,1,2, got '0,x'"),
        (["--orders", "2", "seed=3"], "seed=3 cannot be an override; this command sets step, ablate, protocol, seed"),
        (["--orders", "2", "--protocol", "mnist"], "there is no protocol 'mnist'; allowed: cifar10, "),
        (["--orders", "2", "recipe.epoch=3"], "there is no field 'recipe.epoch'; "),
    ],
)
def test_user_errors_are_one_line_and_status_2(arguments, message, tmp_path):
    result = run_command("attribution", "plan", *arguments, f"runs={tmp_path}")
    assert result.returncode == 2
    assert result.stderr.startswith(f"attribution.py: error: {message}")
    assert len(result.stderr.splitlines()) == 1


def test_end_may_be_a_side_step_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("MODERNET_CONFIG_DIR", "")
    (tmp_path / "configs/step").mkdir(parents=True)
    text = "# @package _global_\n# Scaled.\ndefaults: [/step/gelu, _self_]\nstep: scaled\nmodel: {layer_scale: 0.1}\n"
    (tmp_path / "configs/step/scaled.yaml").write_text(text)
    arguments = ["--end", "scaled", "--config-dir", tmp_path / "configs", f"runs={tmp_path / 'runs'}"]
    result = run_command("attribution", "plan", "--orders", 2, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("digits, size micro, scaled, seeds 0\n")
    steps = [*STEPS[: STEPS.index("gelu") + 1], "scaled"]
    for line in (*(f"start with {step}" for step in steps), *(f"end without {step}" for step in steps), "start", "end"):
        assert f"to train: {line}, seed 0\n" in result.stdout


def test_end_without_steps_is_a_user_error(tmp_path):
    result = run_command("attribution", "plan", "--orders", 2, "--end", "modern_recipe", f"runs={tmp_path}")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--end must include a step that changes the network; modern_recipe includes none" in result.stderr


@pytest.mark.slow
def test_a_value_of_the_command_line_is_that_of_all_combinations(tmp_path):
    """Also where it is the value of one of the steps: each planned run can be trained."""
    quick = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=350", "wandb=disabled", f"runs={tmp_path}")
    words = ("--end", "patchify_stem", "--orders", "2", "--launcher", "basic", *quick, "model.stem=patchify")
    result = run_script("scripts/attribution.py", "run", *words)
    assert result.returncode == 0, result.stderr
    assert "0 are missing" in run_command("attribution", "plan", *words).stdout


def test_plan_run_and_report_by_the_real_entry(tmp_path):
    """All but two runs are finished and one has failed; `run` trains the two."""
    runs = tmp_path / "runs"
    overrides = [
        "recipe.epochs=1",
        "recipe.warmup_epochs=0.5",
        "wandb=disabled",
        "data.split=train/val",
        f"runs={runs}",
    ]
    same = ["--orders", 2, *overrides]
    plan = plan_for(compose("+step=convnext", *overrides), pairs=1)
    order = plan.pairs[0][0]
    missing = [prefixes(order)[6], plan.design.all_steps - {"gelu"}]
    failed = prefixes(order)[4]
    for network, coalition in plan.distinct.items():
        run = plan.design.runs(network)[0]
        if coalition not in missing:
            folder = run.folder(runs)
            folder.mkdir(parents=True)
            write_record(folder, record_of(run, game(coalition), status="failed" if coalition == failed else "done"))

    result = run_command("attribution", "plan", *same)
    assert "58 networks, 58 runs\n55 runs are finished, 3 are missing" in result.stdout
    assert "\nfailed; retry_failed=true trains it again: " in result.stdout
    listed = [line.removeprefix("to train: ") for line in result.stdout.splitlines() if line.startswith("to train: ")]
    assert sorted(listed) == sorted(f"{plan.design.describe(one)}, seed 0" for one in [*missing, failed])

    result = run_script("scripts/attribution.py", "run", *same)
    assert result.returncode == 0, result.stderr
    trained = [Path(line) for line in result.stdout.splitlines() if line.startswith(str(runs))]
    hashes = [plan.design.runs(plan.networks[coalition])[0].hash for coalition in missing]
    assert {path.parent.name[-10:] for path in trained} == set(hashes)
    assert "all runs are finished or failed" in run_command("attribution", "run", *same).stdout

    result = run_command("attribution", "report", *same, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    missing_line, figure_line = result.stderr.splitlines()
    assert missing_line == f"missing: {plan.design.describe(failed)}, seed 0"
    assert figure_line.startswith("skipped: no figure: no contribution has a confidence interval")
    assert [Path(line).name for line in result.stdout.splitlines()] == ["attribution.md", "attribution.json"]
    values = json.loads((tmp_path / "out/attribution.json").read_text())
    gelu = values["steps"][STEPS.index("gelu")]
    top1 = load_record(next(path for path in trained if path.parent.name.endswith(hashes[1]))).top1
    assert top1 is not None
    assert gelu["leave_one_out"]["mean"] == game(plan.design.all_steps) - top1
    assert gelu["shapley"]["mean"] is None
    assert len(values["incomplete_orders"]) == 2
