"""Runs units of work on any number of workers; their outputs do not depend on where, when and how often they ran.

- `steps.py`: runs steps, deletes intermediate outputs
- `journal.py`: what is finished, and where its outputs are
- `schedule.py`: which unit runs next, and what becomes of one that failed
- `task.py`, `position.py`: what a worker gets and answers, and where it says which document it reads
- `worker.py`, `worker_process.py`: the program of a worker, and a worker as its parent sees it
- `processes.py`, `in_process.py`: executors of processes on this machine, and of none
- `slurm.py`: the script that submits jobs to a Slurm cluster
- `progress.py`: the bar
"""

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import Executor
from lmcraft.preparation.execution.processes import Processes
from lmcraft.preparation.recipe import ExecutorConfig
from lmcraft.processor import usable_cpus


def choose_executor(config: ExecutorConfig) -> Executor:
    """The executor that a recipe names.

    Raises:
        UserError: it cannot run units here.
    """
    if config.backend in ("processes", "slurm"):  # Slurm runs commands, each of which does units in processes
        return Processes(config.workers or usable_cpus(), config.document_seconds)
    raise UserError(f"executor.backend='{config.backend}' is not supported: use 'processes'")
