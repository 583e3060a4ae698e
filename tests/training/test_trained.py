"""Trained networks are usable: loaded, evaluated, exported, and the start of another run."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import execution_config, random_images, run_command, short_experiment
from image_files import files_config, write_folder
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from modernet import build_model, load_run, roadmap
from modernet.config.weights import find_weights
from modernet.data.fingerprint import resolve_data
from modernet.errors import UserError
from modernet.models.pretrained import load_pretrained
from modernet.record import load_record
from modernet.training.finetune import load_weights
from modernet.training.trainer import Trainer

IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def train(folder: Path, **changes) -> Path:
    """A run of 64 random images; its folder."""
    experiment = replace(short_experiment(data=random_images(64), epochs=1), **changes)
    assert Trainer.from_experiment(experiment, folder, execution_config()).train().status == "done"
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of convnext on the digits, with averaged weights."""
    folder = tmp_path_factory.mktemp("runs") / "digits" / "convnext"
    experiment = short_experiment(epochs=1, ema_decay=0.5)
    Trainer.from_experiment(experiment, folder, execution_config()).train()
    return folder


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
    ],
)
def test_weights_that_are_not_those_of_the_run_are_one_line_and_status_2(run, tmp_path, change, message):
    shutil.copy(run / "record.json", tmp_path)
    torch.save(change(torch.load(run / "model.pt", weights_only=True)), tmp_path / "model.pt")
    for verb, arguments in (("evaluate", ()), ("export", (tmp_path / "weights.safetensors",))):
        result = run_command(verb, tmp_path, *arguments)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert f"{tmp_path / 'model.pt'} has" in result.stderr or f"{tmp_path / 'model.pt'} holds" in result.stderr
        assert message in result.stderr


def test_weights_of_another_seed_are_refused_and_those_of_earlier_versions_load(run, tmp_path):
    shutil.copy(run / "record.json", tmp_path)
    other = train(tmp_path / "other", seed=1)
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


# Evaluate


def test_evaluate_prints_the_result_of_the_record_and_writes_its_files(run, tmp_path):
    result = run_command("evaluate", run, "--out", tmp_path, "--logits", tmp_path / "logits.npz", "device=cpu")
    assert result.returncode == 0, result.stderr
    record = load_record(run / "record.json")
    assert f"top-1 {record.top1:.2f} %, top-5 {record.top5:.2f} %, loss {record.val_loss:.4f}" in result.stdout
    names = [
        "summary.json",
        "per_class.csv",
        "confusion.csv",
        "confusion.svg",
        "confusion.png",
        "confusion.pdf",
        "logits.npz",
    ]
    assert result.stdout.splitlines()[-7:] == [str(tmp_path / name) for name in names]
    assert all((tmp_path / name).stat().st_size for name in names)

    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["data"], summary["split"], summary["images"]) == ("digits", "test", 360)
    assert (summary["top1"], summary["top5"]) == pytest.approx((record.top1, record.top5))

    with np.load(tmp_path / "logits.npz") as arrays:
        predictions, labels = arrays["logits"].argmax(1), arrays["labels"]
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (labels, predictions), 1)
    header, *rows = csv.reader((tmp_path / "confusion.csv").read_text().splitlines())
    assert header == ["class", *map(str, range(10))]
    assert [[int(cell) for cell in row[1:]] for row in rows] == matrix.tolist()
    per_class = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    assert [int(row["images"]) for row in per_class] == matrix.sum(1).tolist()
    expected = 100 * matrix.diagonal() / matrix.sum(1)
    assert [float(row["top1"]) for row in per_class] == pytest.approx(expected.tolist())


def test_a_run_in_bf16_is_evaluated_in_bf16(tmp_path):
    Trainer.from_experiment(short_experiment(epochs=1), tmp_path, execution_config(amp="bf16")).train()
    record = load_record(tmp_path / "record.json")
    assert record.machine["amp"] == "bf16"
    result = run_command("evaluate", tmp_path, "--logits", tmp_path / "logits.npz", "device=cpu")
    assert f"top-1 {record.top1:.2f} %, top-5 {record.top5:.2f} %, loss {record.val_loss:.4f}" in result.stdout
    with np.load(tmp_path / "logits.npz") as arrays, torch.no_grad():
        labels = torch.from_numpy(arrays["labels"])
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(arrays["logits"]), labels).item()
    assert loss == pytest.approx(record.val_loss, abs=1e-6)


def test_evaluate_on_other_data_and_by_the_averaged_weights(run, tmp_path):
    fake = ("--data", "fake", "data.image_size=8", "data.num_classes=10", "data.train_images=64", "data.test_images=16")
    result = run_command("evaluate", run, *fake, "--out", tmp_path)
    assert ": fake, test, 16 images" in result.stdout
    result = run_command("evaluate", run, "--ema", "data.split=train/val")
    assert ": digits, val (10% of train), 144 images" in result.stdout
    assert "note: the network was trained on these images: the run's data.split is train/test" in result.stderr
    assert (run / "evaluation-digits-val/summary.json").is_file()
    assert not (run / "evaluation").exists()


