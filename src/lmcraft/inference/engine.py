"""The engine: many requests, one model, one step at a time (continuous batching, Orca, OSDI 2022).

The scheduler chooses what a step computes, the runner computes it, and the engine accepts proposed tokens and samples new
ones. A text does not depend on what else is in the batch: each row's arithmetic is its own, and so are its random numbers.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from lmcraft.errors import RunError, UserError
from lmcraft.inference.continuation import Token
from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.grammar import GrammarConstraint, structured_output
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.inference.next_token_logits import NextTokenLogits
from lmcraft.inference.prompt import check_prompt
from lmcraft.inference.prompt_chunk import PromptChunk
from lmcraft.inference.request import Request, SequenceState
from lmcraft.inference.runner import Tier, build_runner, stored_weights
from lmcraft.inference.sampler import Sampler
from lmcraft.inference.scheduler import Scheduler, keeps_state
from lmcraft.inference.speculation.draft import DraftProposer
from lmcraft.inference.speculation.prompt_lookup import NGRAM_LENGTHS, PromptLookupProposer
from lmcraft.inference.speculation.proposer import Proposer
from lmcraft.inference.speculation.speculator import Speculator
from lmcraft.inference.steering import Steering
from lmcraft.inference.step_clock import StepClock, busy_clock
from lmcraft.inference.thought_limit import ThoughtLimit
from lmcraft.inference.turns import Turns
from lmcraft.model.lora_linear import select_adapter
from lmcraft.model.transformer import Transformer, encoder_sentence


class Engine:
    """Continues requests: `submit` some, then `step` until they are finished, or iterate over `stream`.

    Safe to use from several threads, which take turns: each step advances the requests of all of them.

    Args:
        model: in `eval` mode.
        weights: the data type of the native tier's matrices; None: the nearest to the model's own.
        tier: "native" is compiled C++, or an error; "eager" is plain PyTorch; "auto" is native if the model is supported.
        cache_tokens: capacity for keys and values, in tokens; 0: 32,768 tokens or 4 GiB, at least one context.
        max_num_seqs: maximum number of requests that run concurrently.
        max_num_batched_tokens: maximum number of tokens per step; 0: one chunk of a prompt and a token of every other
            request. A higher value lets several prompts in at once, and makes running requests wait longer.
        prompt_lookup: propose tokens of greedy continuations from the text so far (exact; native tier only).
        draft: a smaller model with the same vocabulary that proposes tokens for a request that runs alone (exact; native
            tier only).
        adapters: models that share the weights of `model` (`lmcraft.model.lora_linear.with_adapter`), by the names that
            requests use. Adapters trained over weights of other bits than `weights` run in PyTorch, without proposals.
        steering: changes the logits before each token is drawn; None: nothing does.

    Raises:
        UserError: the native tier is required and does not support the model; the draft has a different vocabulary; the
            budget is too small.
    """

    def __init__(
        self,
        model: Transformer,
        *,
        weights: Weights | None = None,
        tier: Tier = "auto",
        cache_tokens: int = 0,
        max_num_seqs: int = 32,
        max_num_batched_tokens: int = 0,
        prompt_lookup: bool = True,
        draft: Transformer | None = None,
        adapters: Mapping[str, Transformer] | None = None,
        steering: Steering | None = None,
    ) -> None:
        self.model, self._steering = model, steering
        self.models = {**(adapters or {}), "": model}
        self.weights: Weights = weights or stored_weights(model)
        self.runner = build_runner(model, tier=tier, weights=weights, cache_tokens=cache_tokens, adapters=adapters)
        self.pool = self.runner.pool
        self._turns, self._busy_seconds = Turns(), busy_clock(model.device)
        proposers: list[Proposer] = [PromptLookupProposer(lengths) for lengths in NGRAM_LENGTHS] if prompt_lookup else []
        if draft is not None:
            proposers.append(self._draft_proposer(draft))
        self._speculator = Speculator(proposers, self.runner)
        self.scheduler = Scheduler(
            self.pool,
            self._speculator,
            context_length=self.context_length,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            max_tokens_per_request=self.runner.max_tokens_per_request,
        )

    def _draft_proposer(self, draft: Transformer) -> DraftProposer:
        if self.tier == "eager":
            raise UserError("a draft needs the native decode step, and this model is decoded in PyTorch: leave draft out")
        if draft.config.is_recurrent:
            raise UserError(
                "the draft has recurrent layers, which cannot take back proposals: choose a draft with attention alone"
            )
        model_size, draft_size = self.model.config.vocab_size, draft.config.vocab_size
        if model_size != draft_size:
            raise UserError(
                f"the draft has vocab_size={draft_size} and the model {model_size}: choose a draft with the same vocabulary"
            )
        return DraftProposer(build_runner(draft))

    @property
    def tier(self) -> Literal["eager", "native"]:
        """The tier that decodes: "native" or "eager"."""
        return self.runner.tier

    @property
    def context_length(self) -> int:
        """Maximum number of tokens of a request, prompt included."""
        return self.runner.context_length

    @property
    def has_work(self) -> bool:
        """Whether `step` has anything to do."""
        return self.scheduler.has_work

    @property
    def cache_usage(self) -> float:
        """Share of the KV cache in use, 0 to 1."""
        return self.pool.usage

    def submit(self, request: Request) -> SequenceState:
        """Check and queue a request; `step` returns its tokens. Set `cancelled` on the result to drop it.

        Raises:
            UserError: as in `prepare`.
        """
        sequence = self.prepare(request)
        self.enqueue(sequence)
        return sequence

    def prepare(self, request: Request) -> SequenceState:
        """Check a request and compile its grammar, for `enqueue`.

        Raises:
            UserError: the prompt is empty, too long or outside the vocabulary; a setting does not fit the model; there is no
                such adapter.
        """
        select_adapter(self.models, request.adapter)
        if self.model.config.bidirectional and request.pooling is None:
            raise UserError(encoder_sentence(self.model.config))
        config, vocab_size = request.config, self.model.config.vocab_size
        if config.num_beams > 1:
            raise UserError(f"num_beams={config.num_beams} is not supported by the engine, which samples: use `generate`")
        max_new_tokens = check_prompt(
            request.prompt_ids,
            config,
            vocab_size=vocab_size,
            context_length=self.context_length,
            tokenizer=request.tokenizer,
        )
        sampler = Sampler(
            config,
            vocab_size=vocab_size,
            eos_token_ids=request.eos_token_ids,
            tokenizer=request.tokenizer,
            logits_processor=(*([self._steering.start()] if self._steering else []), *request.logits_processor),
        )
        constraint: GrammarConstraint | ThoughtLimit | None = None
        if name := structured_output(config)[0]:
            if request.tokenizer is None:
                raise UserError(f"{name} needs a tokenizer: give one, or leave {name} out")
            ends = request.eos_token_ids
            last_resort, owner = request.last_resort_ids, request.owner
            constraint = GrammarConstraint(config, request.tokenizer, vocab_size, ends, last_resort, owner)
        elif config.thinking_token_budget >= 0 and request.thinking is not None and request.tokenizer is not None:
            constraint = ThoughtLimit(request.thinking, request.tokenizer, config.thinking_token_budget)
        return SequenceState(request, max_new_tokens if request.generates else 0, sampler, constraint)

    def enqueue(self, sequence: SequenceState) -> None:
        """Queue a sequence that `prepare` returned."""
        self.scheduler.enqueue(sequence)

    def run(self, requests: Sequence[Request]) -> list[SequenceState]:
        """Submit requests, and compute steps until all of them are finished.

        Raises:
            UserError: as in `submit`.
            Exception: the error of the first request that failed.
        """
        sequences = [self.prepare(request) for request in requests]
        for _ in self._stream(sequences):
            pass
        return sequences

    def stream(self, requests: Sequence[Request]) -> Iterator[Token]:
        """Yield the tokens of requests as they are generated; closing the iterator early cancels them.

        Raises:
            UserError: as in `submit`, before the first token is asked for.
        """
        return self._stream([self.prepare(request) for request in requests])

    def _stream(self, sequences: Sequence[SequenceState]) -> Iterator[Token]:
        num_yielded = [0] * len(sequences)

        def has_news() -> bool:
            lengths = [len(sequence.generated) for sequence in sequences]
            return lengths != num_yielded or all(sequence.finished for sequence in sequences)

        try:
            for sequence in sequences:
                self.enqueue(sequence)
            ended = False
            while not ended:
                self.step(unless=has_news)
                ended = all(sequence.finished for sequence in sequences)
                for n, sequence in enumerate(sequences):
                    new = sequence.generated[num_yielded[n] :]
                    num_yielded[n] += len(new)
                    yield from new
            for sequence in sequences:
                if sequence.error is not None:
                    raise sequence.error
        finally:
            for sequence in sequences:
                sequence.cancelled = True

    @torch.inference_mode()
    def score(self, ids: Sequence[int], adapter: str = "") -> Tensor:
        """The logits after each token of a text, (T, V), float32, computed at once, between two steps.

        Raises:
            UserError: the text is empty, too long or outside the vocabulary; there is no such adapter; running requests
                leave no room for it.
            RunError: the model's outputs are not numbers.
        """
        config = GenerationConfig(max_new_tokens=1)
        sequence = self.prepare(Request(prompt_ids=tuple(ids), config=config, adapter=adapter))
        with self._turns.take():
            if not self.pool.allocate(sequence.block_table, len(ids)):
                raise UserError(
                    f"a text of {len(ids)} tokens does not fit into the cache next to the running requests: try again later"
                )
            try:
                (logits,) = self.runner.prefill([PromptChunk(sequence.block_table, 0, ids, adapter, all_rows=True)])
                self._check_logits(logits, adapter)
                return logits.logits
            finally:
                self.pool.free(sequence.block_table)

    def step(self, unless: Callable[[], bool] = lambda: False) -> list[tuple[SequenceState, Token]]:
        """Compute one batch; returns the new tokens, in order within each sequence.

        An exception in the work for one sequence ends that sequence only (`SequenceState.error`).

        Args:
            unless: no step is computed if this is true after the steps of other threads.
        """
        with self._turns.take(unless) as taken:
            return self._step() if taken else []

    @torch.inference_mode()
    def _step(self) -> list[tuple[SequenceState, Token]]:
        batch, clock = self.scheduler.next_batch(), StepClock(self._busy_seconds)
        tokens: list[tuple[SequenceState, Token]] = []
        read = [(sequence, stop - sequence.num_computed) for sequence, stop in batch.prefill]
        for sequence, stop in batch.prefill:
            if sequence.pooled is not None:
                self._compute_hidden_states(sequence, stop)
        tokens += self._prefill([(sequence, stop) for sequence, stop in batch.prefill if sequence.pooled is None])
        self._charge(read, clock)
        for sequence, ids, logits, first_row in self.runner.decode(batch.decode):
            tokens += self._accept(sequence, ids, logits, first_row)
        if len(batch.decode) == 1:
            self._speculator.step_times.record(len(batch.decode[0][1]), clock.seconds)
        self._charge([(sequence, len(ids)) for sequence, ids in batch.decode], clock)
        self.scheduler.remove_finished()
        return tokens

    def _charge(self, work: Sequence[tuple[SequenceState, int]], clock: StepClock) -> None:
        """End a part of a step: its time is charged to each of its clients, and divided among its sequences."""
        seconds = clock.end_part(work)
        for client in {sequence.request.client for sequence, _ in work}:
            self.scheduler.share.charge(client, seconds)

    def _compute_hidden_states(self, sequence: SequenceState, stop: int) -> None:
        """Compute a sequence that is pooled up to the position `stop`."""
        request, first = sequence.request, sequence.num_computed
        assert sequence.pooled is not None
        if self.model.config.bidirectional:  # each token reads all others, so the last chunk is the whole text
            first = 0
            if stop < sequence.prompt_length:
                sequence.num_computed = stop
                return
        try:
            ids = sequence.tokens[first:stop]
            hidden_TC = self.runner.hidden_states(sequence.block_table, first, ids, request.adapter)
            if not bool(hidden_TC.isfinite().all()):
                raise damaged_model_error(self.models[request.adapter])
            sequence.pooled.add(hidden_TC, first)
            sequence.num_computed = stop
            sequence.finished = stop == sequence.prompt_length
        except BaseException as error:
            _fail(sequence, error)

    def _prefill(self, work: Sequence[tuple[SequenceState, int]]) -> list[tuple[SequenceState, Token]]:
        """Compute the prompts of sequences, each up to a position; returns the first tokens after finished prompts."""
        tokens: list[tuple[SequenceState, Token]] = []
        results = self.runner.prefill([_chunk(sequence, stop) for sequence, stop in work])
        for sequence, stop in work:
            try:
                logits = next(results)
            except BaseException as error:
                _fail(sequence, error)
                break  # later steps compute the others
            try:
                tokens += self._finish_chunk(sequence, stop, logits)
            except BaseException as error:
                _fail(sequence, error)
        return tokens

    def _finish_chunk(
        self, sequence: SequenceState, stop: int, logits: NextTokenLogits
    ) -> list[tuple[SequenceState, Token]]:
        scores = sequence.needs_scores
        if scores or stop >= sequence.prompt_length:
            self._check_logits(logits, sequence.request.adapter)
        self.pool.publish(sequence.block_table, sequence.tokens[:stop], sequence.salt, keep_state=keeps_state(stop))
        if scores:
            sequence.score_prompt(logits)
        sequence.num_computed = stop
        if stop < sequence.prompt_length or len(sequence.tokens) > sequence.prompt_length:
            return []
        if not sequence.request.generates:
            sequence.finished = True
            return []
        return self._sample(sequence, logits, len(logits.argmax) - 1)

    def _check_logits(self, logits: NextTokenLogits, adapter: str) -> None:
        """Raise RunError if the model's outputs are not numbers; logits may be -inf."""
        if not all(map(math.isfinite, logits.logsumexp)):
            raise damaged_model_error(self.models[adapter])

    def _accept(
        self, sequence: SequenceState, ids: Sequence[int], logits: NextTokenLogits, first_row: int
    ) -> list[tuple[SequenceState, Token]]:
        """Sample after each of the computed tokens, up to the first proposal that differs from the token sampled for it."""
        tokens: list[tuple[SequenceState, Token]] = []
        for n, token_id in enumerate(ids):
            position = sequence.num_computed
            if position < len(sequence.tokens):
                if sequence.tokens[position] != token_id:  # a rejected proposal; later ones depend on it
                    break
            elif sequence.finished:
                break
            sequence.num_computed += 1
            if sequence.num_computed == len(sequence.tokens) and not sequence.finished:
                tokens += self._sample(sequence, logits, first_row + n)
        return tokens

    def _sample(self, sequence: SequenceState, logits: NextTokenLogits, row: int) -> list[tuple[SequenceState, Token]]:
        """The next token; none if the sequence fails (its grammar, say), which ends this sequence only."""
        constraint = sequence.constraint
        try:
            if not math.isfinite(logits.logsumexp[row]):
                raise damaged_model_error(self.models[sequence.request.adapter])
            token_id = logits.argmax[row]
            if not sequence.takes_argmax:
                logits_1V = logits.logits[row : row + 1]
                ids_1 = sequence.sampler.next_tokens(
                    logits_1V if constraint is None else constraint.mask_logits(logits_1V),
                    torch.tensor([sequence.tokens]),
                    prompt_length=sequence.prompt_length,
                    generator=sequence.generator,
                )
                token_id = int(ids_1)
            logprob = float(logits.logits[row, token_id]) - logits.logsumexp[row]
            alternatives = logits.top(row, sequence.request.top_logprobs)
            return [(sequence, sequence.append(token_id, logprob, alternatives))]
        except BaseException as error:
            _fail(sequence, error)
            return []


def _chunk(sequence: SequenceState, stop: int) -> PromptChunk:
    """The tokens of a prompt that are to be computed next, up to the position `stop`."""
    first = sequence.num_computed
    ids, adapter = sequence.tokens[first:stop], sequence.request.adapter
    return PromptChunk(sequence.block_table, first, ids, adapter, all_rows=sequence.needs_scores)


def _fail(sequence: SequenceState, error: BaseException) -> None:
    """End the sequence with an exception of its own work; libraries in Rust raise PanicException, too."""
    if isinstance(error, Exception):
        sequence.fail(error)
    elif type(error).__name__ == "PanicException":
        sequence.fail(RunError(f"a library failed on this request: {error}"))
    else:
        raise error
