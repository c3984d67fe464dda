"""`/api/runs/.../stop` and `.../resume`, for owners."""

from fastapi import APIRouter

from lmcraft.runs import control
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.runs_access import OwnerOnly, Runs

router = APIRouter(prefix="/api/runs", route_class=JsonRoute, tags=["runs"], dependencies=[OwnerOnly])


@router.post("/{id:path}/stop", status_code=202)
def stop(runs: Runs, id: str) -> dict[str, int]:
    """Ask a run to stop after its current step, and to save; it can be resumed."""
    run = runs.get(id)
    try:
        return {"pid": control.stop(run)}
    except control.ControlError as error:
        raise _conflict(error) from error


@router.post("/{id:path}/resume", status_code=202)
def resume(runs: Runs, id: str) -> dict[str, int]:
    """Continue a run from its last checkpoint, in a process that does not depend on this server."""
    run = runs.get(id)
    try:
        process = control.resume(run)
    except control.ControlError as error:
        raise _conflict(error) from error
    runs.index.look(run)
    return {"pid": process}


def _conflict(error: control.ControlError) -> ApiError:
    return ApiError(409, str(error), code=error.code, values=error.values)
