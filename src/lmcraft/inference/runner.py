"""The interface of a tier, which computes the logits, and the choice between the native and the eager tier.

Shapes: T tokens, C hidden size.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal, Protocol

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.block_pool import BLOCK_TOKENS, MAX_SNAPSHOT_BYTES, BlockPool, BlockTable
from lmcraft.inference.eager_runner import EagerRunner
from lmcraft.inference.native.decoder import unsupported_feature, unsupported_reason
from lmcraft.inference.native.runner import NativeRunner
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.inference.next_token_logits import NextTokenLogits
from lmcraft.inference.prompt_chunk import PromptChunk
from lmcraft.inference.request import SequenceState
from lmcraft.machine import free_memory
from lmcraft.model.linear import quantized_form
from lmcraft.model.transformer import Transformer

MAX_CACHE_BYTES = 4 * 2**30  # of keys and values, unless a single context needs more
DEFAULT_CACHE_TOKENS = 32_768
MAX_DEFAULT_CACHE_TOKENS = 2**20  # even if the model's files claim a longer context

Tier = Literal["auto", "native", "eager"]


class Runner(Protocol):
    """Runs a model over the keys and values in a pool. Called by one thread at a time, in inference mode."""

    @property
    def tier(self) -> Literal["eager", "native"]: ...

    @property
    def pool(self) -> BlockPool: ...

    @property
    def context_length(self) -> int:
        """Maximum number of tokens of a sequence, prompt included."""
        ...

    @property
    def max_tokens_per_request(self) -> int:
        """Maximum number of tokens of one sequence in a decode step."""
        ...

    def can_verify(self, adapter: str) -> bool:
        """Whether a decode step computes several tokens of a sequence together, so that proposals save steps."""
        ...

    def prefill(self, chunks: Sequence[PromptChunk]) -> Iterator[NextTokenLogits]:
        """Compute chunks of prompts, several together where that is faster.

        Yields for each chunk, in order, the scores of the token after it; with `all_rows` there is a row for each of its
        tokens, and the last one has the same numbers as without. They are valid until the next item.
        """
        ...

    def hidden_states(self, table: BlockTable, num_computed: int, ids: Sequence[int], adapter: str) -> Tensor:
        """Compute tokens after the first `num_computed`, in PyTorch; their states after the final norm, (T, C), on the CPU.

        Their keys and values may differ in rounding from those that `prefill` computes.
        """
        ...

    def decode(
        self, work: Sequence[tuple[SequenceState, Sequence[int]]]
    ) -> Iterator[tuple[SequenceState, Sequence[int], NextTokenLogits, int]]:
        """Compute the next tokens of several sequences.

        Yields each sequence with those of its tokens that were computed, the logits, and the row of the first token. The
        logits are valid until the next item.
        """
        ...


def build_runner(
    model: Transformer,
    *,
    tier: Tier = "auto",
    weights: Weights | None = None,
    cache_tokens: int = 0,
    adapters: Mapping[str, Transformer] | None = None,
) -> Runner:
    """A runner with its own pool of keys and values; arguments as in `Engine`.

    Raises:
        UserError: the native tier is required and does not support the model.
    """
    reason = unsupported_reason(model) if tier != "eager" else ""
    if reason and (tier == "native" or weights in ("int8", "int4")):
        problem = "does not support this model" if unsupported_feature(model) else "cannot be compiled"
        remedy = "use tier='auto'" if tier == "native" else f"leave out weights={weights}, and PyTorch decodes"
        raise UserError(f"the native decode step {problem}: {reason}; {remedy}")
    if reason and not unsupported_feature(model):
        _explain_slow_tier(reason)
    native = tier != "eager" and not reason
    weights = weights or stored_weights(model)
    dtype = torch.float16 if native and weights != "float32" else model.compute_dtype
    num_tokens = cache_tokens or default_cache_tokens(model, dtype)
    pool = BlockPool(
        model.config,
        num_tokens=num_tokens,
        dtype=dtype,
        device=model.device,
        snapshot_bytes=min(MAX_SNAPSHOT_BYTES, free_memory(model.device) // 4),
    )
    eager = EagerRunner({**(adapters or {}), "": model}, pool)
    return NativeRunner(eager, model, weights, adapters or {}) if native else eager


@cache
def _explain_slow_tier(reason: str) -> None:
    """Say once why a model that the native step could run is decoded in PyTorch."""
    print(f"PyTorch decodes, several times slower than the native kernels: {reason}", file=sys.stderr, flush=True)


def stored_weights(model: Transformer) -> Weights:
    """The native weight type nearest to that of the model's folder."""
    forms = [quantized_form(layer) for layer in model.layers.modules()]
    if stored := {form.bits for form in forms if form is not None}:
        return "int4" if 4 in stored else "int8"
    return "float32" if model.compute_dtype == torch.float32 else "bfloat16"


def default_cache_tokens(model: Transformer, dtype: torch.dtype) -> int:
    """Room for 32,768 tokens in at most 4 GiB, but at least for one context, if half of the free memory holds one."""
    c = model.config
    shapes = [c.cache_shape(layer) or (0, 0, 0) for layer in range(c.num_hidden_layers)]
    bytes_per_token = sum(heads * (key + value) for heads, key, value in shapes) * dtype.itemsize
    if not bytes_per_token:  # recurrent layers alone
        return MAX_DEFAULT_CACHE_TOKENS
    num_tokens = max(c.max_position_embeddings, min(DEFAULT_CACHE_TOKENS, MAX_CACHE_BYTES // bytes_per_token))
    return min(num_tokens, MAX_DEFAULT_CACHE_TOKENS, max(BLOCK_TOKENS, free_memory(model.device) // 2 // bytes_per_token))
