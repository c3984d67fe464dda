"""The processes of a run: a single one, or those that torchrun started, in a mesh of data ranks by tensor ranks.

Every process runs the same program. Data ranks train on different rows of a batch; tensor ranks share the work on the same
rows (`lmcraft.training.sharding`).
"""

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from lmcraft.errors import LmcraftError, RunError, UserError, explain_os_error
from lmcraft.machine import choose_device

T = TypeVar("T")


class Processes:
    """The processes of a run and their collective operations. Without a mesh there is one process, and they do nothing."""

    def __init__(self, mesh: DeviceMesh | None = None) -> None:
        """`mesh` has the dimensions "data" and "tensor"."""
        self.mesh = mesh
        self.count = mesh.size() if mesh else 1
        self.is_main = mesh is None or dist.get_rank() == 0
        """Whether this is the process that prints and writes."""
        self.data_rank = mesh["data"].get_local_rank() if mesh else 0
        self.data_count = mesh["data"].size() if mesh else 1
        self.tensor_rank = mesh["tensor"].get_local_rank() if mesh else 0
        self.tensor_count = mesh["tensor"].size() if mesh else 1

    def total(self, *values: float) -> list[float]:
        """The sum over all processes of each value."""
        return self._reduce(values, dist.ReduceOp.SUM)

    def maximum(self, value: float) -> float:
        """The maximum over all processes."""
        return self._reduce((value,), dist.ReduceOp.MAX)[0]

    def agree(self, value: T) -> T:
        """The main process's value, broadcast to all: for values that each process measures itself."""
        if self.mesh is None:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    def seed_dropout(self, seed: int, step: int) -> None:
        """Seed a step's dropout: differently for each step and data rank, equally for tensor ranks, which share rows."""
        text = f"dropout {seed} {step} {self.data_rank}"
        torch.manual_seed(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()))

    @contextmanager
    def in_main(self, context: AbstractContextManager[object]) -> Iterator[None]:
        """Enter `context` in the main process only; an error on entering is raised in all processes."""
        error = None
        with ExitStack() as stack:
            if self.is_main:
                try:
                    stack.enter_context(context)
                except (LmcraftError, OSError) as caught:
                    error = caught
            if (error := self.agree(error)) is not None:
                raise error
            yield

    def _reduce(self, values: tuple[float, ...], operation: "dist.ReduceOp.RedOpType") -> list[float]:
        if self.mesh is None:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)  # on the CPU, whose backend is always available
        dist.all_reduce(numbers, operation)
        return numbers.tolist()


@contextmanager
def join_processes(device: str = "auto", tensor_parallel: int = 1) -> Iterator[Processes]:
    """Join the processes that torchrun started; without torchrun, this process alone.

    An `LmcraftError` keeps its message in the first process that raises it; the others exit with the same status and no
    message. torchrun sends SIGTERM to the others when it misses one: a process that handles an error by then goes on
    until it has printed the message.

    Args:
        device: the setting of this name.
        tensor_parallel: number of processes that share the work on the same rows.

    Raises:
        UserError: `tensor_parallel` does not divide the number of processes, or the device computes in one process only.
        RunError: another process was lost.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if tensor_parallel < 1 or count % tensor_parallel:
        raise UserError(
            f"tensor_parallel={tensor_parallel} must divide the number of processes, {count}: "
            f"start a multiple of {tensor_parallel} with torchrun --nproc-per-node, or change it"
        )
    if count == 1:
        yield Processes()
        return
    kind = choose_device(device).partition(":")[0]
    if kind == "mps":
        raise UserError(f"device='{device}', but mps computes in one process: use --device cpu, or start without torchrun")
    gpu = kind == "cuda"
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, _, _ = next(iter(rendezvous("env://")))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "gloo",
        store=PrefixStore("lmcraft", store),
        rank=int(os.environ["RANK"]),
        world_size=count,
    )
    in_main_thread = threading.current_thread() is threading.main_thread()
    sigterm_handler = signal.signal(signal.SIGTERM, _end_unless_reporting) if in_main_thread else None
    try:
        shape = (count // tensor_parallel, tensor_parallel)
        yield Processes(init_device_mesh("cuda" if gpu else "cpu", shape, mesh_dim_names=("data", "tensor")))
    except LmcraftError as error:
        raise _report_once(error, store) from error
    except OSError as error:
        raise _report_once(explain_os_error(error), store) from error
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        lost = RunError("another process of the run was lost; the checkpoints are intact: continue with --resume")
        raise _report_once(lost, store) from error
    dist.destroy_process_group()
    if in_main_thread:
        signal.signal(signal.SIGTERM, sigterm_handler)


def _end_unless_reporting(signal_number: int, frame: FrameType | None) -> None:
    """A handler of SIGTERM: nothing while an error is handled, else what the signal does without a handler."""
    if sys.exc_info()[1] is None:
        signal.signal(signal_number, signal.SIG_DFL)
        signal.raise_signal(signal_number)


def _is_lost(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _report_once(error: LmcraftError, store: Store) -> LmcraftError:
    """The error in the first process that calls this, with an empty message in the others."""
    try:
        first = store.add("lmcraft/errors", 1) == 1
    except RuntimeError:  # the process that holds the store has exited
        first = True
    if not first:
        error.args = ("",)
    return error
