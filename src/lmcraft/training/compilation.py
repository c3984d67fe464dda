"""Blocks compiled by torch: whether that pays, where the results are kept, and how long it took."""

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.transformer import Transformer
from lmcraft.training.loop import Trainer, to_device

# Compiled steps were 3 to 18% faster, and compiling took one to three minutes on a crowded machine (docs/lab-notes.md).
PAYS_FROM = 20 * 60  # seconds of eager training
USUAL_SHARE = 0.6  # of the machine's peak, that training reaches


def choose_compile(seconds: float, device: torch.device) -> tuple[bool, str]:
    """Whether a run of so many seconds should be compiled, and why in one sentence."""
    minutes = f"about {seconds / 60:.0f} minutes"
    if seconds < PAYS_FROM:
        return False, f"blocks are not compiled: that pays from {PAYS_FROM // 60} minutes on, and this run takes {minutes}"
    if missing := compiler_missing(device):
        return False, f"blocks are not compiled: {missing}"
    return True, f"blocks are compiled, which pays in a run of {minutes}"


def compiler_missing(device: torch.device) -> str:
    """What torch.compile lacks here, in words; empty: nothing."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return "" if has_triton() else "Triton is not installed"
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "there is no C++ compiler (install g++ or clang, or set CXX)"
    return ""


def compile_blocks(model: Transformer) -> None:
    """Have each block compiled when it is first trained on; `environment.set_up` says where the result is kept.

    Without gradients the blocks run as they are: validation and samples come in other shapes, each of which would be
    compiled anew.
    """
    for block in model.layers:
        block.forward = _InTraining(block.forward)


class _InTraining:
    """A block's function that is compiled where gradients are taken."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.plain = function
        self.compiled = torch.compile(function, dynamic=False)

    def __call__(self, x_BTC: Tensor, rotary: Any, mask: Tensor | None, cache: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return self.plain(x_BTC, rotary, mask, cache)
        if mask is not None:  # one mask for all rows would be another shape, to be compiled again
            mask = mask.expand(len(x_BTC), -1, -1).contiguous()
        return self.compiled(x_BTC, rotary, mask, cache)


def clocked(trainer: Trainer) -> str:
    """Compile, by training on one micro-batch, and say in one sentence how long it took; the trainer is as before.

    Raises:
        UserError: the compiler does not work.
    """
    from torch._dynamo.utils import counters

    begun = time.perf_counter()
    batch = trainer.training.batch(range(trainer.micro_batch_size))
    trainer.model.train()
    try:
        with torch.random.fork_rng():
            trainer.objective.loss(trainer.model, to_device(batch, trainer.machine.device)).backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(f"compile='on', but torch cannot compile here ({reason}): use --compile off") from error
    trainer.model.zero_grad()
    seconds, where = time.perf_counter() - begun, os.environ["TORCHINDUCTOR_CACHE_DIR"]
    if counters["inductor"]["fxgraph_cache_miss"]:
        return f"compiled in {seconds:.0f} s; the next run finds the result in '{where}'"
    return f"compiled before: ready after {seconds:.0f} s, from '{where}'"
