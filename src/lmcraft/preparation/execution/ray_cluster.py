"""Runs units on a Ray cluster: each task of Ray gives one unit to a worker process on its node.

A worker that ends or hangs is so noticed on its node, as in `processes.py`, and Ray itself never retries. The nodes must
share the work folder and see local sources under the same paths.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from platform import node
from typing import Any

from lmcraft.energy.recording import EnergyRecording
from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.extras import import_optional
from lmcraft.preparation.contracts import Unit, UnitResult
from lmcraft.preparation.energy import KIND, new_file
from lmcraft.preparation.execution.schedule import Schedule
from lmcraft.preparation.execution.task import Answer, Task, format_answer, format_task, parse_answer, parse_task
from lmcraft.preparation.execution.worker_process import WorkerProcess, module_path
from lmcraft.processor import usable_cpus
from lmcraft.training.signals import StopRequest, stop_on_signals

POLL_SECONDS = 0.2
TASKS_PER_CORE = 2  # sent to Ray, so that no core waits for its next one
OBJECT_STORE_BYTES = 100_000_000  # units and answers are small; Ray's own choice is a third of the memory
_workers: dict[tuple[str, float], WorkerProcess] = {}  # of a process of Ray, by work folder and limit of time
_energies: dict[str, EnergyRecording] = {}  # of a process of Ray, by work folder


class RayCluster:
    """An executor of tasks on the Ray cluster that runs here or is named by RAY_ADDRESS, else on one that it starts.

    Args:
        workers: the most units that run at the same time; 0: one per core of the cluster.
        document_seconds: the longest that a worker may read one document.

    Raises:
        UserError: Ray is not installed.
    """

    def __init__(self, workers: int, document_seconds: float) -> None:
        self.workers, self.document_seconds = workers, document_seconds
        self._ray = import_optional("ray", "ray", "executor.backend='ray'")
        self._is_own = False  # whether to disconnect at the end
        self._shared: set[Path] = set()  # the work folders that all nodes see

    def run(self, units: Sequence[Unit], work: Path, report: Callable[[UnitResult], None]) -> None:
        """Run units.

        Raises:
            InterruptedRunError: a signal came.
            RunError, UserError: a unit cannot be done, the disk is full, or a node does not see the work folder.
        """
        work = work.resolve()
        running: dict[Any, str] = {}  # the keys of units by Ray's reference to the answer
        try:
            self._connect()
            self._check_shared(work)
            with stop_on_signals() as stop:
                self._run(Schedule(units, work), running, report, stop)
        except BaseException:
            for reference in running:
                self._ray.cancel(reference, force=True)
            self.close()
            raise

    def close(self) -> None:
        """Disconnect from the cluster, or end it if it was started here."""
        if self._is_own:
            self._ray.shutdown()
            self._is_own = False

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet = {"log_to_driver": False, "logging_level": "error"}
        try:
            self._ray.init(address="auto", **quiet)
        except ConnectionError:
            self._ray.init(
                address="local",
                num_cpus=self.workers or usable_cpus(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **quiet,
            )
        self._is_own = True

    def _check_shared(self, work: Path) -> None:
        """Raise UserError unless each node sees the work folder."""
        if work in self._shared:
            return
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        remote = self._ray.remote(max_retries=0, num_cpus=0)(_sees)
        with tempfile.NamedTemporaryFile(dir=work, prefix="shared-") as file:
            for member in self._ray.nodes():
                options = {"scheduling_strategy": strategy(member["NodeID"], soft=False)}
                if member["Alive"] and not self._ray.get(remote.options(**options).remote(file.name)):
                    raise UserError(
                        f"executor.work='{work}' is not seen by node {member['NodeManagerHostname']}: use a folder that all "
                        "nodes of the Ray cluster share"
                    )
        self._shared.add(work)

    def _run(
        self, schedule: Schedule, running: dict[Any, str], report: Callable[[UnitResult], None], stop: StopRequest
    ) -> None:
        remote = self._ray.remote(max_retries=0, num_cpus=1)(run_task)
        limit = self.workers or TASKS_PER_CORE * max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        while not schedule.is_complete:
            while len(running) < limit and (task := schedule.take()):
                settings = (self.document_seconds, str(Path.cwd()), module_path(), (node(), os.getpid()))
                reference = remote.remote(format_task(task), *settings)
                running[reference] = task.unit.key
            ended, _ = self._ray.wait(list(running), timeout=POLL_SECONDS)
            if stop:
                raise InterruptedRunError("stopped by a signal; the same command continues", stop.signal_number)
            for reference in ended:
                result = schedule.settle(running.pop(reference), self._get(reference))
                if result is not None:
                    report(result)

    def _get(self, reference: Any) -> Answer:
        try:
            return parse_answer(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:  # the node has gone, or Ray has ended the task for its memory
            return Answer("killed", f"Ray lost its task ({type(error).__name__})")


def run_task(line: bytes, document_seconds: float, folder: str, path: Sequence[str], parent: tuple[str, int]) -> bytes:
    """Run a task in the worker of this process of Ray.

    Args:
        line: the task.
        document_seconds: the longest that the worker may read one document.
        folder: in which the worker starts, so that relative paths mean the same as for the user.
        path: where it looks for modules first, such as those of hooks.
        parent: host and number of the process of the command, which measures the energy of all that it has started.

    Returns:
        The answer, as a line.
    """
    task: Task = parse_task(line)
    kind = task.work, document_seconds
    if kind not in _workers:
        os.chdir(folder)
        _workers[kind] = WorkerProcess(Path(task.work), document_seconds, [*path, *module_path()])
    worker = _workers[kind]
    energy = None if _descends_from(parent) else _open_energy(task.work)
    worker.begin(task)
    while (answer := worker.look()) is None:
        wait([worker.fileno()], timeout=POLL_SECONDS)
    if not worker.is_alive:
        del _workers[kind]
    if energy is not None:
        energy.count(0)
        with suppress(OSError):  # of a full disk, of which the units tell
            energy.write()
    return format_answer(answer)


def _open_energy(work: str) -> EnergyRecording:
    """The record of what this process draws for a preparation; a work folder may be that of a later one."""
    if work not in _energies or not _energies[work].file.parent.exists():
        _energies[work] = EnergyRecording(new_file(Path(work)), KIND)
    return _energies[work]


def _descends_from(parent: tuple[str, int]) -> bool:
    """Whether a process has started this one, perhaps through others."""
    if parent[0] != node():
        return False
    pid = os.getpid()
    with suppress(OSError, ValueError):  # of a system without /proc
        while pid not in (0, parent[1]):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            pid = int(stat[stat.rindex(")") + 2 :].split()[1])
    return pid == parent[1]


def _sees(path: str) -> bool:
    return Path(path).exists()
