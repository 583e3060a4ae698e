"""What is published on wandb shows what track.py logs, and publishing again changes what is there."""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest
from helpers import run_script
from wandb_server import Server

from modernet import roadmap
from modernet.tracking import logger as track
from modernet.config.schema import ModelConfig
from modernet.training.state import Epoch

SWEEP = {"move_up_depthwise", "kernel_size", *(f"move_up_depthwise+kernel_size={kernel}" for kernel in (5, 9, 11))}


@pytest.fixture(autouse=True)
def no_login(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # where nobody listens


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        yield server


def dry_run(*arguments: str) -> dict[str, Any]:
    result = run_script("scripts/dashboard.py", *arguments, "--dry-run")
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def publish(server: Server, *arguments: str) -> list[str]:
    result = run_script("scripts/dashboard.py", *arguments, environment=server.environment)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def walk(value: Any, chosen: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The chosen objects of a spec, from the outside in."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict) and chosen(value) else []
    return own + [found for one in inner for found in walk(one, chosen)]


def panels(spec: Any) -> list[dict[str, Any]]:
    return walk(spec, lambda one: "viewType" in one)


def runsets(spec: Any) -> list[dict[str, Any]]:
    return [one for found in walk(spec, lambda one: "runSets" in one) for one in found["runSets"]]


def filters(runset: dict[str, Any]) -> dict[str, set[str]]:
    """Config field -> the values that it may have."""
    found = runset["filters"]["filters"]
    assert all((one["op"], one["key"]["section"], one["disabled"]) == ("IN", "config", False) for one in found)
    assert all(one["connector"] == "AND" for one in found[1:])
    return {one["key"]["name"]: set(one["value"]) for one in found}


def grouping(runset: dict[str, Any]) -> list[str]:
    return [f"{key['section']}.{key['name']}" for key in runset["grouping"]]


GROUPED = ["config.protocol.value", "config.size.value", "config.variant.value"]


def test_a_dry_run_shows_both_without_a_login():
    specs = dry_run("--protocol", "digits")
    assert list(specs) == ["workspace", "report"]
    for spec in specs.values():
        kinds = [panel["viewType"] for panel in panels(spec)]
        assert kinds == ["Bar Chart", "Scatter Plot", "Scatter Plot", *["Run History Line Plot"] * 3]
        bars, sweep, costs, *curves = (panel["config"] for panel in panels(spec))
        assert bars["metrics"] == ["top1"]
        assert (sweep["xAxis"], sweep["yAxis"]) == ("config:model.value.kernel_size", "summary:top1")
        assert (costs["xAxis"], costs["yAxis"]) == ("summary:gmacs", "summary:top1")
        assert [(curve["xAxis"], *curve["metrics"]) for curve in curves] == [
            ("epoch", "top1"),
            ("epoch", "val_loss"),
            ("epoch", "train_loss"),
        ]
        for banded in (bars, *curves):
            assert (banded["groupAgg"], banded["groupArea"]) == ("mean", "minmax")


def test_every_panel_has_its_runs():
    specs = dry_run("--protocol", "digits")
    steps = set(roadmap("micro")) | set(roadmap("b"))
    (view,) = runsets(specs["workspace"])
    assert grouping(view) == GROUPED
    assert filters(view) == {"protocol": {"digits"}, "variant": steps | SWEEP}
    page = runsets(specs["report"])
    assert [one["name"] for one in page] == ["roadmap", "kernel sweep", "roadmap", "roadmap", "every run"]
    variants = {one["name"]: filters(one).get("variant") for one in page}
    assert variants == {"roadmap": steps, "kernel sweep": SWEEP, "every run": None}
    assert all(filters(one)["protocol"] == {"digits"} for one in page)
    assert [grouping(one) for one in page] == [GROUPED, [], GROUPED, GROUPED, GROUPED]
    assert not any(filters(one) for one in runsets(dry_run()["report"]) if one["name"] == "every run")


def test_what_is_shown_is_what_is_logged():
    specs = dry_run()
    logged = {field.name for field in fields(Epoch)} & {"epoch", "top1", "val_loss", "train_loss"}
    for panel in panels(specs):
        config = panel["config"]
        names = [*config.get("metrics", []), *(config[axis] for axis in ("xAxis", "yAxis") if axis in config)]
        for name in names:
            section, _, rest = name.rpartition(":")
            known = {
                "": logged,
                "summary": set(track.SUMMARY),
                "config": {f"model.value.{field.name}" for field in fields(ModelConfig)},
            }
            assert rest in known[section]
    for runset in runsets(specs):
        columns = {name for name in runset["runFeed"]["columnPinned"] if name != "run:displayName"}
        assert columns
        assert columns <= {f"summary:{name}" for name in track.SUMMARY}


def plain(value: Any) -> Any:
    """A spec without what is drawn anew each time, and without the project that only a server knows the id of."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key not in ("__id__", "id", "project")}
    return [plain(one) for one in value] if isinstance(value, list) else value


def test_what_is_published_is_what_a_dry_run_shows(server):
    publish(server, "--protocol", "digits")
    specs = dry_run("--protocol", "digits")
    sent = {view["type"]: view for view in server.views.values()}
    for kind, name in (("project-view", "workspace"), ("runs", "report")):
        assert plain(json.loads(sent[kind]["spec"])) == plain(specs[name]["spec"])
        assert sent[kind]["displayName"] == "modernet, digits"
        assert (sent[kind]["entityName"], sent[kind]["projectName"]) == ("me", "modernet")
    for runset in runsets(json.loads(sent["runs"]["spec"])):
        assert runset["project"] == {"name": "modernet", "entityName": "me", "id": "UHJvamVjdDox"}


def test_publishing_again_brings_the_same_two_up_to_date(server):
    links = publish(server, "--protocol", "digits")
    assert links[0].startswith(f"workspace: {server.url}/me/modernet?nw=")
    assert links[1].startswith(f"report: {server.url}/me/modernet/reports/modernet,-digits--")
    for view in server.views.values():
        view["spec"] = json.dumps({"version": 5 if view["type"] == "runs" else -1})  # as if it were edited since
    assert publish(server, "--protocol", "digits") == links
    assert len(server.views) == 2
    assert all(panels(json.loads(view["spec"])) for view in server.views.values())
    assert not set(publish(server)) & set(links)
    assert len(server.views) == 4


def refused(*arguments: str, **environment: str) -> str:
    """The one line of a mistake."""
    result = run_script("scripts/dashboard.py", *arguments, environment=environment)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    return result.stderr.removeprefix("dashboard.py: error: ").strip()


def test_mistakes_are_one_line_and_status_2(server):
    assert refused() == "there is no login at wandb; `wandb login` makes one, or set WANDB_API_KEY"
    allowed = "cifar10, cifar10_micro, digits, imagenet, imagenette"
    assert refused("--protocol", "mnist") == f"there is no protocol 'mnist'; allowed: {allowed}"
    assert "connection refused" in refused(WANDB_API_KEY=server.environment["WANDB_API_KEY"])
    for arguments in (("--entity", "you"), ("--project", "other")):
        line = refused(*arguments, **server.environment)
        assert line.startswith(f"there is no project {'you/modernet' if 'you' in arguments else 'me/other'} that")
    server.read_only = True
    assert refused(**server.environment).startswith("me/modernet takes no dashboard: ")
    assert not server.views
