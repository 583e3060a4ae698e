"""The images of shards in the order of an epoch, cut into lanes.

The shards of an epoch, in random order, form one long row of images. Lanes cut it into parts of consecutive images, and
micro-batch g holds the next images of lane g % lanes, shuffled by a buffer. So an epoch has every image once, the order
depends neither on the number of ranks nor on that of worker processes, and each process reads its lanes only.
"""

import random
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, islice
from typing import Any

from webdataset.filters import shuffle
from webdataset.gopen import gopen
from webdataset.tariterators import group_by_keys, tar_file_expander

from modernet.data.shard_sizes import cache_path, check_end
from modernet.errors import UserError
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.seeding import Purpose, derive_seed, permutation
from modernet.runtime.text import describe

SHUFFLE_BUFFER = 1000  # images per lane
MIN_LANES = 16  # per epoch: enough for the workers of one device
Sample = dict[str, Any]  # the files of one image by their endings, and __key__ and __url__ by webdataset


@dataclass(frozen=True)
class Shard:
    """The images of a tar file that belong to a split."""

    url: str
    is_used: bytes | None = None  # 1 or 0 for each image in the file; None: all, of a file that was not counted

    @cached_property
    def num_images(self) -> int:
        """Those of the split."""
        assert self.is_used is not None, "only shards of val are not counted"
        return sum(self.is_used)

    def samples(self) -> Iterator[Sample]:
        """Those of the split, not decoded."""
        samples = read_shard(self.url)
        return samples if self.is_used is None else compress(samples, self.is_used)


def num_lanes(layout: BatchLayout) -> int:
    """Lanes of an epoch: a multiple of the micro-batches of a step, so that a lane belongs to one rank."""
    per_step = layout.micro_batches_per_step
    return per_step * -(-MIN_LANES // per_step)


def auto_num_workers(layout: BatchLayout, at_most: int) -> int:
    """The largest number of workers with which each lane has one reader."""
    lanes = num_lanes(layout) // layout.env.world_size
    return max(workers for workers in range(1, at_most + 1) if lanes % workers == 0)


@dataclass(frozen=True)
class EpochLanes:
    """The micro-batches of one epoch and the images that each holds."""

    shards: list[Shard]
    seed: int
    epoch: int
    layout: BatchLayout

    @property
    def num_steps(self) -> int:
        """Optimizer steps; the images that do not fill the last batch are dropped."""
        return sum(shard.num_images for shard in self.shards) // self.layout.batch_size

    def numbers(self, first_step: int) -> list[int]:
        """The micro-batches of this rank, from optimizer step `first_step` on."""
        micro_batches = self.layout.micro_batches()
        steps = range(first_step, self.num_steps)
        return [self.layout.seed_number(step, micro_batch) for step in steps for micro_batch in micro_batches]

    def samples(self, lane: int) -> Iterator[Sample]:
        """All samples of a lane, not decoded, in the order of its micro-batches."""
        first = sum(map(self._lane_size, range(lane)))
        seed_key = self.seed, Purpose.ORDER, self.epoch
        order = [self.shards[number] for number in permutation(len(self.shards), *seed_key).tolist()]
        rng = random.Random(derive_seed(*seed_key, lane))
        return shuffle(SHUFFLE_BUFFER, rng=rng)(_read_images(order, first, self._lane_size(lane)))

    def _lane_size(self, lane: int) -> int:
        num_micro_batches = self.num_steps * self.layout.micro_batches_per_step
        return self.layout.micro_batch_size * len(range(lane, num_micro_batches, num_lanes(self.layout)))


def _read_images(shards: Sequence[Shard], first: int, number: int) -> Iterator[Sample]:
    """`number` samples of the row of all shards, from sample `first` on."""
    for shard in shards:
        if first >= shard.num_images:
            first -= shard.num_images
            continue
        expected = min(number, shard.num_images - first)
        if not expected:
            return
        found = 0
        for sample in islice(shard.samples(), first, first + expected):
            found += 1
            yield sample
        if found < expected:
            raise UserError(
                f"the shard {shard.url} holds fewer than the {len(shard.is_used or ())} images that were counted; "
                f"delete {cache_path(shard.url)} to count again"
            )
        first, number = 0, number - expected


def read_shard(url: str) -> Iterator[Sample]:
    """All samples of a shard, not decoded. Raises UserError for one that cannot be read to its end."""
    try:
        check_end(url)
        with closing(gopen(url)) as stream:
            yield from group_by_keys(tar_file_expander([{"url": url, "stream": stream}]))
    except (tarfile.TarError, EOFError, OSError, ValueError, ImportError) as error:  # the last three: webdataset
        raise UserError(f"the shard {url} cannot be read to its end ({describe(error)})") from error
