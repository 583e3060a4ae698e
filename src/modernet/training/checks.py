"""What is refused, or warned of, before a run starts: combinations of a network, a recipe and a data set."""

from dataclasses import replace
from importlib.util import find_spec

from modernet.config.schema import DataConfig, ModelConfig, RecipeConfig
from modernet.errors import UserError
from modernet.record import Epoch

MAX_LEFT_OUT = 0.1  # of the training images, per epoch, without a warning
MAX_DATA_WAIT = 10.0  # percent of an epoch, without a warning


def check_image_size(model: ModelConfig, data: DataConfig) -> None:
    """Raises UserError for images that are too small for the network's strides."""
    if data.image_size < model.min_image_size:
        raise UserError(
            f"model.stem_stride={model.stem_stride} with model.downsample={model.downsample} needs images of at "
            f"least {model.min_image_size} pixels, {data.name} has {data.image_size}; a smaller model.stem_stride "
            "(4, 2, 1) allows them"
        )


def check_recipe(model: ModelConfig, recipe: RecipeConfig, data: DataConfig) -> None:
    """Raises UserError for a recipe that this kind of data set, the network's strides or the packages cannot follow."""
    if recipe.optimizer == "lamb" and find_spec("timm") is None:
        raise UserError("recipe.optimizer=lamb needs timm: pip install 'modernet[recipes]'")
    if recipe.train_image_size is not None:
        if not data.in_files:
            raise UserError(
                f"recipe.train_image_size={recipe.train_image_size} needs data in image files or shards, "
                f"{data.name} is in memory; allowed: null"
            )
        if recipe.train_image_size > data.image_size:
            raise UserError(
                f"recipe.train_image_size must be at most data.image_size={data.image_size}, or null, "
                f"got {recipe.train_image_size}"
            )
        check_image_size(model, replace(data, image_size=recipe.train_image_size))
    if recipe.repeated_augmentation > 1 and data.kind == "shards":
        raise UserError(
            f"recipe.repeated_augmentation must be 1 for data.kind=shards, whose order is that of the files, "
            f"got {recipe.repeated_augmentation}"
        )


def check_batch_size(recipe: RecipeConfig, num_images: int) -> None:
    """Raises UserError for a batch larger than the training set."""
    if recipe.batch_size > num_images:
        raise UserError(
            f"recipe.batch_size must be at most {num_images}, the number of training images, got {recipe.batch_size}"
        )


def find_warnings(recipe: RecipeConfig, data: DataConfig, num_images: int, num_classes: int) -> list[str]:
    """One line for each value that is allowed but seldom meant."""
    warnings = []
    left_out = num_images % recipe.batch_size
    if left_out > MAX_LEFT_OUT * num_images:
        warnings.append(
            f"recipe.batch_size={recipe.batch_size} leaves {left_out:,} of the {num_images:,} training images "
            f"({left_out / num_images:.0%}) out of every epoch, because an epoch has full batches only"
        )
    if not data.in_files:
        unused = {"recipe.crop_pct": recipe.crop_pct, "data.crop_pct": data.crop_pct}
        warnings += [
            f"{name}={value} has no effect: {data.name} is in memory, and its images are evaluated as they are"
            for name, value in unused.items()
            if value not in (None, 1.0, DataConfig.crop_pct)
        ]
    if num_classes <= 5:
        warnings.append(f"the top-5 accuracy of {num_classes} classes is 100 % by definition")
    return warnings


def slow_input_warning(epoch: Epoch, num_workers: int) -> str | None:
    """A line where training waited for batches for more than a tenth of an epoch."""
    wait = epoch.metrics.get("data_wait", 0.0)
    if wait <= MAX_DATA_WAIT:
        return None
    return (
        f"{wait:.0f} % of epoch {epoch.epoch} was spent waiting for data, with num_workers={num_workers}; "
        "more CPU cores, more workers or less augmentation shorten it"
    )
