"""What a network, a recipe and a data set are: frozen dataclasses that validate themselves when they are made.

Every field has a default. A default that was released never changes: a run is identified by the values that differ from
the defaults (`modernet.config.identity`), so a new field must default to what the code did before the field existed.
"""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)
from pydantic.dataclasses import dataclass

EXPANSION = 4  # wide / narrow channels of a bottleneck (He et al. 2015; Liu et al. 2022, Sec. 2.4)
STRICT = ConfigDict(extra="forbid")  # a misspelt field is an error, never ignored
FINITE = ConfigDict(extra="forbid", allow_inf_nan=False)

Position = Literal[0, 1, 2]
Stages = Annotated[tuple[PositiveInt, ...], Field(min_length=4, max_length=4)]
Channels = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]  # red, green, blue
PositiveChannels = Annotated[tuple[PositiveFloat, ...], Field(min_length=3, max_length=3)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


def _check_odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"must be odd to keep the size, got {value}")
    return value


def _check_ascending(value: tuple[Position, ...]) -> tuple[Position, ...]:
    if list(value) != sorted(set(value)):
        raise ValueError(f"must name each position once, in order, e.g. [0, 2], got {list(value)}")
    return value


Positions = Annotated[tuple[Position, ...], AfterValidator(_check_ascending)]


MIN_STEPS_TO_COMPILE = 2000  # of compile=auto: shorter runs do not win back the minute of compiling
MIN_INCEPTION_WIDTH = 8  # channels of which an eighth is at least one


@dataclass(frozen=True, kw_only=True, config=FINITE)
class ModelConfig:
    """One network of the roadmap. The defaults are ResNet-50; any values of the published steps are valid.

    Positions count the three convolutions of a block, 0 to 2. Source: Liu et al. 2022, Sec. 2; He et al. 2015. The
    fields behind `layer_scale` are those of steps that are not in the paper; a combination that has no meaning is an
    error.
    """

    depths: Stages = (3, 4, 6, 3)  # blocks per stage
    width: PositiveInt = 64  # channels of the stem; the stages' widths are multiples of it
    stem: Literal["resnet", "patchify", "overlap"] = "resnet"  # 7x7 and max-pool, one over patches, or two 3x3
    stem_stride: Literal[4, 2, 1] = 4  # downsampling before the first stage
    depthwise: bool = False  # the kxk convolution has one group per channel
    inverted: bool = False  # w -> 4w -> w instead of 4w -> w -> 4w
    spatial_first: bool = False  # kxk, 1x1, 1x1 instead of 1x1, kxk, 1x1
    kernel_size: Annotated[PositiveInt, AfterValidator(_check_odd)] = 3  # k of the kxk convolution
    act: Literal["relu", "gelu"] = "relu"  # activation function
    act_after: Positions = (0, 1, 2)  # convolutions followed by an activation; 2 is after the residual sum
    norm_after: Positions = (0, 1, 2)  # convolutions followed by a norm
    norm: Literal["batch", "layer"] = "batch"  # BatchNorm, or LayerNorm over the channels
    downsample: Literal["strided", "separate"] = "strided"  # in the first block of a stage, or in a layer before it
    layer_scale: NonNegativeFloat = 0.0  # initial value; 0 builds the network without Layer Scale
    hidden_factor: PositiveInt = 1  # multiplies the channels of a block's hidden layer; 2 in ResNeXt-50
    groups: PositiveInt = 1  # groups of the kxk convolution where it is not depthwise; 32 in ResNeXt-50
    grn: bool = False  # Global Response Normalization of the hidden layer, before the last convolution
    mixer: Literal["conv", "inception"] = "conv"  # kxk, or 3x3, 1xk, kx1 and identity on four parts of the channels
    small_kernel: NonNegativeInt = 0  # side of a second kernel parallel to the kxk one, folded for inference; 0 is off

    @property
    def min_image_size(self) -> int:
        """Smallest side in pixels that survives all downsampling. Strided convolutions pad, 2x2 convolutions do not."""
        behind_stem = 8 if self.downsample == "separate" else 1
        if self.stem == "overlap":  # pads, so it rounds up
            return self.stem_stride * (behind_stem - 1) + 1
        return self.stem_stride * behind_stem

    @field_validator("groups")
    @classmethod
    def _check_groups(cls, value: int, info: ValidationInfo) -> int:
        data = info.data
        if value > 1 and data.get("depthwise"):
            raise ValueError(f"must be 1 where depthwise=true, which has one group per channel, got {value}")
        if not {"width", "inverted", "spatial_first", "hidden_factor"} <= set(data):
            return value  # one of them is invalid itself
        hidden = data["width"] * (EXPANSION if data["inverted"] else 1) * data["hidden_factor"]
        channels = data["width"] if data["spatial_first"] else hidden  # the fewest of any kxk convolution
        if channels % value:
            raise ValueError(f"must divide the {channels} channels of the first kxk convolution, got {value}")
        return value

    @field_validator("mixer")
    @classmethod
    def _check_mixer(cls, value: str, info: ValidationInfo) -> str:
        data = info.data
        if value == "inception" and not data.get("depthwise", True):
            raise ValueError("mixer=inception needs depthwise=true, whose convolution it replaces")
        if value == "inception" and data.get("width", MIN_INCEPTION_WIDTH) < MIN_INCEPTION_WIDTH:
            raise ValueError(f"mixer=inception needs width >= {MIN_INCEPTION_WIDTH}, got {data['width']}")
        return value

    @field_validator("small_kernel")
    @classmethod
    def _check_small_kernel(cls, value: int, info: ValidationInfo) -> int:
        if value and value % 2 == 0:
            raise ValueError(f"must be odd, or 0 for none, got {value}")
        if value and value >= info.data.get("kernel_size", value + 1):
            raise ValueError(f"must be below kernel_size={info.data['kernel_size']}, got {value}")
        if value and info.data.get("mixer") == "inception":
            raise ValueError("must be 0 where mixer=inception, which has no kxk convolution")
        return value


