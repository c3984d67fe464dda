"""The history of a run: a row of `history.jsonl` for each start, with an id that the checkpoints written after it carry.

So a checkpoint belongs to the run whose history has its start. A moved or copied run keeps its history, and its checkpoints.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.json_lines import read_json_lines


def read_history(folder: ModelFolder) -> list[dict[str, Any]]:
    """The rows of a run that has checkpoints.

    Raises:
        UserError: they are missing or damaged.
    """
    rows = list(read_json_lines(folder.history))
    if not rows or not isinstance(rows[0], dict) or not isinstance(rows[0].get("contents"), dict):
        raise UserError(
            f"out='{folder.path}' holds checkpoints, but '{folder.history}' is missing or damaged, so that the data of the "
            "run are unknown: restore it, or start again with another --out"
        )
    return rows


def start_ids(folder: ModelFolder) -> list[str]:
    """The id of each start of a run, in order; a single "" if none is recorded."""
    return [str(row.get("id", "")) for row in read_json_lines(folder.history)] or [""]


def recorded_tasks(history: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The hash of each task that a run has been evaluated on, by name, from the rows of its history."""
    return {name: digest for row in history for name, digest in row.get("tasks", {}).items()}
