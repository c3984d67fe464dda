from typing import Any

import pytest

from lmcraft.runs.states import State, state_of


@pytest.mark.parametrize(
    ("facts", "status", "state"),
    [
        ({"is_locked": True}, {"state": "stopped"}, "running"),
        ({}, {"state": "running"}, "killed"),
        ({"is_alive_elsewhere": True}, {"state": "running"}, "running"),
        ({"has_lock_file": True}, {"state": "failed"}, "failed"),
        ({}, {"state": "paused"}, "paused"),
        ({}, {"state": ["odd"]}, "stopped"),
        ({"step": 100}, {}, "finished"),
        ({"step": 99, "has_lock_file": True}, {}, "killed"),
        ({"step": 99}, {}, "stopped"),
        ({"max_steps": 0}, {}, "stopped"),
        ({"is_locked": True, "is_starting": True}, {"state": "failed"}, "starting"),
        ({"is_locked": True}, {"state": "running", "started": False}, "starting"),
        ({"is_locked": True}, {"state": "running", "started": True}, "running"),
        ({"is_alive_elsewhere": True}, {"state": "running", "started": False}, "starting"),
        ({}, {"state": "running", "started": False}, "killed"),
    ],
    ids=range(15),
)
def test_the_lock_counts_more_than_what_the_files_say(facts: dict[str, Any], status: dict[str, Any], state: State) -> None:
    defaults = {"is_locked": False, "has_lock_file": False, "is_alive_elsewhere": False, "step": 0, "max_steps": 100}
    assert state_of(**(defaults | facts), status=status) == state
