"""The processes of one run: this one alone, or all that torchrun started, in a mesh of data ranks by tensor ranks.

Every process runs the same program. Those that differ in their data rank see other rows of a batch; those that differ in
their tensor rank share the work on the same rows (`lmcraft.training.sharding`).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from lmcraft.errors import LmcraftError, RunError, UserError

T = TypeVar("T")


class Processes:
    """What a run asks of the processes that share it. Without a mesh there is one, and every answer is its own."""

    def __init__(self, mesh: DeviceMesh | None = None) -> None:
        """`mesh` has the dimensions "data" and "tensor"."""
        self.mesh = mesh
        self.count = mesh.size() if mesh else 1
        self.is_main = mesh is None or dist.get_rank() == 0
        """Whether this is the one that prints and writes."""
        self.data_rank = mesh["data"].get_local_rank() if mesh else 0
        self.data_count = mesh["data"].size() if mesh else 1
        self.tensor_rank = mesh["tensor"].get_local_rank() if mesh else 0
        self.tensor_count = mesh["tensor"].size() if mesh else 1

    def total(self, *values: float) -> list[float]:
        """The sum over all processes of each value."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def most(self, value: float) -> float:
        """The largest value of all processes."""
        return self._reduced((value,), dist.ReduceOp.MAX)[0]

    def agree(self, value: T) -> T:
        """The main process's value, in all of them: for what each has measured or drawn for itself."""
        if self.mesh is None:
            return value
        held = [value]
        dist.broadcast_object_list(held)
        return held[0]

    def _reduced(self, values: tuple[float, ...], how: "dist.ReduceOp.RedOpType") -> list[float]:
        if self.mesh is None:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)  # on the CPU: its backend is always there
        dist.all_reduce(numbers, how)
        return numbers.tolist()


@contextmanager
def joined(device: str = "auto", tensor_parallel: int = 1) -> Iterator[Processes]:
    """The processes that torchrun started this one among; this one alone where there is no torchrun.

    An error that a person has to see keeps its message in the first process that meets it; the others leave with the same
    exit status and say nothing.

    Args:
        device: as in the configuration.
        tensor_parallel: how many processes share the work on the same rows.

    Raises:
        UserError: `tensor_parallel` does not divide the number of processes.
        RunError: within, where another process was lost.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if tensor_parallel < 1 or count % tensor_parallel:
        raise UserError(
            f"tensor_parallel={tensor_parallel} must divide the number of processes, which is {count}: "
            f"start so many with torchrun --nproc-per-node, or change it"
        )
    if count == 1:
        yield Processes()
        return
    gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, _, _ = next(iter(rendezvous("env://")))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "gloo",
        store=PrefixStore("lmcraft", store),
        rank=int(os.environ["RANK"]),
        world_size=count,
    )
    try:
        shape = (count // tensor_parallel, tensor_parallel)
        yield Processes(init_device_mesh("cuda" if gpu else "cpu", shape, mesh_dim_names=("data", "tensor")))
    except LmcraftError as error:
        raise _said_once(error, store) from error
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        lost = RunError("another process of the run was lost; what has been saved is intact: start again with --resume")
        raise _said_once(lost, store) from error
    dist.destroy_process_group()


def _is_lost(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _said_once(error: LmcraftError, store: Store) -> LmcraftError:
    """The error for the first process that asks, an empty one for the others."""
    try:
        first = store.add("lmcraft/errors", 1) == 1
    except RuntimeError:  # the process that holds the store has gone
        first = True
    if not first:
        error.args = ("",)
    return error
