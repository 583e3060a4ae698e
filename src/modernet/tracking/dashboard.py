"""A saved workspace and a report on wandb, built with wandb-workspaces from what track.py logs."""

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

from modernet.analysis import paper
from modernet.errors import UserError
from modernet.config.roadmap import CONFIGS, roadmap, sizes

# Runs that are alike in these share a bar, a point or a line, which has the mean and the range of their seeds.
GROUPED = ("protocol", "size", "variant")
COLUMNS = ("top1", "top5", "top1_ema", "gmacs", "params", "images_per_second", "status")
MANY = 100  # groups in a panel; wandb's own limit of ten leaves out a part of the roadmap

# As numbers 3, 5, 7, 9, 11 in the paper: the two steps are sizes 3 and 7.
SWEEP = ["move_up_depthwise", "kernel_size", *(name for name in paper.rows("t") if "+kernel_size=" in name)]
ROADMAP = list(dict.fromkeys(name for size in sizes() for name in roadmap(size)))


def _bars() -> wr.BarPlot:
    return wr.BarPlot(
        title="Top-1 per step (%), with the range of its seeds",
        metrics=["top1"],
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        max_runs_to_show=MANY,
        max_bars_to_show=MANY,
    )


def _scatter(title: str, x: wr.SummaryMetric | wr.Config) -> wr.ScatterPlot:
    return wr.ScatterPlot(title=title, x=x, y=wr.SummaryMetric("top1"))


def _sweep() -> wr.ScatterPlot:
    return _scatter("Top-1 (%) against kernel size", wr.Config("model.kernel_size"))


def _costs() -> wr.ScatterPlot:
    return _scatter("Top-1 (%) against GMACs", wr.SummaryMetric("gmacs"))


def _curves() -> list[wr.LinePlot]:
    titles = {"top1": "Top-1 (%)", "val_loss": "Cross-entropy, evaluated", "train_loss": "Loss, trained"}
    return [
        wr.LinePlot(
            title=f"{title}, with the range of its seeds",
            x="epoch",
            y=[metric],
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            max_runs_to_show=MANY,
        )
        for metric, title in titles.items()
    ]


def _only(protocol: str | None, variants: list[str] | None = None) -> list[expr.FilterExpr]:
    """Runs of this protocol and these variants; None is all of them."""
    wanted = {"protocol": protocol and [protocol], "variant": variants}
    # wandb-workspaces reads a filter as Python, and takes an = for a comparison even within a string.
    return [
        expr.Config(name).isin([value.replace("=", r"\x3d") for value in values])
        for name, values in wanted.items()
        if values
    ]


def _name(protocol: str | None) -> str:
    return f"modernet, {protocol or 'every protocol'}"


def workspace(entity: str, project: str, protocol: str | None = None) -> ws.Workspace:
    """A view of the roadmap and the kernel sweep, not yet saved. All of its panels show the same runs."""
    panels: dict[str, list[Any]] = {
        "Roadmap": [_bars()],
        "Kernel sweep": [_sweep()],
        "Accuracy against cost": [_costs()],
        "Learning curves": _curves(),
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name=_name(protocol),
        sections=[ws.Section(name=name, panels=members, is_open=True) for name, members in panels.items()],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=MANY),
        runset_settings=ws.RunsetSettings(
            filters=_only(protocol, list(dict.fromkeys([*ROADMAP, *SWEEP]))),
            groupby=[expr.Config(name) for name in GROUPED],
            order=[expr.Ordering(expr.Summary("top1"), ascending=False)],
            pinned_columns=[f"summary:{name}" for name in COLUMNS],
        ),
    )


def report(entity: str, project: str, protocol: str | None = None, offline: bool = False) -> wr.Report:
    """A page with a grid of panels per question, each over runs of its own, not yet saved.

    A run set that names its project is looked up on the server, which takes a login; `offline` leaves the name out.
    """

    def grid(name: str, variants: list[str] | None, panels: list[Any], grouped: bool = True) -> wr.PanelGrid:
        runs = wr.Runset(
            entity="" if offline else entity,
            project="" if offline else project,
            name=name,
            filters=_only(protocol, variants),
            groupby=[f"config.{key}" for key in GROUPED] if grouped else [],
            order=[wr.OrderBy(wr.SummaryMetric("top1"), ascending=False)],
            pinned_columns=[f"summary:{column}" for column in COLUMNS],
        )
        for panel in panels:
            panel.layout = wr.Layout(w=24 // len(panels), h=12)
        return wr.PanelGrid(runsets=[runs], panels=panels)

    return wr.Report(
        entity=entity,
        project=project,
        title=_name(protocol),
        description="From ResNet to ConvNeXt, one measured step at a time.",
        width="fluid",
        blocks=[
            wr.P(
                "Accuracies are those of the last epoch, in percent of the images that are not trained on. A bar, a "
                "point or a line is the mean over the seeds of one variant, with their range. Differences, intervals "
                "and p-values are in the tables and the report that follow from the records; this is their copy."
            ),
            wr.H2("The roadmap"),
            grid("roadmap", ROADMAP, [_bars()]),
            wr.H2("Kernel sweep"),
            wr.P("A point is a run."),
            grid("kernel sweep", SWEEP, [_sweep()], grouped=False),
            wr.H2("Accuracy against cost"),
            wr.P("GMACs of convolutions and linear layers, for one image."),
            grid("roadmap", ROADMAP, [_costs()]),
            wr.H2("Learning curves"),
            grid("roadmap", ROADMAP, _curves()),
            wr.H2("Every run"),
            grid("every run", None, []),
        ],
    )


def specs(entity: str, project: str, protocol: str | None = None) -> dict[str, Any]:
    """What would be saved as `workspace` and `report`, as plain values, without a login."""
    made = {
        "workspace": workspace(entity, project, protocol),
        "report": report(entity, project, protocol, offline=True),
    }
    # The library has no public way from an object to its spec but saving it.
    return {
        name: json.loads(one._to_model().model_dump_json(by_alias=True, exclude_none=True))
        for name, one in made.items()
    }


def checked(protocol: str | None) -> str | None:
    """The protocol, if there is one of this name. Raises UserError."""
    known = sorted(path.stem for path in (CONFIGS / "protocol").glob("*.yaml"))
    if protocol not in (None, *known):
        raise UserError(f"there is no protocol {protocol!r}; allowed: {', '.join(known)}")
    return protocol


def _view_name(protocol: str | None) -> str:
    """The name by which wandb finds a view, which is not the one it shows: the same for the same protocol."""
    return hashlib.sha256(_name(protocol).encode()).hexdigest()[:11]


def publish(api: Api, entity: str, project: str, protocol: str | None = None) -> dict[str, str]:
    """Save both, over those of this protocol that were saved before, and return their links.

    Raises UserError where there is no such project, or the login may not write to it.
    """
    try:
        _ = api.project(project, entity).id
    except ValueError:
        raise UserError(
            f"there is no project {entity}/{project} that this login can see; `python scripts/sync.py` makes it of "
            "offline runs, `train.py wandb=online` of new ones"
        ) from None
    try:
        view, page = workspace(entity, project, protocol), report(entity, project, protocol)
        view._internal_name = f"nw-{_view_name(protocol)}-v"
        with suppress(ValueError):  # where it was not saved before
            view._internal_id = get_view_dict(entity, project, _view_name(protocol))["id"]
        page.id = next((one.id for one in api.reports(f"{entity}/{project}") if one.display_name == page.title), "")
        return {"workspace": view.save().url, "report": page.save().url}
    except WandbApiFailedError as error:
        raise UserError(f"{entity}/{project} takes no dashboard: {error}") from None
