"""The answer of a group of runs in one sentence: which steps change accuracy, and by how much in total."""

from collections.abc import Sequence

from modernet.analysis.formatting import count_noun, count_seeds, format_difference, format_p_equation, join_words
from modernet.analysis.notes import mixed_settings_note, outdated_note
from modernet.analysis.row import Row
from modernet.analysis.stats import ALPHA
from modernet.report.summary import TESTED, classify


def answer(rows: Sequence[Row], title: str) -> str:
    """One sentence about the published steps of a group, or about its variants where it has no two steps.

    A note follows where rows differ in more than their networks, and one where runs are older than their configs.
    `title` is that of the group: CIFAR-10, 6 epochs, size micro.
    """
    run = [row for row in rows if row.n]
    mixed = mixed_settings_note(run)
    return " ".join(filter(None, [_describe_rows(run, title, bool(mixed)), mixed, outdated_note(run)]))


def _describe_rows(run: Sequence[Row], title: str, is_mixed: bool) -> str:
    steps = [row for row in run if row.is_published]
    protocol, _, setting = title.partition(", ")
    where = f"On {protocol} ({setting}, {count_seeds(run)})"
    members = [row for row in (steps if len(steps) > 1 else run) if row.before]
    tested = [row for row in members if classify(row) in TESTED]
    if tested:
        return f"{where}, {_describe_tests(tested)}{_describe_total(steps)}."
    if is_mixed:
        return f"{where}, no difference between steps is tested."
    reason = (
        "no two neighbouring steps were run"
        if all(row.difference is None for row in members)
        else "the noise between seeds is unknown, so they cannot be told apart yet"
    )
    if len(steps) > 1:
        first, last = steps[0], steps[-1]
        return (
            f"{where}, top-1 goes from {first.top1:.2f} % ({first.title}) to {last.top1:.2f} % ({last.title}); "
            f"{reason}{_describe_total(steps) if last.start_difference_p is not None else ''}."
        )
    best = max(run, key=lambda row: row.top1 or 0)
    return f"{where}, {best.title} has a top-1 of {best.top1:.2f} %; {reason}."


def _describe_tests(tested: Sequence[Row]) -> str:
    noun = "step" if all(row.is_published for row in tested) else "variant"
    raised, lowered = ([row.title for row in tested if classify(row) == verdict] for verdict in ("raised", "lowered"))
    if not raised + lowered and len(tested) == 1:
        return f"{tested[0].title} does not change top-1 significantly"
    if not raised + lowered:
        return f"none of {count_noun(len(tested), noun)} changes top-1 significantly"
    lists = [
        f"{join_words(names)} {verb if len(names) > 1 else f'{verb}s'} it"
        for names, verb in ((raised, "raise"), (lowered, "lower"))
        if names
    ]
    verb = "change" if len(raised + lowered) > 1 else "changes"
    return f"{len(raised + lowered)} of {count_noun(len(tested), noun)} {verb} top-1: {', '.join(lists)}"


def _describe_total(steps: Sequence[Row]) -> str:
    """The difference of the last step to the start; empty where one of them was not run."""
    last = steps[-1] if steps else None
    if last is None or last.start is None or last.start_difference is None:
        return ""
    ends = f"from {last.neighbour_title(last.start)} to {last.title}"
    gap, p = f"{format_difference(last.start_gap)} points", last.start_difference_holm
    if p is None:
        return f"; {ends} top-1 changes by {gap}"
    test = f"{format_p_equation(p)} after Holm's correction"
    if p < ALPHA:
        return f"; {ends} top-1 changes by {gap} ({test})"
    return f"; the difference {ends}, {gap}, is undecided ({test})"
