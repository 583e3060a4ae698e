"""Input from JPEG files against timm's create_loader and torchvision's reference preset.

One process with one thread loads batches; images/s count its CPU time, so other programs disturb little. The
augmentation is that of recipe=modern for all; torchvision's RandAugment has other operations and applies both that it
draws. timm 1.0.31 crashes with Pillow 13 where posterize keeps 0 bits: here a black image replaces that operation.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from omegaconf import OmegaConf
from PIL import Image
from timm.data import auto_augment
from timm.data.dataset import ImageDataset
from timm.data.loader import create_loader
from timm.data.mixup import FastCollateMixup
from torch.utils.data import DataLoader, default_collate
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.measuring import Contestant, measure_in_turn
from benchmarks.rows import Row, compare
from modernet.config.roadmap import to_dict
from modernet.config.schema import DataConfig, RecipeConfig
from modernet.config.search_path import CONFIGS
from modernet.data.image_folder import ImageFolderLoader, load_splits
from modernet.runtime.distributed import DistributedEnv, batch_layout

BATCH_SIZE, BATCHES = 64, 4  # per round
LARGE, NUM_LARGE = (500, 375), 20  # size of the enlarged files, and their number per class
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BICUBIC = v2.InterpolationMode.BICUBIC


def patch_timms_posterize() -> None:
    """Pillow 13 refuses the 0 bits that timm 1.0.31 asks for."""
    posterize = auto_augment.NAME_TO_OP["PosterizeIncreasing"]

    def patched(image: Image.Image, bits: int, **arguments: Any) -> Image.Image:
        return posterize(image, bits, **arguments) if bits else Image.new(image.mode, image.size)

    auto_augment.NAME_TO_OP["PosterizeIncreasing"] = patched


def write_large_copies(source: Path, folder: Path) -> None:
    """The first images of each class, enlarged to the size that ImageNet's files have on average."""
    for split in ("train", "val"):
        for class_folder in (source / split).iterdir():
            (folder / split / class_folder.name).mkdir(parents=True)
            for path in sorted(class_folder.iterdir())[:NUM_LARGE]:
                with Image.open(path) as image:
                    large = image.convert("RGB").resize(LARGE, Image.Resampling.BICUBIC)
                large.save(folder / split / class_folder.name / path.name, quality=90)


def contestant(batches: Iterator[Any]) -> Contestant:
    """Takes some of the batches and returns images per second of CPU time."""

    def rate() -> float:
        started = time.process_time()
        num_images = sum(len(images) for images, _ in islice(batches, BATCHES))
        return num_images / (time.process_time() - started)

    return rate


def repeat(epoch: Callable[[int], Any]) -> Iterator[Any]:
    """The batches of epochs 0, 1, 2, ..."""
    for number in cycle(range(1000)):
        yield from epoch(number)


def build_ours(root: Path, size: int, device: str = "cpu") -> ImageFolderLoader:
    values: Any = OmegaConf.load(CONFIGS / "recipe/modern.yaml")
    fields = OmegaConf.masked_copy(values, [name for name in values if name not in ("defaults", "drop_path_rate")])
    recipe = replace(RecipeConfig(**to_dict(fields)), batch_size=BATCH_SIZE)
    data = DataConfig(root=str(root), image_size=size, num_classes=10, mean=MEAN, std=STD)
    layout = batch_layout(DistributedEnv(), BATCH_SIZE, BATCH_SIZE)
    return ImageFolderLoader(*load_splits(data), data, recipe, 0, layout, torch.device(device), 0)


def build_timms(root: Path, size: int, split: str) -> Any:
    """`.loader` of the result is the part that runs on the host where the device is a GPU."""
    is_training = split == "train"
    augmentation: dict[str, Any] = {
        "auto_augment": "rand-m9-mstd0.5-inc1",
        "re_prob": 0.25,
        "re_mode": "pixel",
        "collate_fn": FastCollateMixup(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=10),
    }
    return create_loader(
        ImageDataset(str(root / split)),
        (3, size, size),
        BATCH_SIZE,
        is_training=is_training,
        interpolation="bicubic",
        crop_pct=0.875,
        num_workers=0,
        persistent_workers=False,
        device=torch.device("cpu"),
        **(augmentation if is_training else {}),
    )


def build_torchvisions(root: Path, size: int, split: str) -> DataLoader:
    """The presets of its references/classification, with Pillow, its default."""
    normalized = [v2.PILToTensor(), v2.ToDtype(torch.float, scale=True), v2.Normalize(MEAN, STD)]
    if split == "val":
        cropped = [v2.Resize(round(size / 0.875), BICUBIC), v2.CenterCrop(size)]
        return DataLoader(ImageFolder(str(root / split), v2.Compose([*cropped, *normalized])), BATCH_SIZE)
    augmented = [
        v2.RandomResizedCrop(size, interpolation=BICUBIC),
        v2.RandomHorizontalFlip(),
        v2.RandAugment(magnitude=9, interpolation=BICUBIC),
    ]
    erasing = v2.RandomErasing(0.25, value="random")  # pyright: ignore[reportArgumentType]
    images = ImageFolder(str(root / split), v2.Compose([*augmented, *normalized, erasing]))
    mixing = v2.RandomChoice([v2.MixUp(alpha=0.8, num_classes=10), v2.CutMix(alpha=1.0, num_classes=10)])

    def collate_and_mix(samples: list[Any]) -> Any:
        return mixing(*default_collate(samples))

    return DataLoader(images, BATCH_SIZE, shuffle=True, drop_last=True, collate_fn=collate_and_mix)


def measure(root: Path, size: int, what: str, rounds: int) -> list[Row]:
    """Training, training with the augmentation on a GPU (the part of the host), and evaluation."""
    timms, torchvisions = partial(build_timms, root, size), partial(build_torchvisions, root, size)
    ours, ours_on_gpu = build_ours(root, size), build_ours(root, size, "meta")
    table = {
        "training": (ours.train_batches, timms("train"), torchvisions("train")),
        "training, work of the host for a GPU": (
            lambda epoch: (batch for _, batch in ours_on_gpu.load_train_batches(epoch)),
            timms("train").loader,
            torchvisions("train"),
        ),
        "evaluation": (lambda _: ours.eval_batches(), timms("val"), torchvisions("val")),
    }
    results = []
    for name, (our_epoch, timm_loader, torchvision_loader) in table.items():
        contestants = {
            "modernet": contestant(repeat(our_epoch)),
            "timm": contestant(repeat(lambda _, loader=timm_loader: loader)),
            "torchvision": contestant(repeat(lambda _, loader=torchvision_loader: loader)),
        }
        rates = measure_in_turn(contestants, rounds)
        results.append(compare(f"{name}, {what} -> {size} px", "images/s", rates, "modernet"))
    return results


def measure_input(images: Path, rounds: int) -> list[Row]:
    """Imagenette at 160 -> 128 px, `images`, and enlarged copies at 500 x 375 -> 224 px, by one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    patch_timms_posterize()
    rows = measure(images, 128, "Imagenette, 160", rounds)
    with TemporaryDirectory() as folder:
        write_large_copies(images, Path(folder))
        rows += measure(Path(folder), 224, "500 x 375", rounds)
    torch.set_num_threads(threads)
    return rows