@pytest.mark.parametrize("num_names", [10, 7, 12])
def test_classes_with_other_names_are_named(run, tmp_path, monkeypatch, num_names):
    """The file may have fewer or more names than the network has outputs."""
    arrays = {"x_train": np.zeros((20, 8, 8, 3), np.uint8), "y_train": np.arange(20) % 7}
    arrays |= {"x_test": np.zeros((10, 8, 8, 3), np.uint8), "y_test": np.arange(10) % 7}
    np.savez(tmp_path / "birds.npz", **arrays, classes=[f"bird {label}" for label in range(num_names)])
    (tmp_path / "configs/data").mkdir(parents=True)
    text = f"# Birds.\ndefaults: [digits, _self_]\nname: birds\nkind: npz\nroot: {tmp_path}\n"
    (tmp_path / "configs/data/birds.yaml").write_text(text)
    monkeypatch.setenv("MODERNET_CONFIG_DIR", "")
    words = ("--config-dir", tmp_path / "configs", "--data", "birds", "data.num_classes=10")
    result = run_command("evaluate", run, *words, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "note: the classes of the run have other names: 0 for bird 0" in result.stderr
    assert "nan" not in result.stdout
    per_class = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    names = [f"bird {label}" if label < num_names else str(label) for label in range(10)]
    assert [row["class"] for row in per_class] == names


@pytest.fixture(scope="module")
def flowers(tmp_path_factory) -> Path:
    """A finished run on a user's own class folders, of which dog has a single test image, and data.root is theirs."""
    root = write_folder(tmp_path_factory.mktemp("flowers") / "images")
    for path in sorted((root / "val/dog").iterdir())[1:]:
        path.unlink()
    shutil.copytree(root / "val", root / "test")
    (root / "test/cat/00.jpg").unlink()
    data = replace(files_config("folder", root), name="flowers")
    experiment = short_experiment(data=data, epochs=1, batch_size=8)
    Trainer.from_experiment(resolve_data(experiment), root / "../run", execution_config()).train()
    return (root / "../run").resolve()


def test_users_data_are_evaluated_from_the_record(flowers, tmp_path):
    """No config of that name is known here."""
    result = run_command("evaluate", flowers, "--out", tmp_path, "data.mean=[0.5,0.5,0.5]", "num_workers=0")
    assert result.returncode == 0, result.stderr
    assert "flowers, test/ (val/ is not read), 4 images" in result.stdout
    assert "evaluated on test/ (val/ is not read)" in (flowers / "train.log").read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["evaluated"], summary["split"]) == ("test/ (val/ is not read)", "test")
    for word, message in (
        ("data.flip=true,false", "several values"),
        ("data.mean=[1,2", "cannot be parsed"),
    ):
        result = run_command("evaluate", flowers, word)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
        assert message in result.stderr


def test_classes_of_different_sizes_have_a_balanced_accuracy(flowers, tmp_path):
    result = run_command("evaluate", flowers, "--out", tmp_path, "num_workers=0")
    summary = json.loads((tmp_path / "summary.json").read_text())
    per_class = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    mean = sum(float(row["top1"]) for row in per_class) / 2
    assert (summary["balanced_top1"], summary["largest_class"]) == pytest.approx((mean, 75.0))
    assert f"balanced accuracy {mean:.2f} %" in result.stdout
    assert "the largest class has 75.00 % of the images" in result.stdout


def test_a_run_knows_its_classes_without_the_data(flowers, tmp_path):
    assert load_run(flowers).class_names == ("cat", "dog")
    run_command("export", flowers, tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", "pt") as opened:
        assert json.loads(opened.metadata()["classes"]) == ["cat", "dog"]
    fake = ("--data", "fake", "data.image_size=16", "data.num_classes=2", "data.train_images=8", "data.test_images=8")
    result = run_command("evaluate", flowers, *fake, "--out", tmp_path, "--logits", tmp_path / "logits.npz")
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "logits.npz") as arrays:
        assert arrays["classes"].tolist() == ["cat", "dog"]


