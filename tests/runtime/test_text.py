"""Short texts for messages."""

import pytest

from modernet.runtime.text import MAX_LETTERS, describe, format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(119.6, "2 min 00 s"), (3599.7, "1 h 00 min"), (59.4, "0 min 59 s"), (7170.0, "2 h 00 min"), (5400, "1 h 30 min")],
)
def test_durations_are_rounded_before_they_are_split(seconds, text):
    assert format_duration(seconds) == text


def test_a_long_message_is_cut():
    text = describe(RuntimeError("\n".join(["g++: error"] * 10_000)))
    assert text.startswith("RuntimeError: g++: error; g++: error")
    assert text.endswith("...")
    assert len(text) < MAX_LETTERS + 20
