"""Runs units of work on any number of workers; their outputs do not depend on where, when and how often they ran.

- `steps.py`: runs steps, deletes intermediate outputs
- `journal.py`: what is finished, and where its outputs are
- `schedule.py`: which unit runs next, and what becomes of one that failed
- `task.py`, `position.py`: what a worker gets and answers, and where it says which document it reads
- `worker.py`, `worker_process.py`: the program of a worker, and a worker as its parent sees it
- `processes.py`: an executor of processes on this machine
- `ray_cluster.py`: an executor on a Ray cluster
- `slurm.py`: the script that submits jobs to a Slurm cluster
- `progress.py`: the bar
"""

from lmcraft.preparation.contracts import Executor
from lmcraft.preparation.execution.processes import Processes
from lmcraft.preparation.recipe import ExecutorConfig
from lmcraft.processor import usable_cpus


def choose_executor(config: ExecutorConfig) -> Executor:
    """The executor that a recipe names.

    Raises:
        UserError: Ray is not installed.
    """
    if config.backend == "ray":
        from lmcraft.preparation.execution.ray_cluster import RayCluster

        return RayCluster(config.workers, config.document_seconds)
    return Processes(config.workers or usable_cpus(), config.document_seconds)  # Slurm runs commands that do so
