"""A saved workspace and a report on wandb, built with wandb-workspaces from what `logger.py` logs."""

import hashlib
import json
from contextlib import suppress
from typing import Any

import wandb_workspaces.reports.v2.interface as wr
import wandb_workspaces.workspaces as ws
from wandb.apis.public import Api
from wandb.sdk.lib.service.service_connection import WandbApiFailedError
from wandb_workspaces import expr
from wandb_workspaces.workspaces.internal import get_view_dict

from modernet.analysis.paper import paper_rows
from modernet.config.roadmap import roadmap, sizes
from modernet.config.search_path import config_files
from modernet.errors import UserError
from modernet.metrics import METRICS
from modernet.tracking.logger import STEP_AXIS

# Runs that are equal in these fields form one bar, point or line: the mean of their seeds, with the range.
GROUP_FIELDS = ("protocol", "size", "variant")
COLUMNS = (
    *("top1", "top5", "top1_ema", "gmacs", "params", "images_per_second", "status"),
    *(metric.name for metric in METRICS),
)
CURVES = {
    "val/top1": ("epoch", "Top-1 (%)"),
    "val/loss": ("epoch", "Evaluation loss (cross-entropy)"),
    "train/loss": (STEP_AXIS, "Training loss"),
}
MAX_GROUPS = 100  # in a panel; wandb's default of ten would leave out a part of the roadmap


def _roadmap_variants() -> list[str]:
    """Every step of every size."""
    return list(dict.fromkeys(name for size in sizes() for name in roadmap(size)))


def _kernel_variants() -> list[str]:
    """Kernel sizes 3, 5, 7, 9 and 11, as the paper names them; sizes 3 and 7 are steps of the roadmap."""
    return ["move_up_depthwise", "kernel_size", *(name for name in paper_rows("t") if "+kernel_size=" in name)]


def _step_bars() -> wr.BarPlot:
    return wr.BarPlot(
        title="Top-1 per step (%), with the range over seeds",
        metrics=["val/top1"],
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        max_runs_to_show=MAX_GROUPS,
        max_bars_to_show=MAX_GROUPS,
    )


def _kernel_scatter() -> wr.ScatterPlot:
    kernel_size = wr.Config("model.kernel_size")
    return wr.ScatterPlot(title="Top-1 (%) against kernel size", x=kernel_size, y=wr.SummaryMetric("top1"))


def _cost_scatter() -> wr.ScatterPlot:
    gmacs = wr.SummaryMetric("gmacs")
    return wr.ScatterPlot(title="Top-1 (%) against GMACs", x=gmacs, y=wr.SummaryMetric("top1"))


def _learning_curves() -> list[wr.LinePlot]:
    return [
        wr.LinePlot(
            title=f"{title}, with the range over seeds",
            x=axis,
            y=[metric],
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            max_runs_to_show=MAX_GROUPS,
        )
        for metric, (axis, title) in CURVES.items()
    ]


def _filters(protocol: str | None, variants: list[str] | None) -> list[expr.FilterExpr]:
    """The finished runs of these variants, or every run; of this protocol, or of all."""
    allowed = {"protocol": protocol and [protocol], "variant": variants}
    # wandb-workspaces parses a filter as Python, and takes an = for a comparison even inside a string.
    filters = [
        expr.Config(name).isin([value.replace("=", r"\x3d") for value in values])
        for name, values in allowed.items()
        if values
    ]
    # As in `modernet table`: a run that diverged, was stopped or still trains would enter the means.
    return filters if variants is None else [*filters, expr.Summary("status") == "done"]


def dashboard_title(protocol: str | None) -> str:
    return f"modernet, {protocol or 'every protocol'}"


def build_workspace(entity: str, project: str, protocol: str | None, results: str) -> ws.Workspace:
    """A workspace with the roadmap and the kernel sweep, not yet saved. All of its panels show the same runs.

    `results` is the results table as Markdown.
    """
    panels: dict[str, list[Any]] = {
        "Results": [wr.MarkdownPanel(results)],
        "Roadmap": [_step_bars()],
        "Kernel sweep": [_kernel_scatter()],
        "Accuracy against cost": [_cost_scatter()],
        "Learning curves": _learning_curves(),
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name=dashboard_title(protocol),
        sections=[ws.Section(name=name, panels=members, is_open=True) for name, members in panels.items()],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=MAX_GROUPS),
        runset_settings=ws.RunsetSettings(
            filters=_filters(protocol, list(dict.fromkeys([*_roadmap_variants(), *_kernel_variants()]))),
            groupby=[expr.Config(name) for name in GROUP_FIELDS],
            order=[expr.Ordering(expr.Summary("top1"), ascending=False)],
            pinned_columns=[f"summary:{name}" for name in COLUMNS],
        ),
    )


