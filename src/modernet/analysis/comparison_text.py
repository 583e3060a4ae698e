"""A comparison as Markdown, CSV, JSON or LaTeX."""

import json
from collections.abc import Mapping
from typing import Any

from modernet.analysis.compare import Comparison
from modernet.analysis.formatting import (
    TextTable,
    count_epochs,
    count_noun,
    escape_latex,
    escape_markdown,
    finish_latex,
    format_accuracy,
    format_difference,
    format_p_value,
    format_seeds_needed,
    format_std_tests,
    to_latex_table,
    to_markdown_table,
)
from modernet.analysis.layout import ALPHA_STD, POOLED, WELCH
from modernet.analysis.outdated import outdated_sentence
from modernet.analysis.row import Row
from modernet.analysis.table_text import to_csv, to_dicts
from modernet.metrics import Metric, declared_metrics
from modernet.runtime.text import shorten

SHOWN_SETTINGS = 8  # of a variant in text; JSON has all


def _cells(row: Row, metrics: list[Metric]) -> list[str]:
    return [
        row.variant,
        str(row.n),
        format_accuracy(row),
        format_difference(row.gap),
        format_p_value(row.difference_p),
        format_p_value(row.difference_holm),
        format_seeds_needed(row),
        f"{row.gmacs:.4f}",
        f"{row.params:,}",
        f"{row.images_per_second:,.0f}",
        *(metric.format_value(row.metrics.get(metric.name)) for metric in metrics),
    ]


def _table(comparison: Comparison) -> TextTable:
    rows, reference = comparison.rows, comparison.reference
    metrics = declared_metrics(rows)
    headers = ["variant", "n", "top-1 (%)", f"vs {reference.variant}", "p", "p (Holm)", "seeds needed"]
    headers += ["GMACs", "parameters", "images/s", *(metric.heading for metric in metrics)]
    setting = ", ".join(filter(None, [reference.protocol, f"size {reference.size}", count_epochs(rows)]))
    title = f"{setting}: differences to {reference.variant}"
    return TextTable(title, headers, [_cells(row, metrics) for row in rows])


def _format_settings(settings: Mapping[str, Any]) -> str:
    words = [f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in settings.items()]
    return shorten(words, SHOWN_SETTINGS)


def _noise(comparison: Comparison) -> str:
    row = comparison.reference
    source = f"{count_noun(comparison.noise_networks, 'variant')} of several seeds"
    tests = format_std_tests(row.brown_forsythe_p, row.bartlett_p)
    if row.difference_test == WELCH:
        return f"Noise of {source}: {tests}, so Welch's test is used."
    if row.difference_test == POOLED:
        return (
            f"Noise: pooled std {row.pooled_std:.2f} with {row.pooled_df} degrees of freedom, from {source}; {tests}."
        )
    return "Noise: unknown; two seeds of a variant with different results give confidence intervals and p-values."


def _paragraphs(comparison: Comparison) -> list[str]:
    settings = [
        f"{row.variant} differs from {row.before} in {_format_settings(values)}."
        for row, values in zip(comparison.rows[1:], comparison.settings[1:], strict=True)
        if values
    ]
    return [
        *settings,
        *filter(None, [outdated_sentence([(row.variant, row.outdated) for row in comparison.rows])]),
        _noise(comparison),
        "top-1: percent of the evaluated images after the last epoch, mean ± std over n seeds. Differences are in "
        "percentage points, with 95 % confidence intervals. They are planned contrasts: the std of the runs is pooled "
        "over the published steps of the table where all compared variants are published steps, and over all rows of "
        f"their tables otherwise. Where a test of equal std has p < {ALPHA_STD}, Welch's test is used. p: two-sided; p "
        "(Holm): corrected over the differences of this comparison. seeds needed: per variant, to detect the observed "
        "difference with power 0.8 at two-sided alpha 0.05 before any correction. GMACs: convolutions and linear "
        "layers, one image. images/s: training speed, median over runs; comparable only on the same device with "
        "nothing else running.",
    ]


def comparison_to_markdown(comparison: Comparison) -> str:
    """The table, the settings that differ, and the notes."""
    table = _table(comparison)
    paragraphs = map(escape_markdown, _paragraphs(comparison))
    return "\n\n".join([f"**{escape_markdown(table.title)}**", to_markdown_table(table), *paragraphs])


def comparison_to_latex(comparison: Comparison) -> str:
    """The table as a float with booktabs' rules, then the notes."""
    table = _table(comparison)
    paragraphs = map(escape_latex, _paragraphs(comparison))
    return finish_latex(["% \\usepackage{booktabs}", to_latex_table(table, table.title), *paragraphs])


def comparison_to_json(comparison: Comparison) -> str:
    """The rows with the fields of the results table, each with the `settings` that differ from the first."""
    rows = to_dicts(comparison.rows)
    return json.dumps([row | {"settings": one} for row, one in zip(rows, comparison.settings, strict=True)], indent=1)


def comparison_to_csv(comparison: Comparison) -> str:
    """The rows with the columns of the results table."""
    return to_csv(comparison.rows)
