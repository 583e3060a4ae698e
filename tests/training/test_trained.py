"""Trained networks: loaded from their folders, and exported as safetensors."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from helpers import run_command, train_to_record
from safetensors import safe_open
from safetensors.torch import load_file

from modernet import build_model, load_run, roadmap
from modernet.errors import UserError
from modernet.models.pretrained import load_pretrained
from modernet.record import load_record

IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_run_is_loaded_by_its_folder_or_its_record(run):
    weights = torch.load(run / "model.pt", weights_only=True)
    for path in (run, str(run), run / "record.json"):
        model = load_run(path)
        assert not model.training
        assert all(torch.equal(value, weights["model"][name]) for name, value in model.state_dict().items())
    averaged = load_run(run, ema=True)
    assert torch.equal(averaged.classifier.weight, weights["ema_model"]["classifier.weight"])
    assert not torch.equal(averaged.classifier.weight, model.classifier.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: 7, "holds something else than the weights of a run"),
        (lambda weights: [weights], "holds something else than the weights of a run"),
        (lambda weights: weights | {"model": None}, "holds something else than the weights of a run"),
        (lambda weights: weights | {"run": 7}, "holds something else than the weights of a run"),
        (lambda weights: weights["model"], "holds something else than the weights of a run"),
        (lambda weights: weights | {"run": {"0a1b2c3d4e": torch.empty(0)}}, "weights of another run (0a1b2c3d4e, not "),
        (lambda weights: weights | {"model": {"a": torch.ones(1)}}, "weights of another network than "),
        (
            lambda weights: weights | {"model": weights["model"] | {"classifier.bias": torch.ones(11)}},
            "classifier.bias has shape (11,) instead of (10,)",
        ),
        (
            lambda weights: weights | {"model": weights["model"] | {"classifier.bias": torch.full((10,), torch.nan)}},
            "is damaged: classifier.bias has values that are not finite",
        ),
    ],
)
def test_weights_that_are_not_those_of_the_run_are_one_line_and_status_2(run, tmp_path, change, message):
    shutil.copy(run / "record.json", tmp_path)
    torch.save(change(torch.load(run / "model.pt", weights_only=True)), tmp_path / "model.pt")
    for verb, arguments in (("evaluate", ()), ("export", (tmp_path / "weights.safetensors",))):
        result = run_command(verb, tmp_path, *arguments)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert re.search(rf"{tmp_path / 'model.pt'} (has|holds|is) ", result.stderr)
        assert message in result.stderr


def test_weights_of_another_seed_are_refused_and_those_of_earlier_versions_load(run, tmp_path):
    shutil.copy(run / "record.json", tmp_path)
    other = train_to_record(tmp_path / "other", seed=1)
    shutil.copy(other / "model.pt", tmp_path)
    with pytest.raises(UserError, match=r"has the weights of another run"):
        load_run(tmp_path)
    weights = torch.load(run / "model.pt", weights_only=True)
    assert list(weights.pop("run")) == [load_record(run / "record.json").hash]
    torch.save(weights, tmp_path / "model.pt")
    assert torch.equal(load_run(tmp_path).classifier.weight, weights["model"]["classifier.weight"])


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_missing_memory_is_not_taken_for_a_bad_file_of_weights(run, tmp_path, verb, monkeypatch):
    def load(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "load", load)
    result = run_command(verb, run, *([tmp_path / "weights.safetensors"] if verb == "export" else []))
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "the machine has not enough memory" in line


def test_export_writes_the_weights_with_the_record(run, tmp_path):
    file = tmp_path / "weights.safetensors"
    assert run_command("export", run / "record.json", file).stdout == f"{file}\n"
    model = build_model(load_run(run).config, 10)
    model.load_state_dict(load_file(file))
    assert torch.equal(model.classifier.weight, load_run(run).classifier.weight)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    assert json.loads(metadata["record"]) == json.loads((run / "record.json").read_text())
    assert (metadata["names"], metadata["weights"]) == ("modernet", "model")
    run_command("export", run, file, "--ema")
    assert torch.equal(load_file(file)["classifier.weight"], load_run(run, ema=True).classifier.weight)


@pytest.mark.parametrize("names", ["torchvision", "authors"])
def test_export_under_other_names_loads_again(run, tmp_path, names):
    file = tmp_path / "weights.safetensors"
    result = run_command("export", run, file, "--names", names)
    assert result.returncode == 0
    assert "note: the stem has stride 1" in result.stderr
    trained = load_run(run)
    model = build_model(trained.config, 10).eval()
    load_pretrained(model, load_file(file), names)
    assert torch.equal(model(IMAGES), trained(IMAGES))


def test_export_of_a_step_between_says_what_differs(tmp_path):
    folder = train_to_record(tmp_path / "run", model=replace(roadmap("micro")["gelu"], stem_stride=1))
    file = tmp_path / "weights.safetensors"
    assert run_command("export", folder, file).returncode == 0
    result = run_command("export", folder, tmp_path / "b.safetensors", "--names", "torchvision")
    assert (result.returncode, result.stdout) == (2, "")
    assert "from convnext in act_after=(0, 1, 2)" in result.stderr
    assert "--names modernet exports any network" in result.stderr
    assert not (tmp_path / "b.safetensors").exists()
    for arguments, message in (
        ([folder, tmp_path / "weights.pt"], "FILE must end in .safetensors"),
        ([tmp_path, file], f"{tmp_path} holds no finished run"),
    ):
        result = run_command("export", *arguments)
        assert result.returncode == 2
        assert message in result.stderr
