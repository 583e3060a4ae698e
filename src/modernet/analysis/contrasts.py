"""Several networks against one: leave-one-out, and other values of one field."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modernet.analysis.layout import Layout
from modernet.analysis.stats import ALPHA, Difference, Sample, holm, summarize


class Contrast(NamedTuple):
    """A network against the reference."""

    sample: Sample
    difference: Difference  # to the reference, in points
    holm: float | None  # p-value, corrected over the networks

    @property
    def is_decided(self) -> bool:
        """Whether the difference is significant after Holm's correction."""
        return self.holm is not None and self.holm < ALPHA


def compare_with(
    reference: Sequence[float], others: Mapping[str, Sequence[float]], layout: Layout
) -> dict[str, Contrast]:
    """Each network's top-1 minus the reference's, from the top-1 of each seed, by the noise and test of the layout."""
    samples = {name: summarize(values) for name, values in others.items()}
    differences = {name: layout.compare(sample, summarize(reference)) for name, sample in samples.items()}
    corrected = holm([difference.p for difference in differences.values()])
    return {
        name: Contrast(samples[name], difference, p)
        for (name, difference), p in zip(differences.items(), corrected, strict=True)
    }
