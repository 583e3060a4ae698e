"""The command line: one line and an exit status for every error, and the verbs of `modernet`."""

import runpy
import subprocess
import sys
import weakref
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers import ROOT, run_script
from hydra.errors import ConfigCompositionException
from pydantic import ValidationError

import modernet
from modernet import cli, errors
from modernet.config.schema import DataConfig, ExecutionConfig
from modernet.runtime.distributed import DistributedEnv


def run_modernet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from modernet.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UserError("no such step"), 2),
        (errors.RunFailed("the loss is not finite"), 1),
        (errors.RunLocked("another process trains it"), 1),
        (errors.DiskFull("no space left"), 1),
        (ConfigCompositionException("bad override"), 2),
    ],
)
def test_error_becomes_one_line_and_its_status(error, status, capsys):
    with pytest.raises(SystemExit) as exit_, cli.exit_on_error():
        raise error
    assert exit_.value.code == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f": error: {error}")


def test_control_characters_of_a_name_reach_no_terminal(capsys):
    with pytest.raises(SystemExit), cli.exit_on_error():
        raise errors.UserError("there is no file a\nb\x1b[31m\u2028ü")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r": error: there is no file a\nb\x1b[31m\u2028ü")


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: ExecutionConfig(num_workers=-1), "num_workers: input should be greater than or equal to 0, got -1"),
        (lambda: DataConfig(mean=(float("nan"), 0.0, 0.0)), "data.mean.0: input should be a finite number, got nan"),
    ],
)
def test_a_wrong_value_is_named_as_the_user_wrote_it(make, line):
    with pytest.raises(ValidationError) as wrong:
        make()
    told = cli.explain(wrong.value)
    assert told is not None
    assert told.split("; ")[0] == line
    assert "constrained" not in told
    assert "too" not in told


@pytest.mark.parametrize(("is_logged", "line"), [(True, ""), (False, ": stopped by SIGTERM\n")])
def test_interruption_exits_with_143_and_repeats_nothing(capsys, is_logged, line):
    error = errors.Interrupted("stopped by SIGTERM")
    error.is_logged = is_logged
    with pytest.raises(SystemExit) as exit_, cli.exit_on_error():
        raise error
    assert exit_.value.code == 143
    assert capsys.readouterr().err.removeprefix(Path(sys.argv[0]).name) == line


def test_ctrl_c_is_one_line_and_the_status_of_a_shell(capsys):
    with pytest.raises(SystemExit) as exit_, cli.exit_on_error():
        raise KeyboardInterrupt
    assert exit_.value.code == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(": stopped by SIGINT")


def test_error_of_a_run_in_a_sweep_keeps_nothing_of_the_run():
    """Hydra keeps the exception until the sweep ends."""

    class Network:
        pass

    networks = []

    def run() -> None:
        network = Network()
        networks.append(weakref.ref(network))
        raise errors.OutOfMemory("the GPU has not enough memory")

    with pytest.raises(errors.RunFailed, match="the GPU has not enough memory") as raised:
        cli.call_in_sweep(run)
    assert raised.value.__context__ is None
    assert networks[0]() is None


def test_mistake_that_one_process_meets_is_printed_there(monkeypatch, capsys):
    monkeypatch.setattr(cli, "distributed_env", lambda: DistributedEnv(3, 8, 3, 8))
    for error, printed in ((errors.DamagedImage("a.png is damaged"), 1), (errors.UserError("no such step"), 0)):
        with pytest.raises(SystemExit) as exit_, cli.exit_on_error():
            raise error
        assert exit_.value.code == 2
        assert capsys.readouterr().err.count(str(error)) == printed


def test_unexpected_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), cli.exit_on_error():
        print(1 // 0)


def test_old_field_name_is_answered_with_the_new_one(train):
    for old, new in (("device_batch=8", "recipe.micro_batch_size"), ("recipe.mixup=0.8", "recipe.mixup_alpha")):
        result = train(old)
        assert result.returncode == 2
        assert f"there is no field '{old.partition('=')[0]}'; it is called {new}" in result.stderr


def test_several_values_without_a_sweep_are_answered_with_the_option(train_in_process):
    result = train_in_process("+step=convnext", "seed=0,1")
    assert result.returncode == 2
    assert "seed=0,1 has several values; -m trains a run for each, and seed=[0,1] is one list" in result.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["+protocol=cifar10"], "protocol has a value already; protocol=cifar10, without +, changes it"),
        (["+step=gelu", "+step=convnext"], "+step= is given several times; one is allowed"),
    ],
)
def test_two_choices_of_a_group_are_answered_by_what_is_allowed(train_in_process, words, line):
    result = train_in_process(*words)
    assert (result.returncode, result.stderr) == (2, f"train.py: error: {line}\n")


def test_modernet_lists_its_verbs():
    result = run_modernet()
    assert result.returncode == 0
    listed = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ")]
    assert listed == sorted(listed)
    assert {"train", "table", "figures", "report", "costs", "plan"} <= set(listed)
    assert all(len(line.split()) > 3 for line in result.stdout.splitlines() if line.startswith("  "))


@pytest.mark.parametrize("verb", sorted(set(cli.verbs()) - {"train"}))
def test_every_verb_has_help_and_a_script_of_its_name(verb, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["modernet", verb, "--help"])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: modernet {verb}")
    assert (ROOT / f"scripts/{verb}.py").is_file()


def test_unknown_verb_is_a_mistake():
    result = run_modernet("tabel")
    assert result.returncode == 2
    assert result.stderr.startswith("-c: error: there is no verb 'tabel'; allowed: ")


def test_version_is_that_of_the_package():
    result = run_modernet("--version")
    assert (result.returncode, result.stdout.strip()) == (0, version("modernet"))
    assert modernet.__version__ == version("modernet")
    assert set(modernet.__all__) == set(modernet.LAZY) < set(dir(modernet))
    assert all(callable(getattr(modernet, name)) for name in modernet.__all__)


@pytest.mark.parametrize("verb", cli.verbs())
def test_every_command_is_a_program(monkeypatch, capsys, verb):
    monkeypatch.setattr("sys.argv", [verb, "--help"])
    monkeypatch.delitem(sys.modules, f"modernet.commands.{verb}", raising=False)
    with suppress(SystemExit):
        runpy.run_module(f"modernet.commands.{verb}", run_name="__main__")
    assert capsys.readouterr().out


def test_names_of_exported_weights_are_those_of_the_code():
    from modernet.commands import export
    from modernet.models.pretrained import SOURCES
    from modernet.training.trained import OUR_NAMES

    assert (OUR_NAMES, *SOURCES) == export.NAMES


def test_script_and_verb_are_the_same_command():
    words = ("results/studies/attribution_digits", "--json")
    verb, script = run_modernet("table", *words), run_script("scripts/table.py", *words)
    assert verb.returncode == script.returncode == 0, verb.stderr
    assert verb.stdout == script.stdout