@dataclass(frozen=True, kw_only=True, config=FINITE)
class SizeConfig:
    """The numbers that the steps and the modern recipe refer to. configs/size/ has the values."""

    name: str = "t"  # of the file in configs/size/
    start: str = "resnet50"  # name of the first step in this size
    depths_before: Stages = (3, 4, 6, 3)  # blocks per stage of the start
    depths_after: Stages = (3, 3, 9, 3)  # blocks per stage from stage_ratio on
    width_before: PositiveInt = 64  # width of the start
    width_between: PositiveInt = 64  # width from stage_ratio on
    width_after: PositiveInt = 96  # width from increase_width on
    drop_path_rate: Fraction = 0.1  # in the modern recipe; larger networks need more


@dataclass(frozen=True, kw_only=True, config=FINITE)
class RecipeConfig:
    """How a network is trained; configs/recipe/ has the values with sources.

    The defaults are modernet 0.1's classic recipe, on which the identity of runs depends. configs/recipe/classic.yaml
    differs in `init` and `crop_interpolation`.
    """

    name: str = "classic"  # of the file in configs/recipe/
    optimizer: Literal["sgd", "adamw", "lamb"] = "sgd"  # its fields are below
    lr: PositiveFloat = 0.1  # peak learning rate at base_batch_size; scales linearly with batch_size
    base_batch_size: PositiveInt = 256  # images per step at which lr holds
    batch_size: Annotated[int, Field(ge=2)] = 256  # images per optimizer step, over all devices
    # One forward pass: one BatchNorm statistic and one draw of Mixup or CutMix. It decides the result, so the number of
    # devices only changes how many of them run at once.
    micro_batch_size: Annotated[int, Field(ge=2)] | None = None  # images per forward pass; null: batch_size
    epochs: PositiveInt = 90  # length of the training
    weight_decay: NonNegativeFloat = 1e-4  # of weights with two dimensions or more
    decay_norm_and_bias: bool = True  # weight decay on biases, norms and Layer Scale too
    momentum: Fraction = 0.9  # momentum of sgd
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)  # betas of adamw and lamb
    schedule: Literal["cosine", "step"] = "step"  # learning rate after warm-up
    warmup_epochs: NonNegativeFloat = 0.0  # epochs of linear warm-up of the learning rate
    min_lr: NonNegativeFloat = 0.0  # learning rate at the end of the schedule
    label_smoothing: Fraction = 0.0  # in the training loss
    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"  # softmax, or a sigmoid for each class
    drop_path_rate: Fraction = 0.0  # stochastic depth: drop rate of the last block, linear in depth
    randaugment: Annotated[float, Field(ge=0, le=10)] = 0.0  # magnitude of RandAugment; 0 is off
    randaugment_std: NonNegativeFloat = 0.0  # standard deviation of the magnitude
    randaugment_interpolation: Literal["bilinear", "bicubic"] = "bilinear"  # of rotations, shears and translations
    crop_interpolation: Literal["bilinear", "bicubic"] = "bicubic"  # files: of the random crop and the evaluated resize
    mixup_alpha: NonNegativeFloat = 0.0  # parameter of the Beta distribution of Mixup; 0 is off
    cutmix_alpha: NonNegativeFloat = 0.0  # parameter of the Beta distribution of CutMix; 0 is off
    mixup_switch_prob: Probability = 0.5  # probability of CutMix instead of Mixup, where both are on
    random_erasing_prob: Probability = 0.0  # probability per image
    ema_decay: Fraction = 0.0  # of the weights, per step; 0 is off. The record has their accuracy as top1_ema
    train_image_size: PositiveInt | None = None  # files: pixels of the training images; null: data.image_size
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None  # files: of the evaluation; null: data.crop_pct
    repeated_augmentation: PositiveInt = 1  # copies of each image in a batch; an epoch has a fraction of the images
    init: Literal["he_fan_out", "torchvision", "trunc_normal", "fan_in", "torch"] = "he_fan_out"  # initial weights
    init_std: PositiveFloat = 0.02  # standard deviation of trunc_normal

    @field_validator("warmup_epochs")
    @classmethod
    def _check_warmup(cls, value: float, info: ValidationInfo) -> float:
        epochs = info.data.get("epochs")  # absent where it is invalid itself
        if epochs is not None and value >= epochs:
            raise ValueError(f"must be below recipe.epochs={epochs}, or no step reaches the peak, got {value:g}")
        return value

    @property
    def peak_lr(self) -> float:
        """Learning rate after warm-up, at `batch_size`."""
        return self.lr * self.batch_size / self.base_batch_size


