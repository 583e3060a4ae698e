"""One attempt to break the product."""

from typing import NamedTuple


class Trial(NamedTuple):
    """What was tried, and whether the product did what it promises."""

    what: str  # the row of the summary that counts it
    held: bool
    detail: str = ""  # the settings that repeat it, and what went wrong; printed where it did not hold
