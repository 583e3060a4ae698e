"""The one network of the roadmap: stem, four stages and head, built from a ModelConfig."""

from torch import Tensor, nn

from modernet.config.schema import EXPANSION, ModelConfig
from modernet.models.blocks import ACTS, NORMS, Block, Classifier, has_bias


def build_stem(config: ModelConfig) -> nn.Sequential:
    """(N, 3, H, W) -> (N, width, H / stem_stride, W / stem_stride)."""
    stride, width = config.stem_stride, config.width
    separate = config.downsample == "separate"
    if config.stem == "patchify":
        layers: list[nn.Module] = [nn.Conv2d(3, width, stride, stride, bias=has_bias(config, normed=separate))]
    elif config.stem == "overlap":
        # Two 3x3 convolutions (timm's stem_type="overlap_act"). Their strides: 2 and 2, 2 and 1, or 1 and 1.
        first, second = min(stride, 2), max(stride // 2, 1)
        last = nn.Conv2d(width, width, 3, second, 1, bias=has_bias(config, normed=separate))
        layers = [nn.Conv2d(3, width, 3, first, 1), ACTS[config.act](), last]
    else:
        # Stride 4: 7x7/2 and max-pool/2. Stride 2: 3x3/1 and max-pool/2. Stride 1: 3x3/1.
        size = 7 if stride == 4 else 3
        conv = nn.Conv2d(3, width, size, 2 if stride == 4 else 1, size // 2, bias=has_bias(config, normed=True))
        layers = [conv, NORMS[config.norm](width), ACTS[config.act]()]
        if stride > 1:
            layers.append(nn.MaxPool2d(3, 2, 1))
    if separate:
        layers.append(NORMS[config.norm](width))
    return nn.Sequential(*layers)


def build_stages(config: ModelConfig, drop_path_rate: float) -> tuple[nn.Sequential, int]:
    """The four stages and their output channels. Each stage but the first halves height and width."""
    blocks = sum(config.depths)
    drop_rates = iter([drop_path_rate * i / max(blocks - 1, 1) for i in range(blocks)])  # linear in depth
    stages, channels = nn.Sequential(), config.width
    for i, depth in enumerate(config.depths):
        narrow = config.width * 2**i
        out = narrow if config.inverted else EXPANSION * narrow
        stride = 2 if i > 0 else 1
        stage = nn.Sequential()
        if stride > 1 and config.downsample == "separate":
            downsample = nn.Sequential(NORMS[config.norm](channels), nn.Conv2d(channels, out, stride, stride))
            stage.add_module("downsample", downsample)
            channels, stride = out, 1
        for j in range(depth):
            stage.add_module(str(j), Block(config, channels, narrow, stride if j == 0 else 1, next(drop_rates)))
            channels = out
        stages.append(stage)
    return stages, channels


class Network(nn.Module):
    """(N, 3, H, W) images -> (N, num_classes) logits."""

    def __init__(self, config: ModelConfig, num_classes: int, drop_path_rate: float) -> None:
        super().__init__()
        self.config = config
        self.class_names: tuple[str, ...] = ()  # of the outputs; load_run knows them for data sets with names
        self.stem = build_stem(config)
        self.stages, channels = build_stages(config, drop_path_rate)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = NORMS[config.norm](channels) if config.downsample == "separate" else nn.Identity()
        self.classifier = Classifier(channels, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, H / S, W / S): the output of the last stage, before pooling, norm and classifier.

        S is 8 * stem_stride: 32 for images of ImageNet's size. C is `self.classifier.in_features`.
        """
        return self.stages(self.stem(x))

    def forward(self, x: Tensor) -> Tensor:
        x = self.forward_features(x)
        x = self.norm(self.pool(x)).flatten(1)  # (N, C, H, W) -> (N, C)
        return self.classifier(x)


def build_model(config: ModelConfig, num_classes: int = 1000, drop_path_rate: float = 0.0) -> Network:
    """The network of a config, with torch's default initial weights; `drop_path_rate` is that of the last block."""
    if num_classes < 1:
        raise ValueError(f"num_classes must be 1 or more, got {num_classes}")
    return Network(config, num_classes, drop_path_rate)
