"""What a mark of a figure says when it is pointed at: a row of results, or a gain, in a few lines."""

from collections.abc import Sequence

from modernet.analysis.formatting import accuracy, bounds, change, p_value
from modernet.analysis.table import Row


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def of_row(row: Row, *more: str) -> str:
    interval = f"95 % interval {bounds(row.top1_low, row.top1_high) or 'unknown: no spread'}"
    cost = f"{_seeds(row.n)}, {row.gmacs:.4f} GMACs"
    return "\n".join([row.name, f"top-1 {accuracy(row)} %", interval, *more, cost])


def of_paper(row: Row, *more: str) -> str:
    """The paper's value for a row; nobody sees it where there is none."""
    top1 = f"top-1 {row.paper_top1:.2f} % on ImageNet-1K" if row.paper_top1 is not None else ""
    return "\n".join([f"{row.name}, the paper's (size {row.paper_size})", top1, *more])


def of_difference(row: Row) -> str:
    gap = change(row.difference, row.difference_low, row.difference_high)
    p = [f"p = {p_value(row.difference_holm)} (Holm)"] if row.difference_holm is not None else []
    return of_row(row, f"to {row.before}: {gap} points", *p)


def of_papers_difference(row: Row) -> str:
    gap = change(row.paper_difference, row.paper_difference_low, row.paper_difference_high)
    return of_paper(row, f"to {row.before}: {gap} points")


def of_curve(variant: str, reached: Sequence[Sequence[float]]) -> list[str]:
    """A text per epoch, from top-1 in percent (runs, epochs)."""
    return [
        f"{variant}, epoch {number}\ntop-1 {sum(epoch) / len(epoch):.2f} %\n"
        f"lowest {min(epoch):.2f}, highest {max(epoch):.2f}\n{_seeds(len(epoch))}"
        for number, epoch in enumerate(zip(*reached, strict=False), 1)
    ]
