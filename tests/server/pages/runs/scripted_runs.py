"""A scripted /api/runs for one page: runs in memory, and a network that fails when a test says so."""

import json
import math
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Json = dict[str, Any]
CREATED = 1_790_000_000


def run(name: str, state: str = "running", **fields: Any) -> Json:
    """A run as the server describes it, after 600 of 1,000 steps."""
    is_open = state in ("running", "paused")
    common = {
        "id": name.replace("/", "~2F"),
        "name": name.rpartition("/")[2],
        "kind": "pretrain",
        "state": state,
        "command": "pretrain",
        "created": CREATED,
        "updated": CREATED + 300,
        "step": 600,
        "max_steps": 1000,
        "tokens": 600 * 4096,
        "loss": 3.214,
        "validation_loss": 3.301,
        "best": {"step": 500, "validation_loss": 3.298},
        "tokens_per_second": 15_300.0,
        "peak_memory": 2.5 * 2**30,
        "energy": {"joules": 44_000.0, "low": 33_000.0, "high": 57_000.0, "method": "cpu time"},
        "emissions": {"grams": 5.9, "low": 1.0, "high": 10.0, "region": "WORLD", "year": 2024, "source": "Ember"},
        "seconds": 161.0,
        "seconds_left": 107.0 if state == "running" else None,
        "parameters": 12_345_678,
        "host": "workstation",
        "message": "",
        "parent": None,
        "can_stop": is_open,
        "can_resume": not is_open and state != "finished",
    }
    return {**common, **fields}


def curves(steps: int = 600, *, offset: float = 0.0, first: int = 1) -> Json:
    """Series of a run: one point for each step, and one measurement of the validation loss for each hundred."""
    every, measured = list(range(first, steps + 1)), [step for step in range(first, steps + 1) if step % 100 == 0]
    loss = [offset + 3 + 5 * math.exp(-step / 150) + 0.1 * math.sin(step) for step in every]
    return {
        "loss": series(every, loss),
        "validation_loss": series(measured, [offset + 3.1 + 5 * math.exp(-step / 150) for step in measured]),
        "tokens_per_second": series(every, [15_000 + 200 * math.sin(step / 9) for step in every]),
        "peak_memory": series(every, [2.5 * 2**30] * len(every)),
        "learning_rate": series(every, [3e-4 * min(1, step / 100) for step in every]),
        "joules": series(every, [73.0 * step for step in every]),
        "seconds": series(every, [0.27 * step for step in every]),
        "tokens": series(every, [4096.0 * step for step in every]),
    }


def series(steps: list[int], values: list[float]) -> Json:
    return {"steps": steps, "low": values, "high": values, "mean": values}


