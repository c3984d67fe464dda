"""Beam search: keep the `num_beams` most likely unfinished sequences and extend them all, token by token.

It follows transformers' `generate` for one prompt and returns the same text, except where scores tie.

Shapes: B beams, V vocabulary.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch

from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.sampler import Sampler
from lmcraft.inference.sequence_batch import SequenceBatch


@dataclass(frozen=True, slots=True)
class Candidate:
    """A continuation, with the sum of its log-probabilities."""

    ids: list[int]
    logprobs: list[float]
    total: float

    def score(self, length_penalty: float) -> float:
        """The score that ranks finished candidates: arXiv 1609.08144, section 7, simplified as in transformers."""
        length: float = len(self.ids) ** length_penalty
        return self.total / length

    def extend(self, token_id: int, total: float) -> "Candidate":
        """This candidate plus one token, with the sum `total`."""
        return Candidate([*self.ids, token_id], [*self.logprobs, total - self.total], total)


def beam_search(
    sequences: SequenceBatch, sampler: Sampler, *, max_new_tokens: int, eos_token_ids: Collection[int]
) -> list[Candidate]:
    """The best continuations, best first; at most `num_beams`.

    Args:
        sequences: a batch of one, the prompt.
        sampler: its bias and penalties apply to the log-probabilities; its config has num_beams, length_penalty and
            early_stopping.
        max_new_tokens: of the longest continuation.
        eos_token_ids: tokens that finish a candidate.
    """
    config = sampler.config
    width = config.num_beams
    # Enough that `width` beams continue even if every end token is among each beam's best.
    num_extensions = width * (1 + max(1, len(eos_token_ids)))
    beams = [Candidate([], [], 0.0)]
    finished: list[Candidate] = []

    def score(candidate: Candidate) -> float:
        return candidate.score(config.length_penalty)

    for length in range(1, max_new_tokens + 1):
        unfinished: list[tuple[int, Candidate]] = []  # index of the beam that it extends, candidate
        for rank, (parent, candidate) in enumerate(_best_extensions(sequences, sampler, beams, num_extensions)):
            if candidate.ids[-1] not in eos_token_ids and length < max_new_tokens:
                unfinished.append((parent, candidate))
            elif rank < width:  # lower ranks only serve to refill the beams
                finished.append(candidate)
        finished = sorted(finished, key=score, reverse=True)[:width]
        unfinished = unfinished[:width]
        if not unfinished or (
            len(finished) == width and _is_done(unfinished[0][1], score(finished[-1]), max_new_tokens, config)
        ):
            break
        beams = [candidate for _, candidate in unfinished]
        sequences.extend([parent for parent, _ in unfinished], [beam.ids[-1] for beam in beams])
    return finished


def _best_extensions(
    sequences: SequenceBatch, sampler: Sampler, beams: list[Candidate], count: int
) -> list[tuple[int, Candidate]]:
    """The `count` most likely extensions of any beam by one token, each with the index of that beam."""
    logprobs_BV = sequences.next_logits().log_softmax(dim=-1)
    logprobs_BV = sampler.penalize(logprobs_BV, sequences.tokens_BT, prompt_length=sequences.prompt_length)
    totals_B1 = torch.tensor([[beam.total] for beam in beams], device=logprobs_BV.device)
    totals_BV = totals_B1 + logprobs_BV
    best = totals_BV.flatten().topk(min(count, totals_BV.numel()))
    parents_and_ids = [divmod(index, totals_BV.shape[1]) for index in best.indices.tolist()]
    return [
        (parent, beams[parent].extend(token_id, total))
        for (parent, token_id), total in zip(parents_and_ids, best.values.tolist(), strict=True)
    ]


def _is_done(best: Candidate, worst_finished: float, max_new_tokens: int, config: GenerationConfig) -> bool:
    """Whether the search ends, given the best beam and the score of the worst of `num_beams` finished candidates."""
    if config.early_stopping is True:
        return True
    # The sum only falls, so no longer text can score above the current sum over its length. "never" assumes the length that
    # gives the highest score; False assumes the current length, which may miss a better text (transformers' default).
    assume_longest = config.early_stopping == "never" and config.length_penalty > 0
    length: float = (max_new_tokens if assume_longest else len(best.ids)) ** config.length_penalty
    return best.total / length <= worst_finished
