"""The short form of scripts/reliability.py; the parts commands and safety have tests of their own."""

import pytest
from reliability import PARTS

TESTED_ELSEWHERE = {"commands", "safety"}
TIMED = {"scale"}  # its limits are seconds, which no test asserts


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted(PARTS.keys() - TESTED_ELSEWHERE - TIMED))
def test_every_trial_of_the_short_form_holds(part):
    trials = list(PARTS[part](True, 0))
    assert trials
    assert [(trial.what, trial.detail) for trial in trials if not trial.held] == []
