"""Evaluate a trained network: top-1, top-5, balanced accuracy, accuracy of each class and the confusion matrix.

modernet evaluate RUN [--data NAME | --images DIR] [--ema] [--out DIR] [--logits FILE.npz] [data.FIELD=VALUE ...]

RUN is the folder of a finished run, or the path of its record. The data are those of the run by default, as its record
describes them; NAME is a config of the group data. --images evaluates the files DIR/CLASS/*.jpg of any size, whatever
the run's data are; CLASS is a name of the run's classes, or a number from 0, and classes may be missing. Balanced
accuracy is the mean top-1 of the classes. The folder of --out gets summary.json, per_class.csv, confusion.csv (rows:
true classes) and the matrix as confusion.svg, .png and .pdf; by default it is RUN/evaluation, or for other images than
the run's RUN/evaluation-NAME-SPLIT or RUN/evaluation-DIR, with -ema behind it for the averaged weights. There an
evaluation does not replace one of other images or values; --out does. FILE.npz gets the arrays logits
(N, classes), labels (N,) and classes.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from tabulate import tabulate

from modernet.analysis.formatting import escape_markdown
from modernet.cli import exit_on_error
from modernet.config.experiment import build_execution, initialize_hydra
from modernet.config.roadmap import to_dict
from modernet.config.schema import DataConfig, ExecutionConfig, ModelConfig, RecipeConfig
from modernet.config.search_path import add_config_dir, config_options
from modernet.data.file_lists import ImageSplit, list_labeled_images
from modernet.data.fingerprint import check_image_counts, inspect_data
from modernet.errors import UserError
from modernet.record import Record
from modernet.runtime.file_names import CONFIG_FILE

if TYPE_CHECKING:  # they import torch, which a mistake in the arguments does not need
    from modernet.models.network import Network
    from modernet.training.evaluation import Evaluation

PREFIXES = ("data.", "device=", "num_workers=")
LOCATION = ("data.root=", "data.allow_pipe=")  # says nothing about the images
REPLACED = ("data.root=", "data.split=")  # by --images
SHOWN_CLASSES = 20  # per_class.csv has all
TOLERANCE = 0.005, 3  # of top-1 between machines, which round differently: this part of the images, or so many


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run, or its record")
    parser.add_argument(
        "overrides", nargs="*", default=[], help="data.FIELD=VALUE, device=D, num_workers=N, as for train"
    )
    parser.add_argument("--data", metavar="NAME", help="another data set with the classes of the run")
    parser.add_argument("--images", type=Path, metavar="DIR", help="a folder of images per class of the run")
    parser.add_argument("--ema", action="store_true", help="the averaged weights")
    parser.add_argument("--out", type=Path, metavar="DIR", help="by default a folder in RUN")
    parser.add_argument("--logits", type=Path, metavar="FILE", help="write the logits; ends in .npz")
    parser.add_argument("--config-dir", metavar="DIR", type=add_config_dir, help="a folder with your own data sets")
    arguments = parser.parse_intermixed_args()
    for override in arguments.overrides:
        if not override.startswith(PREFIXES) or "=" not in override:
            raise UserError(
                f"{override} does not change an evaluation; allowed: data.FIELD=VALUE, device=D, num_workers=N, --data"
            )
    if arguments.images and (arguments.data or any(word.startswith(REPLACED) for word in arguments.overrides)):
        raise UserError("--images takes the place of --data, data.root and data.split; give one of them")
    if arguments.logits and (arguments.logits.suffix != ".npz" or not arguments.logits.parent.is_dir()):
        raise UserError(f"--logits must end in .npz, in an existing folder, got {arguments.logits}")
    return arguments


def _compose(record: Record, folder: Path, arguments: argparse.Namespace) -> tuple[DataConfig, ExecutionConfig]:
    """The data to evaluate on, of the run or of --data, with the overrides."""
    of_data = [override for override in arguments.overrides if override.startswith("data.")]
    others = [override for override in arguments.overrides if override not in of_data]
    with initialize_hydra():
        if arguments.data:
            config = hydra.compose("config", [f"data={arguments.data}", *arguments.overrides])
            return DataConfig(**to_dict(config.data)), build_execution(config)
        execution = build_execution(hydra.compose("config", others))
        values = record.config["data"] | {"root": _data_root(folder) or _configured_root(record.config["data"]["name"])}
    values["allow_pipe"] = False  # never from a record, which may be somebody else's
    for override in OverridesParser.create().parse_overrides(of_data):
        if override.is_sweep_override():
            raise UserError(f"{override.input_line} has several values, and an evaluation takes one")
        values[override.key_or_group.removeprefix("data.")] = override.value()
    return DataConfig(**to_dict(OmegaConf.create(values))), execution


def _configured_root(name: str) -> str | None:
    """data.root of the config NAME, where there is one: MODERNET_DATA for published data sets."""
    return hydra.compose("config", [f"data={name}"]).data.root if name in config_options("data") else None


def _data_root(folder: Path) -> str | None:
    """The folder of the data that the run was trained on, where it still exists."""
    path = folder / CONFIG_FILE
    config: Any = OmegaConf.load(path) if path.is_file() else {}
    root = config.get("data_root")
    return root if root and Path(root).is_dir() else None


def _check_data(record: Record, data: DataConfig) -> None:
    trained = record.config["data"]["num_classes"]
    facts = inspect_data(replace(data, num_classes=None) if data.kind == "folder" else data)
    check_image_counts(data, facts)
    if facts.num_classes != trained:
        raise UserError(f"data={data.name} has {facts.num_classes} classes, the network of the run {trained}")
    before = record.config.get("data_fingerprint")
    if data.name == record.config["data"]["name"] and before not in (None, facts.fingerprint):
        print(f"note: these are not the files of the run (fingerprint {before} then)", file=sys.stderr)
    elif data.name == record.config["data"]["name"] and (data.split, _split(record)) == ("train/val", "train/test"):
        print("note: the network was trained on these images: the run's data.split is train/test", file=sys.stderr)


def _is_own_data(record: Record, data: DataConfig, recipe: RecipeConfig) -> bool:
    """Whether the evaluated images and their crops are those of the run, wherever the files are."""
    own = DataConfig(**record.config["data"])
    has_own_values = replace(data, root=own.root, allow_pipe=own.allow_pipe, num_classes=own.num_classes) == own
    has_own_values &= recipe.crop_pct == record.config["recipe"].get("crop_pct")
    return has_own_values and record.config.get("data_fingerprint") in (None, inspect_data(data).fingerprint)


def _split(record: Record) -> str:
    return record.config["data"].get("split", DataConfig.split)


def _split_name(data: DataConfig) -> str:
    """`test` or `val`."""
    return data.split.partition("/")[2]


def _class_names(record: Record, folder: Path, model: "Network", data: DataConfig) -> Sequence[str]:
    """Those of the data, or of the run where the data have none; prints a note where they differ."""
    from modernet.data.classes import class_names, known_class_names

    num_classes: int = record.config["data"]["num_classes"]
    names, trained = class_names(data, num_classes), model.class_names
    if trained and not known_class_names(data):
        return trained
    if not trained:  # a run without names, as those of earlier versions: as far as its data are here
        with suppress(UserError, OSError):
            trained = class_names(DataConfig(**record.config["data"] | {"root": _data_root(folder)}), num_classes)
    if other := [pair for pair in zip(trained, names, strict=False) if pair[0] != pair[1]]:
        print(f"note: the classes of the run have other names: {other[0][0]} for {other[0][1]}", file=sys.stderr)
    return names


def _predict(
    model: "Network",
    record: Record,
    data: DataConfig,
    images: ImageSplit | None,
    execution: ExecutionConfig,
    recipe: RecipeConfig,
) -> "Evaluation":
    """The predictions of the network, computed as in its training: another layout or precision rounds differently."""
    import torch

    from modernet.data.loader import build_loader
    from modernet.runtime.device import select_device
    from modernet.runtime.distributed import DistributedEnv, batch_layout
    from modernet.training.evaluation import predict

    device = select_device(execution.device)
    model = model.to(device)
    if record.machine.get("channels_last", True):
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    layout = batch_layout(DistributedEnv(), recipe.batch_size, recipe.micro_batch_size)
    loader = build_loader(data, recipe, record.seed, layout, device, execution.num_workers, images)
    in_bf16 = record.machine.get("amp") == "bf16"
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=in_bf16)
    return predict(model, loader.eval_batches(), loader.skipped.take, autocast)


def _print_results(evaluation: "Evaluation", names: Sequence[str], title: str) -> None:
    skipped = evaluation.skipped
    note = f" and {skipped:,} damaged ones, which count as wrong, except per class" if skipped else ""
    print(f"{title}, {len(evaluation.labels):,} images{note}")
    print(f"top-1 {evaluation.accuracy(1):.2f} %, top-5 {evaluation.accuracy(5):.2f} %, loss {evaluation.loss:.4f}")
    share = f"; the largest class has {evaluation.largest_class:.2f} % of the images"
    largest = "" if evaluation.has_equal_classes else share
    print(f"balanced accuracy {evaluation.balanced_accuracy:.2f} %, the mean of the classes{largest}\n")
    shown = [
        [escape_markdown(name), *(None if isnan(value) else value for value in values)]
        for name, values in list(zip(names, evaluation.per_class(), strict=True))[:SHOWN_CLASSES]
    ]
    print(tabulate(shown, ["class", "images", "top-1 (%)", "precision (%)"], "github", floatfmt=".2f"), end="\n\n")


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        from modernet.data.splits import evaluated_split
        from modernet.figures.confusion import letters_without_font
        from modernet.training.checks import check_image_size
        from modernet.training.evaluation_files import default_folder, write_files, write_logits
        from modernet.training.trained import evaluated_crop, finished_record, load_run, recipe_of, run_folder

        folder = run_folder(arguments.run)
        model, record = load_run(folder, arguments.ema), finished_record(folder)
        data, execution = _compose(record, folder, arguments)
        check_image_size(ModelConfig(**record.config["model"]), data)
        num_classes, images = record.config["data"]["num_classes"], None
        recipe = recipe_of(record)
        if any(override.startswith("data.crop_pct=") for override in arguments.overrides):
            recipe = replace(recipe, crop_pct=None)  # it would win over data.crop_pct
        elif arguments.images:
            recipe = replace(recipe, crop_pct=evaluated_crop(record))
        if arguments.images:
            images = list_labeled_images(arguments.images, model.class_names or list(map(str, range(num_classes))))
            images_name = arguments.images.resolve().name
        else:
            _check_data(record, data)
            images_name = "" if _is_own_data(record, data, recipe) else f"{data.name}-{_split_name(data)}"
        data = replace(data, num_classes=num_classes)
        changes = [word for word in arguments.overrides if word.startswith("data.") and not word.startswith(LOCATION)]
        if images:
            evaluated, of_data = str(arguments.images), {"data": None, "split": None, "fingerprint": images.digest}
        else:
            evaluated, fingerprint = evaluated_split(data), inspect_data(data).fingerprint
            of_data = {"data": data.name, "split": _split_name(data), "fingerprint": fingerprint}
        facts = {"variant": record.variant, "seed": record.seed, **of_data, "evaluated": evaluated}
        facts |= {"ema": arguments.ema, "overrides": sorted(changes) if images_name else []}
        out = arguments.out or default_folder(folder, images_name, arguments.ema, facts)
        evaluation = _predict(model, record, data, images, execution, recipe)
        names = images.classes if images else _class_names(record, folder, model, data)
        title = f"{record.variant}, seed {record.seed}: {evaluated if images else f'{data.name}, {evaluated}'}"
        trained = record.top1_ema if arguments.ema else record.top1
        limit = 100 * max(TOLERANCE[0], TOLERANCE[1] / len(evaluation.labels))
        if not images_name and trained is not None and abs(evaluation.accuracy(1) - trained) > limit:
            print(f"note: the record says {trained:.2f} %; has the code of the step changed since?", file=sys.stderr)
        paths = write_files(out, evaluation, names, title, facts)
        if arguments.logits:
            write_logits(arguments.logits, evaluation, names)
            paths.append(arguments.logits)
        if letters := letters_without_font(names):
            print(f"note: no font here has {letters}: boxes in confusion.png and .pdf", file=sys.stderr)
        _print_results(evaluation, names, title)
        print(*paths, sep="\n")


if __name__ == "__main__":
    main()