@dataclass
class ScriptedRuns:
    """Answers the requests of a page below /api/runs as the server would. Requests that wait for a change are kept open."""

    runs: dict[str, Json] = field(default_factory=dict)
    series: dict[str, Json] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    samples: dict[str, list[Json]] = field(default_factory=dict)
    settings: dict[str, Json] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and code of the error with which requests to stop or to resume are answered."""
    is_up: bool = True
    requests: list[str] = field(default_factory=list)
    cursor: int = 0
    waiting: list[Any] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    """The cursor at which each run has changed, or has gone."""

    def add(self, value: Json, **fields: Any) -> None:
        """Add a run with its curves, samples and settings, and tell the pages."""
        id_ = value["id"]
        self.series[id_] = fields.get("series", curves())
        self.samples[id_] = fields.get("samples", [])
        self.settings[id_] = fields.get("settings", {"depth": 4, "optimizer.learning_rate": 0.02})
        self.change(id_, **value)

    def change(self, id_: str, **fields: Any) -> None:
        """Change a run, and tell the pages that wait."""
        self.cursor += 1
        self.changed[id_] = self.cursor
        self.runs[id_] = {**self.runs.get(id_, {}), **fields}
        self._tell()

    def remove(self, id_: str) -> None:
        del self.runs[id_]
        self.cursor += 1
        self.changed[id_] = self.cursor
        self._tell()

    def go_down(self) -> None:
        """The server is away: connections end, and new ones fail."""
        self.is_up = False
        for route, _ in self._take_waiting():
            route.abort()

    def handle(self, route: Any) -> None:
        """A handler for page.route."""
        request = route.request
        url = urlsplit(request.url)
        path, query = url.path.partition("/api/runs")[2].strip("/"), parse_qs(url.query)
        if not self.is_up:
            return route.abort()
        self.requests.append(f"{request.method} {path}")
        if not path and "after" in query and int(query["after"][0]) >= self.cursor:
            self.waiting.append((route, int(query["after"][0])))
            return None
        body = json.loads(request.post_data) if request.post_data else {}
        status, answer = self.answer(request.method, path, query, body)
        return route.fulfill(status=status, json=answer)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> tuple[int, Json]:
        """Status and body of a response."""
        match [method, *path.split("/")]:
            case ["GET", ""]:
                return 200, self.changes(int(query.get("after", ["-1"])[0]))
            case ["POST", "compare"]:
                return 200, {"settings": self.compare(body["ids"])}
            case [_, id_, part] if unquote(id_) in self.runs:
                return self.of_run(method, unquote(id_), part, query)
        return 404, error("unknown_run", "there is no such run")

    def of_run(self, method: str, id_: str, part: str, query: dict[str, list[str]]) -> tuple[int, Json]:
        if method == "POST":
            if part in self.refusals:
                status, code = self.refusals[part]
                return status, error(code, "refused")
            return 202, {"pid": 1}
        if part == "series":
            return 200, self.read(id_, query)
        if part == "samples":
            older = [sample for sample in self.samples[id_] if sample["step"] < float(query.get("before", ["inf"])[0])]
            shown = older[: int(query["limit"][0])]
            return 200, {"samples": shown, "before": shown[-1]["step"] if len(older) > len(shown) else None}
        return 200, {"settings": self.settings[id_]}

    def changes(self, after: int) -> Json:
        ids = [id_ for id_, cursor in self.changed.items() if cursor > after]
        runs = [self.runs[id_] for id_ in ids if id_ in self.runs]
        removed = [id_ for id_ in ids if id_ not in self.runs]
        common = {"runs": runs, "removed": removed, "cursor": self.cursor, "folder": "experiments"}
        return {**common, "complete": after < 0}

    def read(self, id_: str, query: dict[str, list[str]]) -> Json:
        every, revision = self.series[id_], self.revisions.get(id_, "r1")
        is_same = query.get("revision", [""])[0] == revision
        after = int(query["after_step"][0]) if is_same else -1
        assert after >= 0 or not is_same, query
        low, high = max(after + 1, int(query.get("from", ["0"])[0])), int(query.get("to", ["1000000"])[0])
        shown = {name: _cut(values, low, high) for name, values in every.items()}
        last = max((step for values in every.values() for step in values["steps"]), default=-1)
        return {"names": [*every], "revision": revision, "last_step": last, "series": shown}

    def compare(self, ids: list[str]) -> list[Json]:
        names = dict.fromkeys(name for id_ in ids for name in self.settings[id_])
        rows = []
        for name in names:
            values = {id_: self.settings[id_][name] for id_ in ids if name in self.settings[id_]}
            differs = len(values) < len(ids) or len({json.dumps(value) for value in values.values()}) > 1
            rows.append({"name": name, "values": values, "differs": differs})
        return rows

    def _tell(self) -> None:
        for route, after in self._take_waiting():
            route.fulfill(json=self.changes(after))

    def _take_waiting(self) -> list[Any]:
        waiting, self.waiting = self.waiting, []
        return waiting


def _cut(values: Json, low: int, high: int) -> Json:
    kept = [index for index, step in enumerate(values["steps"]) if low <= step <= high]
    return {name: [entries[index] for index in kept] for name, entries in values.items()}


def error(code: str, message: str, **values: Any) -> Json:
    return {"error": {"code": code, "message": message, "type": "invalid_request_error", "param": None, "values": values}}
