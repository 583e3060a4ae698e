"""Weights that a run starts from: those of a run or of a file, and none of another network."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import execution_config, random_images, ready_trainer, run_command, short_experiment, train_to_record
from image_files import files_config, write_folder
from safetensors.torch import save_file

from modernet import load_run, roadmap
from modernet.config.weights import find_weights
from modernet.data.fingerprint import resolve_data
from modernet.errors import UserError
from modernet.training.finetune import find_misfits, load_weights
from modernet.training.trainer import Trainer


@pytest.mark.parametrize("names", ["run", "modernet", "torchvision", "authors"])
def test_a_run_starts_from_weights_of_a_run_or_of_a_file(run, tmp_path, names):
    source = run
    if names != "run":
        source = tmp_path / "weights.safetensors"
        run_command("export", run, source, "--names", names)
    experiment = replace(short_experiment(ema_decay=0.5), weights=find_weights(source))
    with ready_trainer(tmp_path / "new", experiment) as trainer:
        state = trainer.state
    expected = load_run(run).state_dict()
    for model in (state.model, state.ema_model):
        assert model is not None
        assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_the_head_is_replaced_where_the_number_of_classes_differs(run, tmp_path):
    experiment = short_experiment(data=random_images(64, num_classes=7))
    with ready_trainer(tmp_path / "fresh", experiment) as trainer:
        fresh = trainer.state.model
    with ready_trainer(tmp_path / "new", replace(experiment, weights=find_weights(run))) as trainer:
        state = trainer.state
    trained = load_run(run)
    assert torch.equal(state.model.classifier.weight, fresh.classifier.weight)
    body = {name: value for name, value in trained.state_dict().items() if not name.startswith("classifier")}
    assert all(torch.equal(state.model.state_dict()[name], value) for name, value in body.items())
    assert "with a new head" in (tmp_path / "new/train.log").read_text()


@pytest.mark.parametrize("is_exported", [False, True])
@pytest.mark.parametrize("names", [("cat", "dog"), ("dog", "wolf"), None])
def test_a_kept_head_of_other_classes_is_warned_of(flowers, tmp_path, names, is_exported):
    """As in an order of their own; without names on one side nobody knows."""
    source = flowers
    if is_exported:
        source = tmp_path / "weights.safetensors"
        assert run_command("export", flowers, source).returncode == 0
    if names is None:
        data = random_images(64, num_classes=2)
    else:
        root = write_folder(tmp_path / "images")
        for split in ("train", "val"):
            (root / split / "dog").rename(root / split / "two")
            (root / split / "cat").rename(root / split / names[0])
            (root / split / "two").rename(root / split / names[1])
        data = replace(files_config("folder", root), name="animals")
    experiment = resolve_data(short_experiment(data=data, epochs=1, batch_size=8))
    with ready_trainer(tmp_path / "new", replace(experiment, weights=find_weights(source))):
        pass
    log = (tmp_path / "new/train.log").read_text()
    line = "is kept, and its classes are others: output 0 is cat there, and dog in animals"
    assert (line in log) == (names == ("dog", "wolf"))


def test_the_content_of_the_weights_identifies_a_run_and_not_their_path(run, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_bytes((run / "model.pt").read_bytes())
    plain = short_experiment()
    tuned = [replace(plain, weights=find_weights(path)) for path in (run, run / "record.json", copy)]
    assert len({experiment.hash for experiment in tuned}) == 1
    assert tuned[0].hash != plain.hash
    assert "finetune" not in plain.config  # earlier hashes stay
    copy.write_bytes(copy.read_bytes() + b"\0")
    assert find_weights(copy).fingerprint != find_weights(run).fingerprint


def test_weights_that_do_not_fit_are_refused_before_anything_is_written(run, tmp_path):
    broken, other, bare, integers = (tmp_path / f"{name}.pth" for name in ("broken", "other", "bare", "integers"))
    broken.write_bytes(b"no weights")
    torch.save({"layer.weight": torch.ones(1)}, other)
    weights = torch.load(run / "model.pt", weights_only=True)["model"]
    torch.save(weights, bare)
    torch.save({name: value.int() for name, value in weights.items()}, integers)
    gelu = {"model": replace(roadmap("micro")["gelu"], stem_stride=1)}
    for source, changes, message in (
        (bare, gelu, "has the weights of another network: .* is missing"),
        (bare, {"model": replace(short_experiment().model, stem_stride=2)}, r"stem\.0\.weight has shape"),
        (integers, {}, r"stem\.0\.weight is int32, strided"),
        (broken, {}, "is not a readable file of weights"),
        (other, {}, "neither our names, nor those of torchvision or the authors"),
    ):
        experiment = replace(short_experiment(data=random_images(64, image_size=16)), weights=find_weights(source))
        with pytest.raises(UserError, match=message):
            Trainer.from_experiment(replace(experiment, **changes), tmp_path / "new", execution_config()).train()
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match=r"finetune=.*nowhere: there is no file"):
        find_weights(tmp_path / "nowhere")


def test_sparse_weights_do_not_fit():
    dense = {"a": torch.eye(2)}
    assert find_misfits(dense, dense) is None
    averaged, number = {"num_batches_tracked": torch.tensor(3.0)}, {"num_batches_tracked": torch.tensor(3)}
    assert find_misfits(averaged, number) is None
    assert find_misfits({"a": torch.eye(2).to_sparse()}, dense) == "a is float32, sparse_coo"


@pytest.fixture(scope="module")
def early_run(tmp_path_factory) -> Path:
    """A finished run of kernel_size, whose weights have the shapes of gelu and fewer_activations."""
    model = replace(roadmap("micro")["kernel_size"], stem_stride=2)
    return train_to_record(tmp_path_factory.mktemp("runs") / "kernel_size", model=model)


@pytest.mark.parametrize("names", ["run", "modernet"])
@pytest.mark.parametrize(
    ("step", "changes", "message"),
    [
        ("gelu", {}, "model.act=relu instead of gelu; allowed are weights of the same step"),
        ("fewer_activations", {}, "model.act=relu instead of gelu, model.act_after=[0, 1, 2] instead of [1]; allowed"),
        ("kernel_size", {"small_kernel": 3}, "model.small_kernel=0 instead of 3; allowed"),
    ],
)
def test_weights_of_another_network_with_the_same_shapes_are_refused(
    early_run, tmp_path, names, step, changes, message
):
    source = early_run
    if names == "modernet":
        source = tmp_path / "weights.safetensors"
        run_command("export", early_run, source)
    model = replace(roadmap("micro")[step], **{"stem_stride": 2, **changes})
    experiment = replace(short_experiment(), model=model, weights=find_weights(source))
    with pytest.raises(UserError) as caught:
        load_weights(experiment)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_weights_of_another_stem_stride_are_refused_under_all_names(tmp_path):
    model = replace(roadmap("micro")["resnet50"], stem_stride=2)
    folder = train_to_record(tmp_path / "run", model=model)
    for names in ("modernet", "torchvision", "authors"):
        source = tmp_path / f"{names}.safetensors"
        run_command("export", folder, source, "--names", names)
        experiment = replace(short_experiment(), weights=find_weights(source))
        assert load_weights(replace(experiment, model=model))
        with pytest.raises(UserError, match=r"model\.stem_stride=2 instead of 1; allowed"):
            load_weights(replace(experiment, model=replace(model, stem_stride=1)))


def test_differences_that_change_no_weight_are_allowed(run, tmp_path):
    """Another classifier, drop path and initial value of Layer Scale, and records that lack later fields."""
    plain = short_experiment(data=random_images(64, num_classes=7), drop_path_rate=0.5)
    plain = replace(plain, weights=find_weights(run))
    assert load_weights(replace(plain, model=replace(plain.model, layer_scale=1.0)))
    with pytest.raises(UserError, match=r"scale\.gamma is unknown"):
        load_weights(replace(plain, model=replace(plain.model, layer_scale=0.0)))
    record = json.loads((run / "record.json").read_text())
    for name in ("hidden_factor", "groups", "grn", "mixer", "small_kernel"):
        del record["config"]["model"][name]
    shutil.copy(run / "model.pt", tmp_path)
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert load_weights(replace(plain, weights=find_weights(tmp_path)))


@pytest.mark.parametrize("text", ["", "7", "{}", "[" * 100_000, '{"schema_version": 1}'])
def test_files_with_the_record_of_something_else_are_checked_by_shapes(run, early_run, tmp_path, text):
    weights = torch.load(run / "model.pt", weights_only=True)
    torch.save(weights, tmp_path / "model.pt")
    contiguous = {name: value.contiguous() for name, value in weights["model"].items()}
    save_file(contiguous, tmp_path / "weights.safetensors", {"record": text})
    (tmp_path / "record.json").write_text(text)
    for path in (tmp_path, tmp_path / "weights.safetensors"):
        assert load_weights(replace(short_experiment(), weights=find_weights(path)))
    shutil.copy(early_run / "record.json", tmp_path)
    assert load_weights(replace(short_experiment(), weights=find_weights(tmp_path)))