@pytest.mark.parametrize("content", ["", "7", '["cat"]', '["cat", 7]'])
def test_damaged_names_of_classes_are_one_line_and_status_2(flowers, tmp_path, content):
    for name in ("record.json", "model.pt"):
        shutil.copy(flowers / name, tmp_path)
    assert load_run(tmp_path).class_names == ()  # as runs of earlier versions
    (tmp_path / "classes.json").write_text(content)
    result = run_command("evaluate", tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "classes.json must hold a list of 2 texts" in result.stderr


def test_crop_of_the_command_line_wins_over_the_recipes(tmp_path):
    root = write_folder(tmp_path / "images")
    rng = np.random.default_rng(0)
    for path in (root / "val").rglob("*.*"):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(path)
    experiment = short_experiment(data=files_config("folder", root), epochs=1, batch_size=8, crop_pct=0.5)
    Trainer.from_experiment(resolve_data(experiment), tmp_path / "run", execution_config()).train()
    logits = {}
    for crop_pct in (None, 0.5, 1.0):
        words = [] if crop_pct is None else [f"data.crop_pct={crop_pct}"]
        file = tmp_path / "logits.npz"
        result = run_command("evaluate", tmp_path / "run", "--out", tmp_path, "--logits", file, *words)
        assert result.returncode == 0, result.stderr
        with np.load(file) as arrays:
            logits[crop_pct] = arrays["logits"]
    assert np.array_equal(logits[None], logits[0.5])
    assert not np.array_equal(logits[None], logits[1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recipe.lr=1"], "recipe.lr=1 does not change an evaluation; allowed: data.FIELD=VALUE"),
        (["data.colour=1"], "colour"),
        (["--data", "flowers"], "there is no data 'flowers'; allowed: "),
        (
            ["--data=fake", "data.num_classes=7", "data.train_images=8", "data.test_images=8"],
            "data=fake has 7 classes, the network of the run 10",
        ),
        (["data.test_images=10"], "data.test_images=10, but data=digits has 360"),
        (["--logits", "logits.txt"], "--logits must end in .npz"),
    ],
)
def test_mistakes_of_evaluate_are_one_line_and_status_2(run, arguments, message):
    result = run_command("evaluate", run, *arguments)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert message in result.stderr


# Export


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
    folder = train(tmp_path / "run", model=replace(roadmap("micro")["gelu"], stem_stride=1))
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


# Finetune


def started(experiment, folder: Path) -> Trainer:
    trainer = Trainer.from_experiment(experiment, folder, execution_config())
    trainer.validate()
    trainer.lock()
    trainer.build()
    return trainer


@pytest.mark.parametrize("names", ["run", "modernet", "torchvision", "authors"])
def test_a_run_starts_from_weights_of_a_run_or_of_a_file(run, tmp_path, names):
    source = run
    if names != "run":
        source = tmp_path / "weights.safetensors"
        run_command("export", run, source, "--names", names)
    experiment = replace(short_experiment(ema_decay=0.5), weights=find_weights(source))
    state = started(experiment, tmp_path / "new").state
    expected = load_run(run).state_dict()
    for model in (state.model, state.ema_model):
        assert model is not None
        assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_the_head_is_replaced_where_the_number_of_classes_differs(run, tmp_path):
    experiment = short_experiment(data=random_images(64, num_classes=7))
    fresh = started(experiment, tmp_path / "fresh").state.model
    state = started(replace(experiment, weights=find_weights(run)), tmp_path / "new").state
    trained = load_run(run)
    assert torch.equal(state.model.classifier.weight, fresh.classifier.weight)
    body = {name: value for name, value in trained.state_dict().items() if not name.startswith("classifier")}
    assert all(torch.equal(state.model.state_dict()[name], value) for name, value in body.items())
    assert "with a new head" in (tmp_path / "new/train.log").read_text()


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
    broken, other, bare = (tmp_path / f"{name}.pth" for name in ("broken", "other", "bare"))
    broken.write_bytes(b"no weights")
    torch.save({"layer.weight": torch.ones(1)}, other)
    torch.save(torch.load(run / "model.pt", weights_only=True)["model"], bare)
    gelu = {"model": replace(roadmap("micro")["gelu"], stem_stride=1)}
    for source, changes, message in (
        (bare, gelu, "has the weights of another network: .* is missing"),
        (bare, {"model": replace(short_experiment().model, stem_stride=2)}, r"stem\.0\.weight has shape"),
        (broken, {}, "is not a readable file of weights"),
        (other, {}, "neither our names, nor those of torchvision or the authors"),
    ):
        experiment = replace(short_experiment(data=random_images(64, image_size=16)), weights=find_weights(source))
        with pytest.raises(UserError, match=message):
            Trainer.from_experiment(replace(experiment, **changes), tmp_path / "new", execution_config()).train()
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match=r"finetune=.*nowhere: there is no file"):
        find_weights(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def early_run(tmp_path_factory) -> Path:
    """A finished run of kernel_size, whose weights have the shapes of gelu and fewer_activations."""
    model = replace(roadmap("micro")["kernel_size"], stem_stride=2)
    return train(tmp_path_factory.mktemp("runs") / "kernel_size", model=model)


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
    folder = train(tmp_path / "run", model=model)
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
