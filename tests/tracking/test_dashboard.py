"""The dashboard shows what the logger logs, and publishing it again updates what is there."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import wandb
from helpers import run_command, run_script
from records import KERNEL_SIZES, make_record, write_study
from wandb_server import Server

from modernet import roadmap
from modernet.config.schema import ModelConfig
from modernet.tracking import logger
from modernet.tracking.run_files import RUN_FILE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised while wandb_workspaces is imported
KERNELS = set(KERNEL_SIZES)


@pytest.fixture(autouse=True)
def no_login(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # where nothing listens


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    wandb.teardown()  # wandb reads the address of its server once
    with Server(tmp_path) as server:
        yield server


def dry_run(*arguments: str) -> dict[str, Any]:
    result = run_command("dashboard", *arguments, "--dry-run")
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def publish(server: Server, *arguments: str) -> list[str]:
    result = run_command("dashboard", *arguments, environment=server.environment)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def find_objects(value: Any, condition: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The objects of a spec that meet the condition, from the outside in."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    this = [value] if isinstance(value, dict) and condition(value) else []
    return this + [found for item in inner for found in find_objects(item, condition)]


def panels(spec: Any) -> list[dict[str, Any]]:
    return find_objects(spec, lambda item: "viewType" in item)


def runsets(spec: Any) -> list[dict[str, Any]]:
    return [runset for item in find_objects(spec, lambda item: "runSets" in item) for runset in item["runSets"]]


def filters(runset: dict[str, Any]) -> dict[str, set[str]]:
    """Config field, or `status` in the summary -> the values that it may have."""
    items = runset["filters"]["filters"]
    assert not any(item["disabled"] for item in items)
    assert all(item["connector"] == "AND" for item in items[1:])
    sections = {item["key"]["name"]: (item["op"], item["key"]["section"]) for item in items}
    assert sections.pop("status", None) in (None, ("=", "summary"))
    assert set(sections.values()) <= {("IN", "config")}
    return {item["key"]["name"]: {item["value"]} if item["op"] == "=" else set(item["value"]) for item in items}


def grouping(runset: dict[str, Any]) -> list[str]:
    return [f"{key['section']}.{key['name']}" for key in runset["grouping"]]


GROUPED = ["config.protocol.value", "config.size.value", "config.variant.value"]


def test_dry_run_shows_workspace_and_report_without_a_login():
    specs = dry_run("--protocol", "digits")
    assert list(specs) == ["workspace", "report"]
    for spec in specs.values():
        kinds = [panel["viewType"] for panel in panels(spec)]
        assert kinds == ["Markdown Panel", "Bar Chart", "Scatter Plot", "Scatter Plot", *["Run History Line Plot"] * 3]
        _, bars, kernels, costs, *curves = (panel["config"] for panel in panels(spec))
        assert bars["metrics"] == ["val/top1"]
        assert (kernels["xAxis"], kernels["yAxis"]) == ("config:model.value.kernel_size", "summary:top1")
        assert (costs["xAxis"], costs["yAxis"]) == ("summary:gmacs", "summary:top1")
        assert [(curve["xAxis"], *curve["metrics"]) for curve in curves] == [
            ("epoch", "val/top1"),
            ("epoch", "val/loss"),
            ("train/step", "train/loss"),
        ]
        for panel in (bars, *curves):
            assert (panel["groupAgg"], panel["groupArea"]) == ("mean", "minmax")


def test_every_panel_has_its_runs():
    specs = dry_run("--protocol", "digits")
    steps = set(roadmap("micro")) | set(roadmap("b"))
    (workspace,) = runsets(specs["workspace"])
    assert grouping(workspace) == GROUPED
    assert filters(workspace) == {"protocol": {"digits"}, "variant": steps | KERNELS, "status": {"done"}}
    report = runsets(specs["report"])
    assert [runset["name"] for runset in report] == [
        "roadmap",
        "roadmap",
        "kernel sweep",
        "roadmap",
        "roadmap",
        "every run",
    ]
    variants = {runset["name"]: filters(runset).get("variant") for runset in report}
    assert variants == {"roadmap": steps, "kernel sweep": KERNELS, "every run": None}
    statuses = {runset["name"]: filters(runset).get("status") for runset in report}
    assert statuses == {"roadmap": {"done"}, "kernel sweep": {"done"}, "every run": None}
    assert all(filters(runset)["protocol"] == {"digits"} for runset in report)
    assert [grouping(runset) for runset in report] == [GROUPED, GROUPED, [], GROUPED, GROUPED, GROUPED]
    assert not any(filters(runset) for runset in runsets(dry_run()["report"]) if runset["name"] == "every run")


def test_steps_and_protocols_of_the_user_are_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("MODERNET_CONFIG_DIR", "")  # restored after the test
    for group in ("step", "protocol"):
        (tmp_path / group).mkdir()
    step = "# @package _global_\n# A step.\ndefaults: [convnext, _self_]\nstep: wider\nmodel: {kernel_size: 11}\n"
    (tmp_path / "step/wider.yaml").write_text(step)
    (tmp_path / "protocol/mine.yaml").write_text("# @package _global_\nprotocol: mine\n")
    specs = dry_run("--config-dir", str(tmp_path), "--protocol", "mine")
    (workspace,) = runsets(specs["workspace"])
    assert filters(workspace)["protocol"] == {"mine"}
    assert "wider" in filters(workspace)["variant"]


def test_every_shown_value_is_logged():
    specs = dry_run()
    known = {
        "": {*logger.STEP_NAMES.values(), *logger.EPOCH_NAMES.values()},
        "summary": set(logger.SUMMARY),
        "config": {f"model.value.{field.name}" for field in fields(ModelConfig)},
    }
    for panel in panels(specs):
        config = panel["config"]
        names = [*config.get("metrics", []), *(config[axis] for axis in ("xAxis", "yAxis") if axis in config)]
        for name in names:
            section, _, rest = name.rpartition(":")
            assert rest in known[section]
    for runset in runsets(specs):
        columns = {name for name in runset["runFeed"]["columnPinned"] if name != "run:displayName"}
        assert columns
        assert columns <= {f"summary:{name}" for name in logger.SUMMARY}


def comparable(value: Any) -> Any:
    """A spec without random ids, and without the project, whose id only a server knows."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items() if key not in ("__id__", "id", "project")}
    return [comparable(item) for item in value] if isinstance(value, list) else value