def build_report(entity: str, project: str, protocol: str | None, results: str, offline: bool = False) -> wr.Report:
    """A page with one grid of panels per question, each with a run set, not yet saved.

    A run set that names its project is looked up on the server, which needs a login; `offline` leaves the name out.
    """

    def grid(name: str, variants: list[str] | None, panels: list[Any], grouped: bool = True) -> wr.PanelGrid:
        runs = wr.Runset(
            entity="" if offline else entity,
            project="" if offline else project,
            name=name,
            filters=_filters(protocol, variants),
            groupby=[f"config.{field}" for field in GROUP_FIELDS] if grouped else [],
            order=[wr.OrderBy(wr.SummaryMetric("top1"), ascending=False)],
            pinned_columns=[f"summary:{column}" for column in COLUMNS],
        )
        for panel in panels:
            panel.layout = wr.Layout(w=24 // len(panels), h=12)
        return wr.PanelGrid(runsets=[runs], panels=panels)

    steps = _roadmap_variants()
    return wr.Report(
        entity=entity,
        project=project,
        title=dashboard_title(protocol),
        description="From ResNet to ConvNeXt, one measured step at a time.",
        width="fluid",
        blocks=[
            wr.P(
                "Accuracies are those of the last epoch, in percent of the evaluated images. A bar, a point or a line "
                "is the mean over the seeds of one variant, with their range. Differences, confidence intervals and "
                "p-values are in the results table, a copy of what `modernet table` prints."
            ),
            wr.H2("Results"),
            grid("roadmap", steps, [wr.MarkdownPanel(results)]),
            wr.H2("The roadmap"),
            grid("roadmap", steps, [_step_bars()]),
            wr.H2("Kernel sweep"),
            wr.P("Each point is one run."),
            grid("kernel sweep", _kernel_variants(), [_kernel_scatter()], grouped=False),
            wr.H2("Accuracy against cost"),
            wr.P("GMACs of convolutions and linear layers, for one image."),
            grid("roadmap", steps, [_cost_scatter()]),
            wr.H2("Learning curves"),
            grid("roadmap", steps, _learning_curves()),
            wr.H2("Every run"),
            grid("every run", None, []),
        ],
    )


def to_specs(entity: str, project: str, protocol: str | None, results: str) -> dict[str, Any]:
    """What would be saved as `workspace` and `report`, as plain values; needs no login."""
    views = {
        "workspace": build_workspace(entity, project, protocol, results),
        "report": build_report(entity, project, protocol, results, offline=True),
    }
    # The library has no public way from an object to its spec except saving it.
    return {
        name: json.loads(view._to_model().model_dump_json(by_alias=True, exclude_none=True))
        for name, view in views.items()
    }


def check_protocol(protocol: str | None) -> None:
    """Raises UserError for a protocol that does not exist; None stands for all protocols."""
    protocols = list(config_files("protocol"))
    if protocol not in (None, *protocols):
        raise UserError(f"there is no protocol {protocol!r}; allowed: {', '.join(protocols)}")


def _view_name(protocol: str | None) -> str:
    """wandb's internal name of a workspace: the same for the same protocol."""
    return hashlib.sha256(dashboard_title(protocol).encode()).hexdigest()[:11]


def publish(api: Api, entity: str, project: str, protocol: str | None, results: str) -> dict[str, str]:
    """Save the workspace and the report over earlier ones of this protocol; returns their links.

    Raises UserError where the project does not exist or the login may not write to it.
    """
    try:
        _ = api.project(project, entity).id
    except ValueError:
        raise UserError(
            f"there is no project {entity}/{project} that this login can see; modernet sync makes "
            "it from offline runs, train.py wandb=online from new ones"
        ) from None
    try:
        workspace = build_workspace(entity, project, protocol, results)
        report = build_report(entity, project, protocol, results)
        workspace._internal_name = f"nw-{_view_name(protocol)}-v"
        with suppress(ValueError):  # where it was not saved before
            workspace._internal_id = get_view_dict(entity, project, _view_name(protocol))["id"]
        saved = api.reports(f"{entity}/{project}")
        report.id = next((other.id for other in saved if other.display_name == report.title), "")
        return {"workspace": workspace.save().url, "report": report.save().url}
    except WandbApiFailedError as error:
        raise UserError(f"{entity}/{project} rejects the dashboard: {error}") from None
