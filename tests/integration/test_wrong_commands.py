"""A wrong command ends with status 2 and one line that names the mistake, and leaves nothing behind."""

import shlex

import pytest
from helpers import ROOT, run_command
from hydra.core.override_parser.overrides_parser import OverridesParser
from trials.commands import try_commands
from trials.wrong_commands import IN_PROCESS, IN_SHELL, IN_SHELL_SLOW

from modernet import cli
from modernet.config.overrides import quote_override


def check(tmp_path, monkeypatch, command, expected, in_shell=False):
    for name in ("WANDB_MODE", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    ((_, problem),) = try_commands(tmp_path, [(command, expected)], in_shell)
    assert not problem


def test_wrong_commands_differ_and_every_verb_has_one():
    commands = [command for command, _ in (*IN_PROCESS, *IN_SHELL, *IN_SHELL_SLOW)]
    assert len(commands) == len(set(commands))
    tried = {command.split()[1] for command in commands if command.startswith("modernet ")}
    assert set(cli.verbs()) <= tried


@pytest.mark.parametrize(("command", "expected"), IN_PROCESS, ids=[command for command, _ in IN_PROCESS])
def test_wrong_command_ends_with_status_2_and_one_line(tmp_path, monkeypatch, command, expected):
    check(tmp_path, monkeypatch, command, expected)


@pytest.mark.parametrize(("command", "expected"), IN_SHELL, ids=[command for command, _ in IN_SHELL])
def test_wrong_command_of_make_or_a_shell_script(tmp_path, monkeypatch, command, expected):
    check(tmp_path, monkeypatch, command, expected, in_shell=True)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "expected"), IN_SHELL_SLOW, ids=[command for command, _ in IN_SHELL_SLOW])
def test_wrong_make_command_that_starts_python(tmp_path, monkeypatch, command, expected):
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("needs .venv: make install")
    check(tmp_path, monkeypatch, command, expected, in_shell=True)


VALUES = [
    "größe",
    "it's",
    'say "hi"',
    "a~b",
    "a[b",
    "a]b",
    "(a",
    "a b{",
    "${x",
    "a,b",
    "[a]",
    "1",
    "null",
    "a\\",
    "a\\'b",
    "a'\"b",
]


@pytest.mark.parametrize("value", VALUES)
def test_quoted_form_of_a_value_is_that_text(value):
    """Parsed by a shell, and then by Hydra; OmegaConf takes `\\${` for a plain `${`."""
    (word,) = shlex.split(quote_override("runs", value) or "")
    (parsed,) = OverridesParser.create().parse_overrides([word])
    assert parsed.value() == value.replace("${", "\\${")


def test_quoted_form_in_the_message_works():
    result = run_command("train", "runs=größe it's", "wandb=disabled")
    assert result.returncode == 2
    (word,) = shlex.split(result.stderr.rpartition("quotes inside of quotes: ")[2])
    (parsed,) = OverridesParser.create().parse_overrides([word])
    assert (parsed.key_or_group, parsed.value()) == ("runs", "größe it's")
