"""`/api/runs`: the runs of a folder, as a page shows them while they go on.

Answers are built as JSON text here, since FastAPI would walk through each of a curve's numbers. What reads files is in plain
functions, which FastAPI runs in threads.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from lmcraft.json_lines import format_json
from lmcraft.runs.index import DEFAULT_POINTS, MAX_POINTS, RunIndex
from lmcraft.runs.samples import read_samples
from lmcraft.runs.settings import compare_settings, read_settings
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.runs import Comparing
from lmcraft.server.http.runs_access import Runs, is_owner
from lmcraft.server.http.state import cancel_on_disconnect

MAX_WAIT_SECONDS = 20.0
MAX_STEP = 2**53 - 1
MAX_SAMPLES = 100
Step = Annotated[int | None, Query(ge=0, le=MAX_STEP)]
router = APIRouter(prefix="/api/runs", route_class=JsonRoute, tags=["runs"])


@router.get("")
async def list_runs(
    request: Request,
    runs: Runs,
    after: Annotated[str, Query(max_length=64)] = "",
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = MAX_WAIT_SECONDS,
) -> Response:
    """All runs, or those that have changed since the answer with the cursor `after`; then it waits for a change.

    If `complete` is true, the answer has all runs, whatever the client knew.
    """
    await run_in_threadpool(runs.touch)
    if after:
        await cancel_on_disconnect(request, runs.wait_for_change(after, wait))
    answer = await run_in_threadpool(_changes, runs.index, after, is_owner(request))
    return Response(answer, media_type="application/json")


@router.post("/compare")
def compare(runs: Runs, body: Comparing) -> Response:
    """The settings of several runs, and which of them differ."""
    settings = {id: read_settings(runs.get(id).folder.config_toml) for id in dict.fromkeys(body.ids)}
    return _json({"settings": compare_settings(settings)})


@router.get("/{id:path}/series")
def series(
    runs: Runs,
    id: str,
    names: Annotated[str, Query(max_length=20_000)] = "",
    points: Annotated[int, Query(ge=1, le=MAX_POINTS)] = DEFAULT_POINTS,
    first: Annotated[int | None, Query(ge=0, le=MAX_STEP, alias="from")] = None,
    last: Annotated[int | None, Query(ge=0, le=MAX_STEP, alias="to")] = None,
    after_step: Step = None,
    revision: Annotated[int | None, Query()] = None,
) -> Response:
    """Curves of a run, by the names of its metrics, separated by commas; without names, all. What has more than `points`
    points comes in so many buckets, each with its lowest, its highest and its mean value, at the step of its last row.

    With `after_step`, only later points, as long as `revision` is the run's; it changes when rows that were read no longer
    count, as when a run goes on from an earlier checkpoint.
    """
    runs.touch()
    id = runs.get(id).id
    listed = [name for name in names.split(",") if name] or None
    span = {"first": first, "last": last, "after_step": after_step}
    answer = runs.index.series(id, listed, points=points, revision=revision, **span)
    curves = ", ".join(f"{format_json(name)}: {_format_curve(curve)}" for name, curve in answer.pop("series").items())
    return Response(f'{format_json(answer)[:-1]}, "series": {{{curves}}}}}', media_type="application/json")


@router.get("/{id:path}/samples")
def samples(
    runs: Runs,
    id: str,
    limit: Annotated[int, Query(ge=1, le=MAX_SAMPLES)] = 20,
    before: Annotated[int | None, Query(ge=0, le=MAX_STEP)] = None,
) -> Response:
    """Texts that a run's model wrote during training, newest first. For earlier ones, `before` is the last answer's."""
    listed, next_ = read_samples(runs.get(id).folder.samples, limit=limit, before=before)
    return _json({"samples": listed, "before": next_})


@router.get("/{id:path}/config")
def config(runs: Runs, id: str) -> Response:
    """The settings of a run, by dotted names."""
    return _json({"settings": read_settings(runs.get(id).folder.config_toml)})


def _changes(index: RunIndex, after: str, can_control: bool) -> str:
    """The changes for one person; who is no owner can stop and resume nothing."""
    answer = index.changes(after)
    if can_control:
        return answer
    parsed = json.loads(answer)
    for run in parsed["runs"]:
        run |= {"can_stop": False, "can_resume": False}
    return format_json(parsed)


def _format_curve(curve: dict[str, list[float]]) -> str:
    """A curve as JSON; numbers need no search for characters to escape, which would take as long as all else."""
    try:
        return json.dumps(curve, allow_nan=False)
    except ValueError:  # the mean of huge values
        return format_json(curve)


def _json(value: Any) -> Response:
    return Response(format_json(value), media_type="application/json")
