"""`lmcraft` in processes of their own, forked from one that has imported it: a start takes milliseconds, not seconds.

multiprocessing's fork server is that process. It has computed nothing, so what it forks begins as a new process does.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.server.ports import free_port

CONTEXT = multiprocessing.get_context("forkserver")
"""`CONTEXT.Process` is a process of any function."""
CONTEXT.set_forkserver_preload(
    [
        "lmcraft.annotation.store",
        "lmcraft.commands.finetune",
        "lmcraft.commands.prepare",
        "lmcraft.commands.scaling",
        "lmcraft.finetuning.run",
        "lmcraft.inference.engine",
        "lmcraft.server.conversations.store",
        "lmcraft.server.http.app",
        "lmcraft.server.http.server",
        "lmcraft.pretraining.run",
        "torch._dynamo",  # imported when a model is first trained
    ]
)


class ForkedCommand:
    """A running command, with what tests use of `subprocess.Popen`."""

    def __init__(
        self,
        *tokens: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        log: Path | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start it.

        Args:
            tokens: of the command line, after `lmcraft`.
            environment: variables to add.
            folder: to run in. [default: the current one]
            log: file that standard output and standard error are added to.
            prepare: called before the command; a function of a module.
        """
        self._folder = tempfile.TemporaryDirectory()
        self._output, self._errors = (log or Path(self._folder.name) / name for name in ("output", "errors"))
        variables = {**os.environ, **(environment or {})}
        arguments = (tokens, variables, folder or Path.cwd(), self._output, self._errors, prepare)
        self._process = CONTEXT.Process(target=_run, args=arguments)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, -n for signal n; None while the command runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit status; None while the command runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 300) -> int:
        """The exit status, at the end of the command."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, "the command does not end"
        return self._process.exitcode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it wrote to standard output and standard error until its end."""
        self.wait(timeout)
        return self._output.read_text(encoding="utf-8"), self._errors.read_text(encoding="utf-8")

    def send_signal(self, number: int) -> None:
        """Send a signal to it."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()


def fork_ranks(*tokens: str, processes: int) -> list[ForkedCommand]:
    """A command in several processes that know each other, as torchrun starts them."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    ranks = (str(rank) for rank in range(processes))
    return [ForkedCommand(*tokens, environment=shared | {"RANK": rank, "LOCAL_RANK": rank}) for rank in ranks]


def run_ranks(*tokens: str, processes: int) -> tuple[int, str]:
    """The exit status and the messages of a command in several processes."""
    ranks = fork_ranks(*tokens, processes=processes)
    messages = "".join(rank.communicate()[1] for rank in ranks)
    return max((rank.wait() for rank in ranks), key=abs), messages


def _run(
    tokens: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    output: Path,
    errors: Path,
    prepare: Callable[[], None] | None,
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for path, descriptor in ((output, 1), (errors, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    if prepare is not None:
        prepare()
    from lmcraft.cli import main

    sys.exit(main(tokens))
