"""A row of the results table: one variant of a group over its seeds."""

from dataclasses import dataclass, field
from typing import NamedTuple

from modernet.analysis.stats import ALPHA, Difference, Sample
from modernet.config.names import variant_name
from modernet.config.roadmap import main_path
from modernet.record import Record


class Group(NamedTuple):
    """The rows of one table: one protocol and size, with the same changes to recipe and data."""

    protocol: str
    size: str
    changes: str  # to recipe and data, as in recipe.epochs=5+data.split=train/val; empty for the protocol itself

    @property
    def is_tuning(self) -> bool:
        """Whether its runs are compared on images held out of train."""
        return any(change.startswith("data.split=") for change in self.changes.split("+"))

    def __str__(self) -> str:
        return ", ".join([self.protocol, f"size {self.size}", *filter(None, self.changes.split("+"))])


def split_variant(variant: str) -> tuple[str, list[str], str]:
    """convnext+act=relu+recipe.epochs=5 -> step convnext, network changes [act=relu], other changes recipe.epochs=5."""
    step, *changes = variant.split("+")
    others = [change for change in changes if change.startswith(("recipe", "data"))]
    return step, [change for change in changes if change not in others], "+".join(others)


def network_name(variant: str) -> str:
    """The variant without the changes to recipe and data, which its whole group has: convnext+act=relu."""
    step, changes, _ = split_variant(variant)
    return "+".join([step, *changes])


def group_of(record: Record) -> Group:
    """The table that a record belongs to."""
    return Group(record.protocol, record.size, split_variant(record.variant)[2])


def is_published_step(variant: str, size: str) -> bool:
    """Whether the variant is a step on the published path from ResNet to ConvNeXt, not a variant or a side step."""
    step, changes, _ = split_variant(variant)
    return not changes and step in main_path(size)


@dataclass(frozen=True)
class Row:
    """One variant over its seeds. None: nothing was run, or too little to estimate the noise.

    _low and _high are the ends of 95 % confidence intervals; _p is the two-sided p-value of `difference_test`,
    _holm the same after Holm's correction. The fields from `difference_test` to `bartlett_p` describe the layout
    that the differences belong to, `seed_correlation`, `seed_p` and `mixed_settings` the whole group.
    """

    protocol: str
    size: str
    changes: str
    variant: str
    n: int  # runs, each of another seed
    top1: float | None = None  # percent, mean over seeds
    top1_std: float | None = None
    before: str | None = None  # the variant that `difference` compares with: the previous step; for a variant its step
    difference: float | None = None  # percentage points
    difference_low: float | None = None
    difference_high: float | None = None
    gmacs: float | None = None
    params: int | None = None
    top1s: tuple[float, ...] = ()  # of each seed, in order of seed
    top1_low: float | None = None  # of the mean, Student's t
    top1_high: float | None = None
    difference_p: float | None = None
    difference_holm: float | None = None
    seeds_needed: int | None = None  # per network, to tell it from `before` with power 0.8
    start: str | None = None  # the first step of the roadmap; None for the start itself
    start_difference: float | None = None
    start_difference_low: float | None = None
    start_difference_high: float | None = None
    start_difference_p: float | None = None
    start_difference_holm: float | None = None
    difference_test: str | None = None  # pooled, or welch where the standard deviations are unequal
    pooled_std: float | None = None  # of the runs of a step: over the published steps; for other rows over the group
    pooled_df: int | None = None  # degrees of freedom
    brown_forsythe_p: float | None = None  # of equal standard deviations
    bartlett_p: float | None = None
    seed_correlation: float | None = None  # of two runs of the group with the same seed
    seed_p: float | None = None  # of no effect of the seed
    images_per_second: float | None = None  # trained; median over runs
    epochs: int | None = None  # length of the training
    paper_size: str | None = None  # of the paper's values, which are on ImageNet-1K
    paper_top1: float | None = None
    paper_difference: float | None = None  # to `before`
    paper_difference_low: float | None = None  # where the paper prints the std of both
    paper_difference_high: float | None = None
    mixed_settings: str | None = None  # fields of recipe and data, as in recipe.epochs, that differ within the group
    sign: str | None = None  # a Verdict of modernet.analysis.signs
    outdated: str | None = None  # fields with other values than the configs have today: model.act=relu (now gelu)
    metrics: dict[str, float] = field(default_factory=dict)  # name of a declared metric -> mean over runs

    @property
    def group(self) -> Group:
        """The table that the row belongs to."""
        return Group(self.protocol, self.size, self.changes)

    @property
    def sample(self) -> Sample | None:
        """Number, mean and standard deviation of its runs; None where it was not run."""
        return None if self.top1 is None else Sample(self.n, self.top1, self.top1_std)

    @property
    def gap(self) -> Difference:
        """The difference to `before`."""
        return Difference(self.difference, self.difference_low, self.difference_high, self.difference_p)

    @property
    def start_gap(self) -> Difference:
        """The difference to `start`."""
        return Difference(
            self.start_difference, self.start_difference_low, self.start_difference_high, self.start_difference_p
        )

    @property
    def paper_gap(self) -> Difference:
        """The paper's difference to `before`."""
        return Difference(self.paper_difference, self.paper_difference_low, self.paper_difference_high)

    @property
    def is_decided(self) -> bool:
        """Whether the difference to `before` is significant after Holm's correction."""
        return self.difference_holm is not None and self.difference_holm < ALPHA

    @property
    def is_step(self) -> bool:
        """A step of the roadmap, published or not, without changes to its network."""
        return not split_variant(self.variant)[1]

    @property
    def is_published(self) -> bool:
        """`is_published_step`."""
        return is_published_step(self.variant, self.size)

    @property
    def name(self) -> str:
        """The variant without the changes that its whole group has."""
        return network_name(self.variant)

    @property
    def title(self) -> str:
        """The display name of `name`."""
        return variant_name(self.name)

    def neighbour_title(self, variant: str) -> str:
        """The display name of `before` or `start`, which are of the same group."""
        return variant_name(network_name(variant))