def test_published_views_equal_the_dry_run_and_are_updated_by_the_next_one(server):
    links = publish(server, "--protocol", "digits")
    assert links[0].startswith(f"workspace: {server.url}/me/modernet?nw=")
    assert links[1].startswith(f"report: {server.url}/me/modernet/reports/modernet,-digits--")
    specs = dry_run("--protocol", "digits")
    views = {view["type"]: view for view in server.views.values()}
    for kind, name in (("project-view", "workspace"), ("runs", "report")):
        assert comparable(json.loads(views[kind]["spec"])) == comparable(specs[name]["spec"])
        assert views[kind]["displayName"] == "modernet, digits"
        assert (views[kind]["entityName"], views[kind]["projectName"]) == ("me", "modernet")
    for runset in runsets(json.loads(views["runs"]["spec"])):
        assert runset["project"] == {"name": "modernet", "entityName": "me", "id": "UHJvamVjdDox"}

    for view in server.views.values():
        view["spec"] = json.dumps({"version": 5 if view["type"] == "runs" else -1})  # as if a user had edited it
    assert publish(server, "--protocol", "digits") == links
    assert len(server.views) == 2
    assert all(panels(json.loads(view["spec"])) for view in server.views.values())
    assert not set(publish(server)) & set(links)
    assert len(server.views) == 4


def error_line(*arguments: str, **environment: str) -> str:
    """The one line of a mistake."""
    wandb.teardown()
    result = run_command("dashboard", *arguments, environment=environment)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1), result.stderr
    return result.stderr.removeprefix("dashboard.py: error: ").strip()


def test_a_protocol_that_does_not_exist_is_one_line_and_status_2():
    result = run_command("dashboard", "--protocol", "mnist", "--dry-run")
    assert result.returncode == 2
    expected = "dashboard.py: error: there is no protocol 'mnist'; allowed: cifar10, cifar100, cifar10_micro, digits, "
    assert result.stderr.startswith(expected)


def test_a_mistake_on_the_server_is_one_line_and_status_2(server):
    assert error_line() == "there is no login at wandb; run `wandb login` or set WANDB_API_KEY"
    assert "connection refused" in error_line(WANDB_API_KEY=server.environment["WANDB_API_KEY"])
    line = error_line("--entity", "you", **server.environment)
    assert line.startswith("there is no project you/modernet that this login can see")
    server.read_only = True
    assert error_line(**server.environment).startswith("me/modernet rejects the dashboard: ")
    assert not server.views


def test_missing_library_is_one_line_that_says_what_to_install(tmp_path):
    (tmp_path / "wandb_workspaces.py").write_text("raise ImportError('not installed')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = run_script("scripts/dashboard.py", "--dry-run", environment={"PYTHONPATH": path})
    assert result.returncode == 2
    message = "dashboard.py: error: the dashboard needs wandb-workspaces: pip install 'modernet[dashboard]'\n"
    assert result.stderr == message


def write_logged_runs(folder: Path, *projects: str) -> Path:
    """Records of two seeds, logged in these projects."""
    write_study(folder, [make_record("gelu", 60.0 + seed, seed) for seed, _ in enumerate(projects)])
    for run, project in zip(sorted(folder.iterdir()), projects, strict=True):
        (run / "wandb").mkdir()
        (run / RUN_FILE).write_text(json.dumps({"id": run.name, "entity": "me", "project": project}))
    return folder


def test_results_are_a_panel_and_a_run_in_the_project_of_the_runs(server, tmp_path):
    server.projects.add("mine")
    runs = write_logged_runs(tmp_path / "runs", "mine", "mine")
    links = publish(server, "--protocol", "digits", "--runs", str(runs))
    assert [link.partition(":")[0] for link in links] == ["workspace", "report", "results"]
    for view in server.views.values():
        assert view["projectName"] == "mine"
        markdown = [panel for panel in panels(json.loads(view["spec"])) if "Markdown" in panel["viewType"]]
        text = markdown[0]["config"]["value"]
        assert "60.50 ± 0.71" in text
        assert "95 % confidence interval" in text
    (run,) = server.runs.values()
    assert (run.settings["jobType"], run.project) == ("report", "mine")
    assert run.history[0]["results"]["nrows"] == 1


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_results_are_logged_where_trainings_are_not_online(server, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    links = publish(server, "--runs", str(write_logged_runs(tmp_path / "runs", "modernet")))
    ((name, run),) = server.runs.items()
    assert links[-1] == f"results: {server.url}/me/modernet/runs/{name}"
    assert run.history[0]["results"]["nrows"] == 1


def test_runs_of_several_projects_need_an_argument(tmp_path):
    runs = write_logged_runs(tmp_path / "runs", "mine", "yours")
    result = run_command("dashboard", "--dry-run", "--runs", str(runs))
    assert result.returncode == 2
    assert "the runs were logged in several projects (me/mine, me/yours)" in result.stderr
    assert run_command("dashboard", "--dry-run", "--runs", str(runs), "--project", "mine").returncode == 0
