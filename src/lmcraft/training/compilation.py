"""torch.compile for each block: whether it pays off, and how long it took."""

import os
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.transformer import Transformer
from lmcraft.terminal import format_duration
from lmcraft.training.batch import to_device
from lmcraft.training.loop import Trainer

# Compiled steps were 3 to 18% faster, and compiling took one to three minutes on a crowded machine (docs/lab-notes.md).
MIN_SECONDS_TO_COMPILE = 20 * 60  # of training without compiling
USUAL_SHARE_OF_PEAK = 0.6  # of the machine's peak speed, as training usually reaches


def choose_compile(requested: Literal["auto", "on", "off"], seconds: float, device: torch.device) -> tuple[bool, str]:
    """Whether to compile a run of `seconds`, and the reason; empty if compilation was turned on or off explicitly.

    A run whose time is over before its first step has 0 seconds or fewer.
    """
    if requested == "off":
        return False, ""
    run = f"this run takes about {format_duration(seconds)}" if seconds > 0 else "the time of this run is over"
    if requested == "auto" and seconds < MIN_SECONDS_TO_COMPILE:
        return False, f"blocks are not compiled: {run}, and compiling pays off from {MIN_SECONDS_TO_COMPILE // 60} minutes"
    if reason := missing_compiler(device):
        return False, f"blocks are not compiled: {reason}"
    return True, "" if requested == "on" else f"blocks are compiled: {run}, and compiling pays off in a run that long"


def missing_compiler(device: torch.device) -> str:
    """The reason why torch.compile cannot work on this machine; empty if it can."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return "" if has_triton() else "Triton is not installed"
    if device.type != "cpu":
        return f"it has not been tried on {device.type}"
    # Importing torch's compiler takes 1.5 s, so only runs that may use it do.
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "there is no C++ compiler (install g++ or clang, or set CXX)"
    return ""


def compile_blocks(model: Transformer) -> None:
    """Compile each block at its first training step; `environment.set_up_environment` sets the cache folder.

    Without gradients the blocks run uncompiled: validation and samples have other shapes, each of which would be compiled
    again.
    """
    for block in model.layers:
        block.forward = _CompiledInTraining(block.forward)


class _CompiledInTraining:
    """A block's forward function, compiled for calls that need gradients."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.plain = function
        self.compiled = torch.compile(function, dynamic=False)

    def __call__(self, x_BTC: Tensor, rotary: Any, mask: Tensor | None, *inputs: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return self.plain(x_BTC, rotary, mask, *inputs)
        if mask is not None:  # a mask shared by all rows has another shape, which would be compiled again
            mask = mask.expand(len(x_BTC), *mask.shape[1:]).contiguous()
        return self.compiled(x_BTC, rotary, mask, *inputs)


def compile_ahead(trainer: Trainer) -> str:
    """Compile by training on one micro-batch; returns a message with the time it took. The trainer is unchanged.

    Raises:
        UserError: the compiler does not work.
    """
    from torch._dynamo.utils import counters

    begin = time.perf_counter()
    batch = trainer.training.batch(range(trainer.micro_batch_size))
    trainer.model.train()
    try:
        with torch.random.fork_rng():
            trainer.objective.loss(trainer.model, to_device(batch, trainer.machine.device)).backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(f"compile='on', but torch.compile failed ({reason}): use --compile off") from error
    trainer.model.zero_grad()
    seconds, cache = time.perf_counter() - begin, os.environ["TORCHINDUCTOR_CACHE_DIR"]
    if counters["inductor"]["fxgraph_cache_miss"]:
        return f"compiled in {seconds:.0f} s; the next run reads the result from '{cache}'"
    return f"compiled blocks read from '{cache}' in {seconds:.0f} s"
