"""What a run is doing: by its lock, its status.json and its log, since each of them may be missing or out of date.

Only the lock says that a run's process is alive: the system releases it when the process ends, however it ends.
"""

from collections.abc import Mapping
from typing import Any, Literal

State = Literal["running", "paused", "stopped", "finished", "failed", "killed"]
ENDED: tuple[State, ...] = ("paused", "stopped", "finished", "failed")


def state_of(
    *,
    is_locked: bool,
    has_lock_file: bool,
    is_alive_elsewhere: bool,
    status: Mapping[str, Any],
    step: int,
    max_steps: int,
) -> State:
    """The state of a run.

    Args:
        is_locked: a process holds the lock of the run's folder.
        has_lock_file: the file of the lock is there; a process removes it unless it was killed.
        is_alive_elsewhere: another machine has written to the folder lately; its locks may not be visible here.
        status: status.json; empty for a run of an older version.
        step: the last step in the log; 0: none.
        max_steps: of the run; 0: unknown.
    """
    if is_locked:
        return "running"
    recorded = status.get("state")
    if recorded in ENDED:
        return ENDED[ENDED.index(recorded)]
    if recorded == "running":
        return "running" if is_alive_elsewhere else "killed"
    if 0 < max_steps <= step:
        return "finished"
    return "killed" if has_lock_file else "stopped"
