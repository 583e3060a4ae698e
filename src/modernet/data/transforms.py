"""Transforms of single image files: decoding, random resized crop and flip for training, centre crop for evaluation."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.randaugment import rand_augment
from modernet.runtime.seeding import Purpose, seed_everything

CROP_SCALE = (0.08, 1.0)  # area of the random crop / area of the image


def decode_image(file: Any) -> Image.Image:
    """The RGB image in a path or an open file; greyscale, CMYK and palette images are converted."""
    with Image.open(file) as image:
        return image.convert("RGB")


@dataclass(frozen=True)
class ImageTransform:
    """From an RGB image of any size to uint8 (3, image_size, image_size)."""

    data: DataConfig
    recipe: RecipeConfig
    seed: int

    @property
    def _interpolation(self) -> v2.InterpolationMode:
        return v2.InterpolationMode(self.recipe.crop_interpolation)

    @cached_property
    def _random_crop(self) -> v2.Compose:
        flip = [v2.RandomHorizontalFlip()] if self.data.flip else []
        crop = v2.RandomResizedCrop(self.data.image_size, scale=CROP_SCALE, interpolation=self._interpolation)
        return v2.Compose([crop, *flip, v2.PILToTensor()])

    @cached_property
    def _center_crop(self) -> v2.Compose:
        resized = round(self.data.image_size / self.data.crop_pct)
        resize = v2.Resize(resized, self._interpolation)
        return v2.Compose([resize, v2.CenterCrop(self.data.image_size), v2.PILToTensor()])

    def train_transform(self, image: Image.Image, *sample: int) -> Tensor:
        """A random crop, augmented. `sample` (epoch, index) and the seed determine it, in any worker process."""
        seed_everything(self.seed, Purpose.SAMPLE, *sample)
        return rand_augment(self._random_crop(image)[None], self.recipe, self.data.mean)[0]

    def eval_transform(self, image: Image.Image) -> Tensor:
        """Resize the shorter side to image_size / crop_pct and crop the centre."""
        return self._center_crop(image)
