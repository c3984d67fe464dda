"""What a run is doing: by its lock, its status.json and its log, since each of them may be missing or out of date.

Only the lock says that a run's process is alive: the system releases it when the process ends, however it ends.
"""

from collections.abc import Mapping
from typing import Any, Literal

State = Literal["running", "starting", "paused", "stopped", "finished", "failed", "killed"]
ALIVE: tuple[State, ...] = ("running", "starting")
ENDED: tuple[State, ...] = ("paused", "stopped", "finished", "failed")


def state_of(
    *,
    is_locked: bool,
    is_starting: bool = False,
    has_lock_file: bool,
    is_alive_elsewhere: bool,
    status: Mapping[str, Any],
    step: int,
    max_steps: int,
) -> State:
    """The state of a run.

    Args:
        is_locked: a process holds the lock of the run's folder, or is about to resume the run.
        is_starting: that process has not written its status yet.
        has_lock_file: the file of the lock is there; a process removes it unless it was killed.
        is_alive_elsewhere: another machine has written to the folder lately; its locks may not be visible here.
        status: status.json; empty for a run of an older version.
        step: the last step in the log; 0: none.
        max_steps: of the run; 0: unknown.
    """
    recorded = status.get("state")
    alive: State = "starting" if is_starting or (recorded == "running" and status.get("started") is False) else "running"
    if is_locked:
        return alive
    if recorded in ENDED:
        return ENDED[ENDED.index(recorded)]
    if recorded == "running":
        return alive if is_alive_elsewhere else "killed"
    if 0 < max_steps <= step:
        return "finished"
    return "killed" if has_lock_file else "stopped"
