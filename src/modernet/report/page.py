"""From studies to one HTML file without external resources: conclusions, tables, figures, runs and methods."""

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from modernet.analysis import layout, notes, stats
from modernet.attribution.formatting import LoadedAttribution, attribution_title, format_contribution, format_total
from modernet.attribution.measures import MEASURES
from modernet.figures.attribution import plot_attribution
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.svg import to_svg
from modernet.report import columns, summary
from modernet.report.run_data import RunData
from modernet.report.sections import Section, build_overviews, build_sections
from modernet.report.studies import Study
from modernet.runtime.provenance import current_commit

TEMPLATES = Path(__file__).parent / "templates"
# Heading in the section on provenance -> field of a record, whose values are counted.
PROVENANCE = {"Commits of the runs": "commit", "torch": "torch", "Devices": "device"}


def build_page(studies: Sequence[Study], created: str, command: str) -> str:
    """The report as HTML. `created` and `command` are the time and the command line that it names as its origin.

    All text from records is escaped; only the page's own script may run (Content-Security-Policy).
    """
    run_data = RunData()
    content = [
        (study, f"study-{number}", build_sections(study, f"study-{number}", run_data))
        for number, study in enumerate(studies)
    ]
    sections = [section for *_, members in content for section in members]
    runs = [run for section in sections for run in section.runs]
    script = _read_template("report.js")
    html = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            created=created,
            command=command,
            commit=current_commit(),
            studies=[(study, study_id, members) for study, study_id, members in content if members],
            excluded=[(study.name, study.excluded) for study in studies if study.excluded],
            provenance=_count_provenance(sections),
            train_hours=sum(run.train_seconds for run in runs) / 3600,
            attributions=_build_attributions(studies),
            notes=notes.notes([row for section in sections for row in section.rows]),
            run_data=run_data.to_plain(),
            build_overviews=build_overviews,
            columns=columns,
            table_notes=notes,
            layout=layout,
            measures=MEASURES,
            format_contribution=format_contribution,
            format_total=format_total,
            stats=stats,
            summary=summary,
            style=Markup(_read_template("report.css")),
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


def _read_template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _count_provenance(sections: Sequence[Section]) -> dict[str, Counter[str]]:
    runs = [run for section in sections for run in section.runs]
    return {heading: Counter(getattr(run, field) or "unknown" for run in runs) for heading, field in PROVENANCE.items()}


def _build_attributions(studies: Sequence[Study]) -> list[tuple[str, LoadedAttribution, Markup]]:
    """Path, content and figure of each attribution."""
    result = []
    for study in studies:
        for path, attribution in study.attributions.items():
            name = f"{study.name}/{path}"
            title = attribution_title(attribution.protocol, attribution.size, attribution.seeds, attribution.orders)
            try:
                svg = to_svg(plot_attribution(attribution.rows, title), name)
            except NotEnoughRuns:  # the table says the rest
                svg = ""
            result.append((name, attribution, Markup(svg)))
    return result
