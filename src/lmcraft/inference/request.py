"""A request for one continuation, or for scores or hidden states of a prompt, and its state while the engine works on it."""

import hashlib
import time
from dataclasses import dataclass, field
from math import inf
from uuid import uuid4

import torch

from lmcraft.inference.block_pool import BlockTable
from lmcraft.inference.continuation import Continuation, Token
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.grammar import GrammarConstraint
from lmcraft.inference.next_token_logits import NextTokenLogits
from lmcraft.inference.pooling import HiddenStatePool, Pooling
from lmcraft.inference.sampler import LogitsProcessor, Sampler
from lmcraft.inference.scoring import TokenScore, score_next_tokens
from lmcraft.inference.text_stream import TextStream
from lmcraft.inference.thought_limit import ThoughtLimit
from lmcraft.inference.thoughts import Thinking
from lmcraft.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt, and the settings of one continuation."""

    prompt_ids: tuple[int, ...]
    config: GenerationConfig = field(default_factory=GenerationConfig)
    eos_token_ids: frozenset[int] = frozenset()
    """Tokens that end the continuation, and are its last token."""
    last_resort_ids: frozenset[int] = frozenset()
    """Those of them that end text of a given structure only where no other token may follow."""
    tokenizer: Tokenizer | None = None
    """Fills in `Token.text`; needed for `config.stop`."""
    row: int = 0
    """Index among the `config.num_return_sequences` continuations of the prompt."""
    adapter: str = ""
    """Name of one of the engine's adapters; empty: the base model."""
    logits_processor: tuple[LogitsProcessor, ...] = ()
    """Called in order after the penalties."""
    top_logprobs: int = 0
    """How many of the most likely tokens to report at each position (`Token.alternatives`)."""
    prompt_logprobs: int | None = None
    """How many of the most likely tokens to report at each position of the prompt, beside the score of the prompt's own
    token (`SequenceState.prompt_scores`); None: score no prompt."""
    first_scored: int = 1
    """Position of the first token that `prompt_logprobs` scores; the first token of all has no score."""
    pooling: Pooling | None = None
    """Collect the hidden states of the prompt (`SequenceState.pooled`) instead of generating."""
    generates: bool = True
    """Whether the prompt is continued; otherwise the request ends when its prompt is computed."""
    thinking: Thinking | None = None
    """How the continuation begins, if it may begin with thoughts; `config.thinking_token_budget` limits them."""
    structure_field: str = ""
    """How errors call the schema, the regular expression or the grammar; empty: by the name of its setting."""
    client: str = ""
    """Whose request it is: the engine's time is shared fairly among clients."""
    owner: str = ""
    """Cached prefixes are shared only among requests with the same owner and adapter, compiled grammars only among those of
    the same owner."""
    deadline: float = inf
    """When the request expires, by `time.monotonic()`."""
    id: str = field(default_factory=lambda: uuid4().hex)
    """Seeds the sampling if `config.seed` is unset: same prompt, settings and id, same text, whatever else is running."""

    @property
    def seed(self) -> int:
        """Seed of the random numbers that draw the tokens."""
        if self.config.seed is not None:
            return self.config.seed + self.row
        return int.from_bytes(hashlib.sha256(self.id.encode()).digest()[:7]) + self.row


class SequenceState:
    """A request in the engine: its tokens so far, and how many of them have keys and values in the pool.

    Args:
        request: the request.
        max_new_tokens: maximum number of tokens after the prompt.
        sampler: chooses the tokens.
        constraint: restricts the choice; None: any token.
    """

    def __init__(
        self,
        request: Request,
        max_new_tokens: int,
        sampler: Sampler,
        constraint: GrammarConstraint | ThoughtLimit | None = None,
    ) -> None:
        self.request = request
        self.tokens = list(request.prompt_ids)
        self.prompt_length = len(request.prompt_ids)
        self.num_computed = 0
        self.block_table = BlockTable()
        self.cancelled = False
        """Set it to drop the request at the next step."""
        self.generator = torch.Generator().manual_seed(request.seed)
        text = TextStream(request.tokenizer, request.config.stop) if request.tokenizer else None
        self.max_new_tokens = max_new_tokens
        self._continuation = Continuation(request.row, max_new_tokens, request.eos_token_ids, text)
        self.sampler = sampler
        self.constraint = constraint
        self.takes_argmax = constraint is None and request.config.is_model_argmax and not sampler.logits_processor
        """Whether each token is the model's most likely one, so that no sampler needs to run."""
        self.generated: list[Token] = []
        self.prompt_scores: list[TokenScore] = []
        """Scores of the prompt's tokens from `Request.first_scored` on, if it asks for them."""
        self.pooled = HiddenStatePool(request.pooling) if request.pooling else None
        self.started = False
        """Whether the engine has begun to work on it."""
        self.num_cached = 0
        """How many of the prompt's tokens the engine did not compute, because an earlier request began with them."""
        self.last_turn = 0
        """Number of its last turn among the sequences of its client; 0: none yet."""
        self.work_seconds = 0.0
        """Its share of the engine's steps, by tokens: processor time of all threads, or seconds of a GPU."""
        self.work_tokens = 0
        """How many tokens the engine has computed for it, with those computed twice or in vain."""
        self.finished = False
        self.error: Exception | None = None
        """Why the request failed; it has ended, and no other request is affected."""

    @property
    def num_reusable(self) -> int:
        """How many of the prompt's tokens need not be computed if their keys and values are known."""
        if self.pooled is not None:
            return 0
        if self.request.prompt_logprobs is None:
            return self.prompt_length
        return self.request.first_scored - 1 + len(self.prompt_scores)

    @property
    def needs_scores(self) -> bool:
        """Whether tokens of the prompt are still to be scored."""
        return self.request.prompt_logprobs is not None and self.num_reusable < self.prompt_length - 1

    def score_prompt(self, logits: NextTokenLogits) -> None:
        """Score the prompt's tokens after each of the rows, which begin at position `num_computed`."""
        first = max(self.num_reusable, self.num_computed)
        next_ids = self.request.prompt_ids[first + 1 : self.num_computed + len(logits.argmax) + 1]
        if next_ids:
            count = self.request.prompt_logprobs or 0
            self.prompt_scores += score_next_tokens(logits, first - self.num_computed, next_ids, count)

    @property
    def salt(self) -> bytes:
        """Separates its cached blocks from those of other owners and adapters, and of requests with other chunks."""
        return repr((self.request.owner, self.request.adapter, self.request.generates)).encode()

    @property
    def expired(self) -> bool:
        """Whether nobody is waiting for it anymore."""
        return self.cancelled or time.monotonic() > self.request.deadline

    def fail(self, error: Exception) -> None:
        """End the request with an error."""
        self.error, self.finished = error, True

    def append(self, token_id: int, logprob: float, alternatives: tuple[tuple[int, float], ...] = ()) -> Token:
        """Append the next token."""
        self.tokens.append(token_id)
        if self.constraint is not None:
            self.constraint.accept(token_id)
        last = self.constraint is not None and self.constraint.finished
        token = self._continuation.append(token_id, logprob, last=last, alternatives=alternatives)
        self.generated.append(token)
        self.finished = token.finish_reason is not None
        return token
