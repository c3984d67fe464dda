"""The engine: many requests, one model, one step at a time (continuous batching, Orca, OSDI 2022).

A step computes pieces of prompts, within a budget, and one token or a few of every sequence that grows: in the native
operation where it covers the model, else row by row in PyTorch. Prompts of weights that are not quantized are for PyTorch
too, whose products of many rows are faster there. The numbers of a sequence do not depend on what else is in the batch:
prompts are always cut at the same places, and a row's arithmetic is its own. Each may have an adapter of its own.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Ids
from typing import Literal

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.block_pool import BlockPool, Holding
from lmcraft.inference.continuation import Token, room_for
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.grammar import Constraint, structure_of
from lmcraft.inference.native import NativeDecoder, reason_against
from lmcraft.inference.native.decoder import MOST_ROWS, DecodeRow, Scores, Weights
from lmcraft.inference.paged_cache import PagedCache
from lmcraft.inference.request import Batch, Request, Sequence
from lmcraft.inference.sampler import Sampler
from lmcraft.inference.speculation.draft import Draft
from lmcraft.inference.speculation.proposer import Guesser
from lmcraft.inference.threads import ThreadChoice, one_thread
from lmcraft.model.lora_linear import select_adapter
from lmcraft.model.quantized_matrix import QuantizedMatrix
from lmcraft.model.transformer import Transformer

# Prompts are computed in pieces of so many tokens, cut at multiples of it, and shared in no smaller ones: the products of
# another length may be rounded otherwise.
PIECE = 256
MOST_BYTES = 4 * 2**30  # of keys and values, unless one context alone needs more
DEFAULT_TOKENS = 32_768

Tier = Literal["auto", "native", "eager"]


class Engine:
    """Continues requests; `submit` some and take `step`s, or iterate over `run`.

    Not safe for several threads at once: a server gives it one of its own.

    Args:
        model: in `eval` mode.
        weights: what the native operation reads; None: the model's own type, as near as it has one.
        tier: "native" compiles and packs, and fails where it cannot; "eager" is plain PyTorch; "auto" takes what there is.
        cache_tokens: room for keys and values, in tokens; 0: by a rule.
        max_num_seqs: how many sequences may run at once.
        max_num_batched_tokens: how many tokens a step computes at most; 0: one piece of a prompt and a token of every other
            sequence. More lets several prompts in at once, and makes those that grow wait longer.
        lookup: guess tokens of greedy continuations from what the text said before (exact; native tier only).
        draft: a smaller model of the same vocabulary that guesses for a sequence that grows alone (exact; native tier only).
        adapters: what a request may name: models that share the weights of `model` (`lora_linear.with_adapter`).
            Those that were trained beside weights in other bits than `weights` are decoded in PyTorch, without guesses.

    Raises:
        UserError: the native tier is asked for and cannot be had; the draft is of another vocabulary; the budget is too
            small.
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
        lookup: bool = True,
        draft: Transformer | None = None,
        adapters: Mapping[str, Transformer] | None = None,
    ) -> None:
        self.model = model
        self.models = {**(adapters or {}), "": model}
        self.max_num_seqs = max_num_seqs
        least = PIECE + max_num_seqs
        if 0 < max_num_batched_tokens < least:
            raise UserError(
                f"max_num_batched_tokens={max_num_batched_tokens} is less than a piece of {PIECE} tokens and one of each of "
                f"max_num_seqs={max_num_seqs}: set at least {least}"
            )
        self.max_num_batched_tokens = max_num_batched_tokens or least
        against = reason_against(model) if tier != "eager" else "eager was asked for"
        if against and (tier == "native" or (weights in ("int8", "int4") and tier != "eager")):
            raise UserError(f"the native decode step cannot run this model here: {against}; use tier='eager'")
        self.tier: Literal["native", "eager"] = "eager" if against else "native"
        self.weights: Weights = weights or _stored_weights(model)
        exact = self.tier == "eager" or self.weights == "float32"
        cache_dtype = model.compute_dtype if exact else torch.float16
        self.pool = BlockPool(
            model.config, tokens=cache_tokens or _cache_tokens(model, cache_dtype), dtype=cache_dtype, device=model.device
        )
        self._native = None
        if self.tier == "native":
            most = torch.get_num_threads()
            self._threads = {rows: ThreadChoice(most) for rows in range(1, MOST_ROWS + 1)}
            self._native = NativeDecoder(model, self.pool, self.weights, most_threads=most, adapters=adapters)
            self._guesser = Guesser(self._threads, lookup, None if draft is None else self._drafted_by(draft))
        elif draft is not None:
            raise UserError("a draft needs the native decode step, and this model is decoded in PyTorch: leave draft out")
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []

    def _native_for(self, adapter: str) -> NativeDecoder | None:
        return self._native if self._native is not None and adapter in self._native.adapters else None

    def _drafted_by(self, draft: Transformer) -> Draft:
        mine, theirs = self.model.config.vocab_size, draft.config.vocab_size
        if mine != theirs:
            raise UserError(f"the draft has vocab_size={theirs} and the model {mine}: choose a draft of the same vocabulary")
        return Draft(Engine(draft, lookup=False))

    @property
    def has_work(self) -> bool:
        """Whether a step would compute or drop anything."""
        return bool(self.running or self.waiting)

    @property
    def cache_usage(self) -> float:
        """The share of the KV cache that is in use, 0 to 1."""
        return 1 - self.pool.available / self.pool.count

    @property
    def context(self) -> int:
        """Most tokens that a sequence may have."""
        return min(self.model.config.max_position_embeddings, self.pool.places)

    def submit(self, request: Request) -> Sequence:
        """Queue a request; its tokens come out of `step`. Set `cancelled` of what is returned to give up.

        Raises:
            UserError: as in `prepare`.
        """
        sequence = self.prepare(request)
        self.enqueue(sequence)
        return sequence

    def enqueue(self, state: Sequence) -> None:
        """Queue what `prepare` returned."""
        self.waiting.append(state)

    def prepare(self, request: Request) -> Sequence:
        """What `waiting` takes: the request checked, its grammar compiled. Any thread may do this.

        Raises:
            UserError: the prompt is empty, too long or of another vocabulary; a setting does not fit; there is no such
                adapter.
        """
        select_adapter(self.models, request.adapter)
        config, prompt_ids, vocab_size = request.config, request.prompt_ids, self.model.config.vocab_size
        if config.num_beams > 1:
            raise UserError(f"num_beams={config.num_beams} is not for the engine, which samples: use `generate`")
        if config.stop and request.tokenizer is None:
            raise UserError(f"stop={config.stop!r} needs a tokenizer: give one, or leave stop out")
        if outside := [i for i in prompt_ids if not 0 <= i < vocab_size]:
            raise UserError(f"the prompt has token {outside[0]}, but the model's are 0 to {vocab_size - 1}")
        sampler = Sampler(config, vocab_size=vocab_size, tokenizer=request.tokenizer)
        room = room_for(self.context, len(prompt_ids), config)
        return Sequence(request, room, sampler, self._constraint(request))

    def _constraint(self, request: Request) -> Constraint | None:
        name, _ = structure_of(request.config)
        if not name:
            return None
        if request.tokenizer is None:
            raise UserError(f"{name} needs a tokenizer: give one, or leave {name} out")
        return Constraint(request.config, request.tokenizer, self.model.config.vocab_size, request.eos_token_ids)

    def run(self) -> Iterator[tuple[Sequence, Token]]:
        """Step until nothing is left to do."""
        while self.waiting or self.running:
            yield from self.step()

    def stream(self, requests: Ids[Request]) -> Iterator[Token]:
        """The tokens of some requests as they are found, whoever else steps; leaving early cancels them.

        Raises:
            UserError: as in `submit`.
        """
        sequences = [self.submit(request) for request in requests]
        given = [0] * len(sequences)
        try:
            while True:
                for n, sequence in enumerate(sequences):
                    new = sequence.found[given[n] :]
                    given[n] += len(new)
                    yield from new
                if all(sequence.finished for sequence in sequences):
                    break
                self.step()
            for sequence in sequences:
                if sequence.error is not None:
                    raise sequence.error
        finally:
            for sequence in sequences:
                sequence.cancelled = True

    @torch.inference_mode()
    def score(self, ids: Ids[int], adapter: str = "") -> Tensor:
        """The logits after each token of a text, (T, V), float32, in the arithmetic of decoding.

        Raises:
            UserError: the text is empty, too long or of another vocabulary; there is no such adapter.
        """
        ask = Request(prompt_ids=tuple(ids), config=GenerationConfig(max_new_tokens=1), adapter=adapter)
        sequence = self.prepare(ask)
        if not self.pool.extend(sequence.holding, len(ids)):
            raise UserError(f"a text of {len(ids)} tokens finds no room beside the running requests: wait for them")
        try:
            native = self._native_for(adapter)
            if native is None:
                cache = PagedCache(self.pool, sequence.holding, 0)
                logits_1TV: Tensor = self.models[adapter](torch.tensor([ids], device=self.model.device), cache=cache)
                return logits_1TV[0].float().cpu()
            blocks = torch.tensor(sequence.holding.blocks, dtype=torch.int32)
            logits = []
            for start in range(0, len(ids), MOST_ROWS):
                some = ids[start : start + MOST_ROWS]
                rows = [DecodeRow(i, start + n, blocks, adapter=adapter) for n, i in enumerate(some)]
                with self._threads[len(rows)].measured() as threads:
                    logits.append(native.step(rows, threads).logits.clone())
            return torch.cat(logits)
        finally:
            self.pool.release(sequence.holding)

    @torch.inference_mode()
    def step(self) -> list[tuple[Sequence, Token]]:
        """Compute one batch; returns the tokens that it found, in order within each sequence."""
        self._drop_expired()
        batch = self._next_batch()
        found: list[tuple[Sequence, Token]] = []
        for sequence, stop in batch.prefill:
            found += self._prefill(sequence, stop)
        found += self._decode(batch.decode)
        for sequence in [sequence for sequence in self.running if sequence.finished]:
            self._remove(sequence)
        return found

    # What to compute

    def _drop_expired(self) -> None:
        for sequence in [sequence for sequence in self.running if sequence.expired]:
            self._remove(sequence)
        for sequence in [sequence for sequence in self.waiting if sequence.expired]:
            self.waiting.remove(sequence)

    def _remove(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self.pool.release(sequence.holding)

    def _next_batch(self) -> Batch:
        self._admit()
        growing = [sequence for sequence in self.running if sequence.computed >= sequence.prompt_length]
        decode: list[tuple[Sequence, Ids[int]]] = []
        room = self.max_num_batched_tokens - len(growing)  # beside one token of each
        for sequence in growing:
            if sequence in self.running:  # it had not to make room
                ids = self._ids_of(sequence, room + 1, alone=len(growing) == 1)
                if self._make_room(sequence, sequence.computed + len(ids)):
                    decode.append((sequence, ids))
                    room -= len(ids) - 1
        prefill = []
        for sequence in self.running:  # the oldest prompt first
            if sequence.computed < sequence.prompt_length:
                stop = min((sequence.computed // PIECE + 1) * PIECE, sequence.prompt_length)
                room -= stop - sequence.computed
                if room < 0:
                    break
                prefill.append((sequence, stop))
        return Batch(prefill, [pair for pair in decode if pair[0] in self.running])

    def _admit(self) -> None:
        """Let sequences in while there is room for all of their tokens so far and one more."""
        while self.waiting and len(self.running) < self.max_num_seqs:
            sequence = self.waiting[0]
            prompt = sequence.tokens[: sequence.prompt_length]
            found = self.pool.find(sequence.holding, prompt, sequence.salt, PIECE // self.pool.block_size)
            if not self.pool.extend(sequence.holding, len(sequence.tokens) + 1):
                self.pool.release(sequence.holding)
                if not self.running:  # one sequence alone always fits: `submit` saw to that
                    raise AssertionError("an empty pool has no room")
                return
            self.waiting.popleft()
            sequence.computed = found
            self.running.append(sequence)

    def _ids_of(self, sequence: Sequence, room: int, *, alone: bool) -> Ids[int]:
        """The tokens to compute next: those that are known and not computed, or the last one and guesses after it."""
        known = sequence.tokens[sequence.computed :]
        if len(known) > 1:
            return known[: min(room, MOST_ROWS)]
        if self._native_for(sequence.request.adapter) is None or not alone:
            return known
        return known + self._guesser.guess(sequence, min(room - 1, self.context - len(sequence.tokens) - 1))

    def _make_room(self, sequence: Sequence, tokens: int) -> bool:
        """Take blocks for a sequence, from the youngest others if there are none; False if it had to go itself."""
        while not self.pool.extend(sequence.holding, tokens):
            youngest = self.running[-1]
            self._remove(youngest)
            youngest.computed = 0
            self.waiting.appendleft(youngest)
            if youngest is sequence:
                return False
        return True

    # Computing it

    def _prefill(self, sequence: Sequence, stop: int) -> list[tuple[Sequence, Token]]:
        ids = sequence.tokens[sequence.computed : stop]
        scores = self.compute(sequence.holding, sequence.computed, ids, sequence.request.adapter)
        sequence.computed = stop
        self.pool.publish(sequence.holding, sequence.tokens[:stop], sequence.salt)
        if stop < sequence.prompt_length or len(sequence.tokens) > sequence.prompt_length:
            return []
        return self._sample(sequence, scores, len(scores.best) - 1)

    @torch.inference_mode()
    def compute(self, holding: Holding, held: int, ids: Ids[int], adapter: str = "") -> Scores:
        """Take some tokens after the first `held`, which are computed, and score what follows in the last row."""
        native = self._native_for(adapter)
        if native is not None and (len(ids) == 1 or self.weights in ("int8", "int4")):
            return self._read(native, holding, held, ids, adapter)
        return self._forward(holding, held, ids, adapter)

    def _forward(self, holding: Holding, held: int, ids: Ids[int], adapter: str) -> Scores:
        """In PyTorch."""
        cache = PagedCache(self.pool, holding, held)
        input_ids = torch.tensor([ids], device=self.model.device)
        logits_11V: Tensor = self.models[adapter](input_ids, cache=cache, last_only=True)
        return Scores.of(logits_11V[:, 0].float().cpu())

    def _read(self, native: NativeDecoder, holding: Holding, held: int, ids: Ids[int], adapter: str) -> Scores:
        """In the native operation, as many tokens a step as it takes."""
        blocks = torch.tensor(holding.blocks, dtype=torch.int32)
        with one_thread():
            for start in range(0, len(ids), MOST_ROWS):
                places = range(start, min(start + MOST_ROWS, len(ids)))
                rows = [DecodeRow(ids[n], held + n, blocks, n == len(ids) - 1, adapter) for n in places]
                with self._threads[len(rows)].measured() as threads:
                    scores = native.step(rows, threads)
        return scores

    def _decode(self, work: list[tuple[Sequence, Ids[int]]]) -> list[tuple[Sequence, Token]]:
        found: list[tuple[Sequence, Token]] = []
        groups: list[list[tuple[Sequence, Ids[int]]]] = []
        for sequence, ids in work:
            if self._native_for(sequence.request.adapter) is None:
                scores = self._forward(sequence.holding, sequence.computed, ids[:1], sequence.request.adapter)
                found += self._accept(sequence, ids[:1], scores, 0)
            elif groups and sum(len(other) for _, other in groups[-1]) + len(ids) <= MOST_ROWS:
                groups[-1].append((sequence, ids))
            else:
                groups.append([(sequence, ids)])
        if self._native is not None:
            with one_thread():
                for group in groups:
                    found += self._decode_native(self._native, group)
        return found

    def _decode_native(self, native: NativeDecoder, work: list[tuple[Sequence, Ids[int]]]) -> list[tuple[Sequence, Token]]:
        rows = []
        for sequence, ids in work:
            blocks = torch.tensor(sequence.holding.blocks, dtype=torch.int32)
            replayed = len(sequence.tokens) - sequence.computed > len(ids)
            adapter = sequence.request.adapter
            rows += [DecodeRow(i, sequence.computed + n, blocks, not replayed, adapter) for n, i in enumerate(ids)]
        with self._threads[len(rows)].measured() as threads:
            scores = native.step(rows, threads)
        found, start = [], 0
        for sequence, ids in work:
            found += self._accept(sequence, ids, scores, start)
            start += len(ids)
        return found

    def _accept(self, sequence: Sequence, ids: Ids[int], scores: Scores, start: int) -> list[tuple[Sequence, Token]]:
        """Take what the rows of `ids`, from `start`, say: a guess is right if the token before it says the same."""
        found, known = [], len(sequence.tokens) - sequence.computed
        for n, token_id in enumerate(ids):
            place = sequence.computed
            if place < len(sequence.tokens):
                if sequence.tokens[place] != token_id:  # a wrong guess; all after it are worth nothing
                    break
            elif sequence.finished:
                break
            sequence.computed += 1
            if sequence.computed == len(sequence.tokens) and not sequence.finished:
                found += self._sample(sequence, scores, start + n)
        if known == 1:
            sequence.luck.learn(len(ids) - 1, max(0, len(found) - 1))
        return found

    def _sample(self, sequence: Sequence, scores: Scores, row: int) -> list[tuple[Sequence, Token]]:
        """The next token; none where the sequence's grammar has failed, which ends it and no other."""
        config, constraint = sequence.request.config, sequence.constraint
        try:
            token_id = scores.best[row]
            if constraint is not None or not config.is_model_argmax:
                logits_1V = scores.logits[row : row + 1]
                ids_1 = sequence.sampler.next_tokens(
                    logits_1V if constraint is None else constraint.masked(logits_1V),
                    torch.tensor([sequence.tokens]),
                    prompt_length=sequence.prompt_length,
                    generator=sequence.generator,
                )
                token_id = int(ids_1)
            logprob = float(scores.logits[row, token_id]) - scores.log_sums[row]
            token = sequence.accept(token_id, logprob, scores.likeliest(row, sequence.request.top_logprobs))
        except UserError as error:
            sequence.error, sequence.finished = error, True
            return []
        return [(sequence, token)]


def _stored_weights(model: Transformer) -> Weights:
    """As near to what the model's folder holds as the native operation has it."""
    stored: QuantizedMatrix | None = model.layers[0].attention.o_proj.quantized  # type: ignore[union-attr, assignment]
    if stored is not None:
        return "int8" if stored.bits == 8 else "int4"
    return "float32" if model.compute_dtype == torch.float32 else "bfloat16"


def _cache_tokens(model: Transformer, dtype: torch.dtype) -> int:
    """Room for 32,768 tokens in at most 4 GiB, but at least for one context."""
    c = model.config
    each = 2 * c.num_hidden_layers * c.num_key_value_heads * c.head_dim * torch.empty(0, dtype=dtype).element_size()
    return max(c.max_position_embeddings, min(DEFAULT_TOKENS, MOST_BYTES // each))
