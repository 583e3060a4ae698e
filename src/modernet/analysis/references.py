"""Published results beside ours, by protocol: references.csv, which names setting and source of each."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from modernet.analysis.formatting import TextTable

HEADERS = ["published", "top-1 (%)", "GMACs", "parameters", "setting", "source"]
NOTE = "Published: each in its authors' setting, which is not that of our rows."


@dataclass(frozen=True)
class Reference:
    """One published result; None where its source prints nothing."""

    protocol: str
    network: str
    setting: str  # how it was trained and evaluated
    top1: float  # percent
    gmacs: float | None
    top1_text: str  # as printed
    params_text: str  # as printed, empty for unknown
    source: str


@cache
def references(protocol: str) -> tuple[Reference, ...]:
    """The published results on the data set of this protocol, in the order of the file."""
    text = Path(__file__).with_name("references.csv").read_text(encoding="utf-8")
    lines = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        Reference(
            protocol=protocol,
            network=line["network"],
            setting=line["setting"],
            top1=float(line["top1"]),
            gmacs=float(line["gmacs"]) if line["gmacs"] else None,
            top1_text=line["top1"],
            params_text=line["params"],
            source=line["source"],
        )
        for line in lines
        if line["protocol"] == protocol
    )


def reference_cells(protocol: str) -> TextTable | None:
    """The references of a protocol as a table; None where there are none."""
    body = [
        [
            row.network,
            row.top1_text,
            "" if row.gmacs is None else f"{row.gmacs:g}",
            row.params_text,
            row.setting,
            row.source,
        ]
        for row in references(protocol)
    ]
    return TextTable("published results", HEADERS, body) if body else None


def reference_notes(protocols: Iterable[str]) -> list[str]:
    """The paragraph below tables with references; none where no protocol has any."""
    return [NOTE] if any(references(protocol) for protocol in protocols) else []
