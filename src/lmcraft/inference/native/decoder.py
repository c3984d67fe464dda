"""The native decode step: packs a Transformer, and calls the compiled operation.

Shapes: R rows, V vocabulary.
"""

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import c_int32, c_void_p
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.cpp.library import BuildError
from lmcraft.inference.block_pool import SLOTS_PER_TILE, BlockPool
from lmcraft.inference.model_changes import find_modification
from lmcraft.inference.native.build import load_library
from lmcraft.inference.native.coverage import missing_part
from lmcraft.inference.native.structs import MAX_PROMPT_ROWS_PER_STEP, MAX_ROWS_PER_STEP, Row
from lmcraft.inference.native.weight_packing import ModelPacker, Weights
from lmcraft.inference.next_token_logits import NextTokenLogits
from lmcraft.model.transformer import Transformer


@dataclass(frozen=True)
class DecodeRow:
    """One token of one request."""

    token: int
    position: int
    blocks: Tensor
    """The request's blocks in the pool, in order, int32; they reach to `position`."""
    needs_logits: bool = True
    adapter: str = ""
    """One of `NativeDecoder.adapters`."""


def unsupported_reason(model: Transformer) -> str:
    """Why the native step cannot run a model on this machine; empty if it can."""
    if reason := unsupported_feature(model):
        return reason
    try:
        load_library()
    except BuildError as error:
        return str(error)
    return ""


def unsupported_feature(model: Transformer) -> str:
    """Why the native step cannot run a model on any machine; empty if it can."""
    if model.device.type != "cpu":
        return f"the model is on {model.device.type}"
    if part := missing_part(model.config):
        return part
    return find_modification(model)


class NativeDecoder:
    """A Transformer's decode step over the keys and values in a pool.

    Args:
        model: on the CPU, in `eval` mode; its tensors are used in place, or packed.
        pool: of keys and values, which prefill in PyTorch fills too; its blocks hold a multiple of 16 tokens.
        weights: the type that the matrices are read in; int8 and int4 are quantized here.
        max_threads: each step may use up to this many.
        adapters: models that share the weights of `model`, by the names that rows use.
        target: the CPU to compile for, as in `load_library`.

    Raises:
        BuildError: it cannot be compiled.
    """

    def __init__(
        self,
        model: Transformer,
        pool: BlockPool,
        weights: Weights,
        *,
        max_threads: int,
        adapters: Mapping[str, Transformer] | None = None,
        target: str = "",
    ) -> None:
        assert pool.block_tokens % SLOTS_PER_TILE == 0, pool.block_tokens
        self._handle = None
        self._library = load_library(target)
        self._library.lmcraft_open.restype = c_void_p
        self._library.lmcraft_open.argtypes = [c_void_p]
        self._library.lmcraft_step.argtypes = [c_void_p, c_void_p, c_int32, c_int32, c_int32]
        self._library.lmcraft_close.argtypes = [c_void_p]
        self._packer = ModelPacker(weights)  # owns the memory that the layout points to
        self._logits = torch.empty(
            MAX_ROWS_PER_STEP, model.config.vocab_size
        )  # reused, because the operating system clears new memory
        self.adapters = {"": None, **self._packer.pack_adapters(adapters or {})}
        """The supported ones, and "" for none."""
        self._handle = self._library.lmcraft_open(ctypes.byref(self._packer.pack_model(model, pool, max_threads)))

    def __del__(self) -> None:
        if self._handle:
            self._library.lmcraft_close(self._handle)

    def step(self, rows: Sequence[DecodeRow], threads: int, *, prompt: bool = False) -> NextTokenLogits:
        """Compute one token in each row: store its keys and values, and score the token after it.

        Rows may be consecutive tokens of one request. A row's numbers depend neither on the other rows nor on `threads`.

        Args:
            rows: at most 64; of prompts 256, of which at most 64 need logits.
            threads: how many compute the step.
            prompt: the rows are tokens of prompts, which are multiplied in a way that suits many rows; the numbers of
                weights that are not quantized differ from those of other steps in rounding.

        Returns:
            The scores of those rows that need them; without `prompt`, of all rows.
        """
        assert 1 <= len(rows) <= (MAX_PROMPT_ROWS_PER_STEP if prompt else MAX_ROWS_PER_STEP)
        packed = (Row * len(rows))()
        for native, row in zip(packed, rows, strict=True):
            native.token, native.position, native.blocks = row.token, row.position, row.blocks.data_ptr()
            native.deltas = self.adapters[row.adapter]
        scored = [number for number, row in enumerate(rows) if row.needs_logits or not prompt]
        logits_RV = self._logits[: len(scored)]
        for logits_V, number in zip(logits_RV, scored, strict=True):
            if rows[number].needs_logits:
                packed[number].logits = logits_V.data_ptr()
        self._library.lmcraft_step(self._handle, packed, len(rows), threads, prompt)
        return NextTokenLogits(
            logits_RV, [packed[number].argmax for number in scored], [packed[number].logsumexp for number in scored]
        )
