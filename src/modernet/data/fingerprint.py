"""What a data set's files say of it, without torch: number of classes and images, and a fingerprint."""

from dataclasses import dataclass, replace

from modernet.config.experiment import Experiment
from modernet.config.schema import DataConfig


@dataclass(frozen=True)
class DataFacts:
    """Facts about a data set."""

    num_classes: int
    fingerprint: str | None


def inspect_data(data: DataConfig) -> DataFacts:
    """Raises UserError where the files are missing."""
    assert data.num_classes is not None
    return DataFacts(data.num_classes, None)


def resolve_data(experiment: Experiment) -> Experiment:
    """The experiment with the number of classes and the fingerprint of its data set."""
    facts = inspect_data(experiment.data)
    data = replace(experiment.data, num_classes=facts.num_classes)
    return replace(experiment, data=data, data_fingerprint=facts.fingerprint)
