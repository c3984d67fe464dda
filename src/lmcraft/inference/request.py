"""The three things that an engine works with: what is asked for, how far it has come, and what one step computes."""

import hashlib
import time
from collections.abc import Sequence as Ids
from dataclasses import dataclass, field
from math import inf
from uuid import uuid4

import torch

from lmcraft.errors import UserError
from lmcraft.inference.block_pool import Holding
from lmcraft.inference.continuation import Row, Token
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.grammar import Constraint
from lmcraft.inference.sampler import Sampler
from lmcraft.inference.speculation.prompt_lookup import Lookup, Luck
from lmcraft.inference.text_stream import TextStream
from lmcraft.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt, and how it is to be continued once."""

    prompt_ids: tuple[int, ...]
    config: GenerationConfig = field(default_factory=GenerationConfig)
    eos_token_ids: frozenset[int] = frozenset()
    """Tokens that end the continuation; the one that does is its last."""
    tokenizer: Tokenizer | None = None
    """Fills in `Token.text`; needed for `config.stop`."""
    row: int = 0
    """Which of `config.num_return_sequences`."""
    adapter: str = ""
    """Name of one of the engine's adapters; empty: the base model alone."""
    top_logprobs: int = 0
    """How many of the likeliest tokens to tell in each place (`Token.alternatives`)."""
    owner: str = ""
    """Keys and values are shared among requests of one owner, and of one adapter, only."""
    deadline: float = inf
    """When to give up, by `time.monotonic()`."""
    id: str = field(default_factory=lambda: uuid4().hex)
    """Says its draws too, where no seed does: the same prompt, settings and id give the same text, whatever else runs."""

    @property
    def seed(self) -> int:
        """Of its draws."""
        if self.config.seed is not None:
            return self.config.seed + self.row
        return int.from_bytes(hashlib.sha256(self.id.encode()).digest()[:7]) + self.row


class Sequence:
    """A request on its way: its tokens, and for how many of them keys and values are in the pool."""

    def __init__(self, request: Request, room: int, sampler: Sampler, constraint: Constraint | None = None) -> None:
        """`room` is the maximum number of new tokens; `sampler` chooses them, among those that `constraint` allows."""
        self.request = request
        self.tokens = list(request.prompt_ids)
        self.computed = 0
        self.holding = Holding()
        self.cancelled = False
        self.generator = torch.Generator().manual_seed(request.seed)
        text = TextStream(request.tokenizer, request.config.stop) if request.tokenizer else None
        self.room = room
        self._row = Row(request.row, room, request.eos_token_ids, text)
        self.sampler = sampler
        self.constraint = constraint
        self.lookup = Lookup()
        self.luck = Luck()
        self.found: list[Token] = []
        self.finished = False
        self.error: UserError | None = None
        """Why it ended before its time: its grammar costs too much to follow."""

    @property
    def prompt_length(self) -> int:
        return len(self.request.prompt_ids)

    @property
    def salt(self) -> bytes:
        return repr((self.request.owner, self.request.adapter)).encode()

    @property
    def expired(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.cancelled or time.monotonic() > self.request.deadline

    def accept(self, token_id: int, logprob: float, alternatives: tuple[tuple[int, float], ...] = ()) -> Token:
        """Append the next token."""
        self.tokens.append(token_id)
        if self.constraint is not None:
            self.constraint.accept(token_id)
        last = self.constraint is not None and self.constraint.finished
        token = self._row.accept(token_id, logprob, last=last, alternatives=alternatives)
        self.found.append(token)
        self.finished = token.finish_reason is not None
        return token


@dataclass(frozen=True)
class Batch:
    """What one step computes: pieces of prompts, and some tokens of sequences that grow."""

    prefill: list[tuple[Sequence, int]]
    """Each sequence, and up to which of its tokens."""
    decode: list[tuple[Sequence, Ids[int]]]
    """Each with its next tokens to compute: the last one, and guesses of what follows, or several that are known."""