@dataclass(frozen=True, kw_only=True, config=FINITE)
class DataConfig:
    """A data set and how its images are cropped. configs/data/ has the values."""

    name: str = "folder"  # of the file in configs/data/
    kind: Literal["digits", "npz", "fake", "folder", "shards"] = "folder"  # digits, npz and fake fit in memory
    root: str | None = None  # the folder of the files; null for a data set without files
    split: Literal["train/test", "train/val"] = "train/test"  # train/val holds a tenth of train out for tuning
    num_classes: PositiveInt | None = None  # null: read from the files
    image_size: PositiveInt = 224  # pixels, square
    mean: Channels = (0.485, 0.456, 0.406)  # of the training images, in [0, 1]
    std: PositiveChannels = (0.229, 0.224, 0.225)  # of the training images
    flip: bool = True  # mirror half of the training images
    crop_padding: NonNegativeInt = 0  # in memory: pixels added on each side before the random crop
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 0.875  # files: side of the evaluated centre crop / resized side
    train_images: PositiveInt | None = None  # fake, shards: number of training images, which no file says
    test_images: PositiveInt | None = None  # fake, shards: number of evaluated images
    on_error: Literal["raise", "skip"] = "raise"  # files: a damaged image ends the run, or is skipped and counted
    max_pixels: PositiveInt = 100_000_000  # files: a larger image counts as damaged and is not decoded
    allow_pipe: bool = False  # shards: an address pipe:COMMAND in data.root runs a shell command

    @property
    def in_files(self) -> bool:
        """Whether images are decoded and cropped from files, not kept in memory."""
        return self.kind in ("folder", "shards")


@dataclass(frozen=True, kw_only=True, config=FINITE)
class ExecutionConfig:
    """How the work is done; configs/config.yaml has the values.

    No field changes a result by more than rounding, but a GPU draws other random numbers than a CPU.
    """

    device: str = "auto"  # auto: a GPU if there is one; or a torch device: cpu, cuda, cuda:1, mps
    amp: Literal["auto", "bf16", "off"] = "auto"  # mixed precision; auto: bf16 on a GPU that supports it
    compile: Literal["auto", "on", "off"] = "auto"  # torch.compile; auto: on a GPU, for runs that pay for it
    channels_last: bool = True  # memory layout of images and weights
    deterministic: bool = False  # a GPU repeats a run bit for bit, with slower kernels; a CPU always does
    num_workers: NonNegativeInt | Literal["auto"] = "auto"  # data loading processes per device; auto: from the CPUs
    checkpoint_minutes: NonNegativeFloat = 5.0  # minutes between checkpoints; a stop signal saves at once
    log_every_steps: PositiveInt = 50  # optimizer steps between rows of steps.jsonl, which wandb shows as curves
    wait: bool = False  # where another process trains the run: wait for it instead of ending with an error


@dataclass(frozen=True, config=FINITE)
class WandbConfig:
    """Where wandb has its copy of a run. No field is part of a run's identity; wandb's environment variables win."""

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"  # auto: offline, and online under `wandb agent`
    project: str = "modernet"  # WANDB_PROJECT wins
    entity: str | None = None  # a user or a team; null: the login's; WANDB_ENTITY wins
    group: str | None = None  # null: protocol, size and variant; WANDB_RUN_GROUP wins
    tags: tuple[str, ...] = ()  # empty: the step; WANDB_TAGS wins
    notes: str | None = None  # a text; WANDB_NOTES wins
