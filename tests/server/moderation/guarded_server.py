"""A server with the policy of `tests.moderation.scripted_judge`, whose model writes what a test says."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmcraft.moderation.judge_process import JudgeProcess
from lmcraft.moderation.policy import read_policy
from lmcraft.server.metrics import Metrics
from lmcraft.server.moderation.guard import Guard
from lmcraft.server.moderation.reviews import ReviewQueue
from tests.moderation import scripted_judge
from tests.server.tiny_server import Server, running

REFUSAL = "I refuse."


def scripted_guard(
    folder: Path, queue: Callable[[Metrics], ReviewQueue] | None = None, *, timeout_seconds: float = 20.0
) -> Callable[[Metrics], Guard]:
    """Makes a guard with the scripted judge, which sends texts to what `queue` makes."""
    policy = scripted_judge.write_policy(folder)
    command = [sys.executable, "-I", "-S", str(Path(scripted_judge.__file__)), read_policy(policy).identity]

    def make(metrics: Metrics) -> Guard:
        restarted = metrics.record_judge_restart
        judge = JudgeProcess(str(policy), timeout_seconds=timeout_seconds, on_restart=restarted, command=command)
        guard = Guard(judge, metrics, None if queue is None else queue(metrics))
        guard.start()
        return guard

    return make


@contextmanager
def guarded_server(folder: Path, queue: Callable[[Metrics], ReviewQueue] | None = None, **settings: Any) -> Iterator[Server]:
    settings = {"max_position_embeddings": 1024} | settings
    with running(folder, guard=scripted_guard(folder, queue), **settings) as server:
        yield server


def writes(text: str) -> dict[str, Any]:
    """The fields of a request whose answer is this text."""
    return {"structured_outputs": {"regex": re.escape(text)}}
