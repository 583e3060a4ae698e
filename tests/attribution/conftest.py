"""The end of the roadmap, composed once."""

import pytest
from helpers import compose

from modernet.config.experiment import Experiment


@pytest.fixture(scope="session")
def end() -> Experiment:
    return compose("+step=convnext", "protocol=digits")
