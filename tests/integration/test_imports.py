"""Tables, figures and reports need no torch; the public names of the package."""

import json
import subprocess
import sys

import modernet

# Runs each command of a JSON list in this interpreter, where `import torch` fails.
RUN_WITHOUT_TORCH = """
import importlib, json, sys
sys.modules.update(torch=None, torchvision=None)
from modernet import roadmap
assert roadmap("t")["gelu"].act == "gelu"
for verb, *arguments in json.loads(sys.argv[1]):
    sys.argv = [verb, *arguments]
    importlib.import_module(f"modernet.commands.{verb}").main()
"""


def test_commands_that_train_nothing_need_no_torch(train, tmp_path):
    training = ("+step=convnext", "recipe.epochs=1", "recipe.warmup_epochs=0", "wandb=disabled")
    first = train(*training)
    assert first.returncode == 0, first.stderr
    commands = [
        ["table", "runs"],
        ["figures", "runs"],
        ["report", "runs", "--out", "report.html"],
        ["dashboard", "--dry-run"],
        ["train", *training, "runs=runs"],  # the run is finished
    ]
    words = [sys.executable, "-c", RUN_WITHOUT_TORCH, json.dumps(commands)]
    again = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    record = first.stdout.splitlines()[-1]
    assert again.stdout.splitlines()[-1] == record.removeprefix(f"{tmp_path}/")
    assert (tmp_path / "report.html").is_file()


def test_costs_need_neither_torchvision_nor_the_compiler():
    code = """
import sys
sys.modules.update({"torchvision": None, "torch._dynamo": None})
from modernet.commands.costs import main
main()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "| convnext " in result.stdout


def test_names_of_the_first_version_are_aliases():
    from modernet import build, cost, roadmap

    assert (build, cost) == (modernet.build_model, modernet.model_cost)
    assert (modernet.ModelSpec, modernet.DataSpec, modernet.Recipe) == (
        modernet.ModelConfig,
        modernet.DataConfig,
        modernet.RecipeConfig,
    )
    model = roadmap("micro")["gelu"]
    parameters = sum(parameter.numel() for parameter in build(model, 10).parameters())
    assert cost(model, num_classes=10).params == parameters
