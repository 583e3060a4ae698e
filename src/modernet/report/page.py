"""From studies to one HTML file without external resources: the answer, tables, figures, runs, methods, provenance."""

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from modernet.analysis import layout, notes, stats
from modernet.attribution.formatting import (
    LoadedAttribution,
    attribution_title,
    format_contribution,
    format_total,
    shapley_coverage,
)
from modernet.attribution.measures import MEASURES
from modernet.config import names
from modernet.figures.attribution import plot_attribution
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.style import HTML
from modernet.report import columns, step_pages, summary
from modernet.report.answer import answer
from modernet.report.folded import fold_sections
from modernet.report.origins import describe_origin
from modernet.report.page_figures import PageFigure, to_page_figure
from modernet.report.run_data import RunData
from modernet.report.sections import MAIN, build_sections
from modernet.report.studies import Study
from modernet.runtime.provenance import current_commit

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("page.css", "tables.css", "figures.css", "print.css")
SCRIPTS = ("tables.js", "tooltips.js", "charts.js", "runs.js", "page.js")


def build_page(studies: Sequence[Study], created: str, command: str) -> str:
    """The report as HTML. `created` and `command` are the time and the command line that it names as its origin.

    All text from records is escaped; only the page's own script may run (Content-Security-Policy).
    """
    run_data = RunData(expected_runs=sum(len(study.records) for study in studies))
    sections = build_sections(studies, run_data)
    main = [section for section in sections if section.kind == MAIN]
    script = _join_templates(SCRIPTS)
    html = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            created=created,
            command=command,
            commit=current_commit(),
            answer=answer,
            sections=sections,
            main=main,
            title_counts=Counter(section.title for section in main),
            folded=fold_sections(sections),
            excluded=[(study.name, study.excluded) for study in studies if study.excluded],
            origins=[(study, describe_origin(list(study.records.values()))) for study in studies if study.records],
            attributions=_build_attributions(studies),
            names=names,
            notes=notes.notes([row for section in sections for row in section.rows]),
            run_data=run_data.to_plain(),
            columns=columns,
            step_pages=step_pages,
            table_notes=notes,
            layout=layout,
            measures=MEASURES,
            format_contribution=format_contribution,
            format_total=format_total,
            stats=stats,
            summary=summary,
            style=Markup(_join_templates(STYLES)),
            script=Markup(script),
            script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    return html.strip() + "\n"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment


def _join_templates(names: Sequence[str]) -> str:
    """The content of these files; of CSS and scripts, which have no placeholders."""
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8").strip() for name in names)


def _build_attributions(studies: Sequence[Study]) -> list[tuple[str, LoadedAttribution, PageFigure | None]]:
    """Path, content and figure of each attribution; None where a figure shows nothing."""
    result = []
    for study in studies:
        for path, attribution in study.attributions.items():
            name = f"{study.name}/{path}"
            title = attribution_title(attribution.protocol, attribution.size, attribution.seeds, attribution.orders)
            try:
                coverage = shapley_coverage(attribution.orders, len(attribution.seeds))
                plotted = plot_attribution(attribution.rows, title, coverage, form=HTML)
                figure = to_page_figure("attribution", plotted, name)
            except NotEnoughRuns:  # the table says the rest
                figure = None
            result.append((name, attribution, figure))
    return result
