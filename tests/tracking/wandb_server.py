"""A stand-in for wandb's server on the loopback interface: it answers the real SDK and keeps what the SDK sends."""

import gzip
import json
import re
import threading
import time
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ENTITY = "me"
Answer = dict[str, Any]


@dataclass
class Run:
    """What the server received of one run."""

    settings: Answer  # group, tags, display name and config, of the mutation that created it
    project: str
    history: list[Answer] = field(default_factory=list)
    summary: Answer = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)


class Server:
    """`with Server(folder) as server`: run commands in `server.environment`, whose home folder is `folder`."""

    def __init__(self, folder: Path) -> None:
        self.runs: dict[str, Run] = {}  # by id
        self.views: dict[str, Answer] = {}  # workspaces and reports, by id, as they were sent
        self.projects = {"modernet"}
        self.sweeps: dict[str, str] = {}  # configs, by name
        self.agent_runs: list[Answer] = []  # runs for agents: run_id and args
        self.resuming: set[str] = set()
        self.full: set[str] = set()  # ids of runs that are rejected
        self.broken_streams: set[str] = set()  # ids of runs whose stream is rejected
        self.read_only = False  # workspaces and reports are rejected
        self.stall_at: int | None = None  # number of history lines of a run at which the server stops answering
        self.stalled = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"at": self}))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.environment = {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": "0123456789" * 4,
            "HOME": str(folder),  # without the user's login
            "TMPDIR": str(folder),
        }

    def __enter__(self) -> "Server":
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def graphql(self, query: str, variables: Answer) -> Answer:
        """The data of an answer. Raises ValueError with a message for the client."""
        operation = re.search(r"(?:query|mutation)\s+(\w+)", query)
        if not operation or not hasattr(self, f"on_{operation[1]}"):
            raise ValueError(f"the stand-in does not know {query}")
        return getattr(self, f"on_{operation[1]}")(**variables)

    # Users and projects.

    def on_Viewer(self) -> Answer:
        return {"viewer": {"id": "VXNlcjox", "entity": ENTITY, "username": ENTITY, "flags": "{}"}}

    on_GetDefaultEntity = on_Viewer

    def on_OrganizationCoreWeaveOrganizationID(self, entityName: str) -> Answer:
        return {"entity": {"organization": None}}

    def project(self, entity: str | None, name: str) -> Answer | None:
        if entity not in (None, ENTITY) or name not in self.projects:
            return None
        details = {"createdAt": "2026-01-01T00:00:00Z", "isBenchmark": False, "user": None}
        return {"id": "UHJvamVjdDox", "internalId": "UHJvamVjdDox", "name": name, "entityName": ENTITY, **details}

    def on_GetProject(self, name: str, entity: str) -> Answer:
        return {"project": self.project(entity, name)}

    def on_ProjectInternalId(self, projectName: str, entityName: str) -> Answer:
        return {"project": self.project(entityName, projectName)}

    def on_GetProjects(self, entity: str, **_: Any) -> Answer:
        edges = [{"node": self.project(entity, name)} for name in sorted(self.projects)]
        return {"models": {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}}

    # Workspaces and reports: both are views.

    def on_upsertView(self, id: str | None = None, **sent: Any) -> Answer:
        if self.read_only:
            raise ValueError("permission denied")
        new = id is None
        id = id or b64encode(f"View:{len(self.views)}".encode()).decode()
        self.views[id] = {**sent, "id": id}
        project = {"id": "UHJvamVjdDox", "name": sent["projectName"], "entityName": sent["entityName"]}
        return {"upsertView": {"view": {**self.views[id], "project": project}, "inserted": new}}

    on_UpsertView2 = on_upsertView

    def find_views(self, type: str, name: str | None) -> Answer:
        edges = [
            {"node": view, "cursor": id}
            for id, view in self.views.items()
            if view["type"] == type and name in (None, view["name"])
        ]
        return {"project": {"allViews": {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}}}

    def on_View(self, viewType: str, viewName: str, **_: Any) -> Answer:
        return self.find_views(viewType, viewName)

    def on_ProjectViews(self, viewType: str = "runs", viewName: str | None = None, **_: Any) -> Answer:
        return self.find_views(viewType, viewName)

    # Sweeps and their agents. An agent that runs nothing gets the next of `agent_runs`, or the command to end.

    def on_UpsertSweep(self, config: str, projectName: str, **_: Any) -> Answer:
        name = f"sweep{len(self.sweeps)}"
        self.sweeps[name] = config
        project = {"id": "UHJvamVjdDox", "name": projectName, "entity": {"id": "RW50aXR5OjE=", "name": ENTITY}}
        return {"upsertSweep": {"sweep": {"name": name, "project": project}, "configValidationWarnings": []}}

    def on_SweepWithRuns(self, sweep: str, **_: Any) -> Answer:
        found = {"id": sweep, "name": sweep, "state": "RUNNING", "config": self.sweeps[sweep], "runs": {"edges": []}}
        return {"project": {"sweep": found}}

    def on_CreateAgent(self, **_: Any) -> Answer:
        return {"createAgent": {"agent": {"id": "QWdlbnQ6MQ=="}}}

    def on_Heartbeat(self, id: str, runState: str, **_: Any) -> Answer:
        commands: list[Answer] = []
        if not json.loads(runState):
            run = self.agent_runs.pop(0) if self.agent_runs else None
            commands = [{"type": "run", "program": "train.py", **run} if run else {"type": "exit"}]
        return {"agentHeartbeat": {"agent": {"id": id}, "commands": json.dumps(commands)}}

    # Tables: files of a run, and artifacts that have nothing to upload.

    def on_ServerFeaturesQuery(self) -> Answer:
        return {"serverInfo": {"features": []}}

    def on_ArtifactType(self, **_: Any) -> Answer:
        return {"project": {"artifact": None}}

    def on_CreateArtifact(self, input: Answer) -> Answer:
        artifact = {"id": "QXJ0aWZhY3Q6MQ==", "state": "COMMITTED"}
        return {"createArtifact": {"artifact": {**artifact, "artifactSequence": {"latestArtifact": {"id": "MQ=="}}}}}

    # Runs. Creating a run with an existing id without resuming it starts it from scratch, as wandb documents.

    def has_run(self, name: str, project: str) -> bool:
        return name in self.runs and self.runs[name].project == project

    def on_RunResumeStatus(self, name: str, project: str, **_: Any) -> Answer:
        run = self.runs[name] if self.has_run(name, project) else None
        self.resuming.add(name)
        bucket = run and {
            "name": name,
            "id": name,
            "displayName": run.settings["displayName"],
            "config": run.settings["config"],
            "tags": run.settings["tags"],
            "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": len(run.history),
            "historyTail": json.dumps([json.dumps(line) for line in run.history[-1:]]),
            "logLineCount": 0,
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "wandbConfig": json.dumps(
                {"t": {"value": 1}}
            ),  # without `t` the SDK takes the run for one that never began
        }
        return {"model": {"id": "UHJvamVjdDox", "name": project, "entity": {"name": ENTITY}, "bucket": bucket}}

    def on_UpsertBucket(self, name: str, project: str, entity: str | None, **settings: Any) -> Answer:
        if name in self.full:
            raise ValueError("the disk of the server is full")
        if entity not in (None, ENTITY):
            raise ValueError(f"entity {entity} not found during upsertBucket")
        inserted = not self.has_run(name, project)
        starts = settings["displayName"] is not None and name not in self.resuming  # later mutations have changes only
        if inserted or starts:
            self.runs[name] = Run(settings, project)
        self.resuming.discard(name)
        bucket = {
            "id": name,
            "name": name,
            "displayName": settings["displayName"],
            "config": settings["config"],
            "project": {"id": "UHJvamVjdDox", "name": project, "entity": {"id": "RW50aXR5OjE=", "name": ENTITY}},
            "historyLineCount": len(self.runs[name].history),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def on_CreateRunFiles(self, run: str, files: list[str], **_: Any) -> Answer:
        urls = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in files]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": urls}}

    def stream(self, id: str, sent: Answer) -> None:
        """Lines of a run's files from an offset on, and its exit code."""
        if id in self.broken_streams:
            raise ValueError("the stream is broken")
        run = self.runs[id]
        for name, part in sent.get("files", {}).items():
            lines = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                run.history[part["offset"] : part["offset"] + len(lines)] = lines
            elif name == "wandb-summary.json":
                run.summary = lines[-1]
        if sent.get("complete"):
            run.exits.append(sent["exitcode"])
        if len(run.history) == self.stall_at:
            self.stalled.set()
            time.sleep(60)


class Handler(BaseHTTPRequestHandler):
    at: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        status, answer = 200, {}
        try:
            if self.path == "/graphql":
                request = json.loads(body)
                answer = {"data": self.at.graphql(request["query"], request.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                self.at.stream(self.path.split("/")[4], json.loads(body))
        except ValueError as error:
            status, answer = 400, {"errors": [{"message": str(error)}]}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = reply

    def handle(self) -> None:
        with suppress(ConnectionError):  # the SDK closes the connection at its end, and while an answer waits
            super().handle()
