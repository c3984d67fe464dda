"""A chunk of a prompt, which a runner computes together with others."""

from collections.abc import Sequence
from dataclasses import dataclass

from lmcraft.inference.block_pool import BlockTable


@dataclass(frozen=True)
class PromptChunk:
    """Consecutive tokens of one request."""

    table: BlockTable
    """The request's blocks; they reach to the end of the chunk."""
    num_computed: int
    """How many tokens of the request come before the chunk."""
    ids: Sequence[int]
    adapter: str = ""
    all_rows: bool = False
    """Whether the logits after each of the tokens are needed, rather than those after the last one."""
