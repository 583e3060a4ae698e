"""What a network, a recipe and a data set are: frozen dataclasses that check themselves when they are made."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from pydantic.dataclasses import dataclass

CHECKED = ConfigDict(extra="forbid")  # a misspelt field is an error, never ignored

Position = Literal[0, 1, 2]
Stages = Annotated[tuple[PositiveInt, ...], Field(min_length=4, max_length=4)]
Channels = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]  # red, green, blue
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"must be odd to keep the size, got {value}")
    return value


def _in_order(value: tuple[Position, ...]) -> tuple[Position, ...]:
    if list(value) != sorted(set(value)):
        raise ValueError(f"must name each position once, in order, e.g. [0, 2], got {list(value)}")
    return value


Positions = Annotated[tuple[Position, ...], AfterValidator(_in_order)]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ModelSpec:
    """One network of the roadmap. The defaults are ResNet-50; every combination of values is a valid network.

    Positions count the three convolutions of a block, 0 to 2. Source: Liu et al. 2022, Sec. 2; He et al. 2015.
    """

    depths: Stages = (3, 4, 6, 3)  # blocks per stage
    width: PositiveInt = 64  # channels of the stem; the stages' are multiples of it
    stem: Literal["resnet", "patchify"] = "resnet"
    stem_stride: Literal[4, 2, 1] = 4  # the image shrinks by this much before the first stage
    depthwise: bool = False  # the kxk convolution sees one channel at a time
    inverted: bool = False  # w -> 4w -> w rather than 4w -> w -> 4w
    spatial_first: bool = False  # kxk, 1x1, 1x1 rather than 1x1, kxk, 1x1
    kernel_size: Annotated[PositiveInt, AfterValidator(_odd)] = 3
    act: Literal["relu", "gelu"] = "relu"
    act_after: Positions = (0, 1, 2)  # 2 means after the sum with the shortcut
    norm_after: Positions = (0, 1, 2)
    norm: Literal["batch", "layer"] = "batch"
    downsample: Literal["strided", "separate"] = "strided"  # by the first block of a stage, or by a layer before it
    layer_scale: NonNegativeFloat = 0.0  # initial value; 0 leaves Layer Scale out


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Size:
    """The numbers that the steps and the modern recipe refer to. configs/size/ has the values."""

    name: str
    start: str  # what the first step is called in this size
    depths_before: Stages  # of the start
    depths_after: Stages  # from stage_ratio on
    width_before: PositiveInt
    width_between: PositiveInt  # from stage_ratio on
    width_after: PositiveInt  # from increase_width on
    stochastic_depth: Fraction  # of the modern recipe: larger networks need more


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Recipe:
    """How a network is trained. configs/recipe/ has the values, with their sources."""

    name: str
    optimizer: Literal["sgd", "adamw"]
    lr: PositiveFloat  # peak, for a batch of lr_batch images; scaled linearly with batch_size
    lr_batch: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]  # images per optimizer step; a BatchNorm of one image would be all zero
    epochs: PositiveInt
    weight_decay: NonNegativeFloat
    decay_1d: bool  # whether biases, norms and Layer Scale are decayed as well
    betas: tuple[Fraction, Fraction]
    schedule: Literal["cosine", "step"]
    warmup_epochs: NonNegativeFloat
    min_lr: NonNegativeFloat
    label_smoothing: Fraction
    stochastic_depth: Fraction  # drop rate of the last block; linear in depth
    randaugment: Annotated[float, Field(ge=0, le=10)]  # magnitude, of 10; 0 is off
    randaugment_std: NonNegativeFloat  # of the magnitude, from image to image
    mixup: NonNegativeFloat  # alpha of the Beta distribution; 0 is off
    cutmix: NonNegativeFloat
    mixup_switch: Annotated[float, Field(ge=0, le=1)]  # how often a batch gets cutmix, where both are on
    random_erasing: Annotated[float, Field(ge=0, le=1)]  # probability for an image
    ema: Fraction  # decay a step of an average of the weights, scored as top1_ema; 0 is off
    sync_batchnorm: bool  # BatchNorm statistics over all devices rather than each by itself
    init: Literal["he_fan_out", "trunc_normal", "fan_in", "torch"]
    init_std: PositiveFloat  # of trunc_normal

    @property
    def peak_lr(self) -> float:
        return self.lr * self.batch_size / self.lr_batch


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class DataSpec:
    """A data set and how its images are cut. configs/data/ has the values."""

    name: str
    kind: Literal["digits", "npz", "fake", "folder", "shards"]  # digits, npz and fake are held in memory
    root: str | None  # the folder of its files; None for a data set that has none
    split: Literal["train/test", "train/val"]  # train/val holds a tenth of train out to tune on
    classes: PositiveInt
    image_size: PositiveInt  # pixels, square
    mean: Channels  # of the training images, in [0, 1]
    std: Channels
    flip: bool  # mirror half of the training images
    crop_padding: NonNegativeInt  # in memory: pixels added on each side before the random crop
    test_crop: Annotated[float, Field(gt=0, le=1)]  # files: the part of a side that is evaluated; all else is cut off
    train_images: PositiveInt | None  # fake, shards: how many there are, which no file says
    test_images: PositiveInt | None


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Machine:
    """How the work is done. None of it changes a result by more than rounding; configs/config.yaml has the values."""

    device: str  # auto is the GPU if there is one. Or any name torch knows: cpu, cuda, cuda:1, mps
    amp: Literal["auto", "bf16", "off"]  # auto is bf16 on a GPU that has it
    compile: Literal["auto", "on", "off"]  # torch.compile; auto is on on a GPU, for runs that are worth the wait
    channels_last: bool
    device_batch: PositiveInt | None  # images a device takes at once; the rest of a batch is accumulated. None: all
    workers: NonNegativeInt  # processes a device that read image files
    checkpoint_minutes: NonNegativeFloat  # between checkpoints; a signal to stop writes one at once
