"""Beam search: keep the `num_beams` likeliest unfinished sequences and extend them all, token by token.

The rules, ties apart, are those of transformers' `generate` for one prompt, so that both find the same text.

Shapes: B beams, V vocabulary.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch

from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.sampler import Sampler
from lmcraft.inference.sequence_batch import Sequences


@dataclass(frozen=True, slots=True)
class Candidate:
    """A continuation, with the sum of its log-probabilities."""

    ids: list[int]
    logprobs: list[float]
    total: float

    def score(self, length_penalty: float) -> float:
        """What finished candidates are ranked by (arXiv 1609.08144, section 7, in the simpler form that is in use)."""
        length: float = len(self.ids) ** length_penalty
        return self.total / length

    def extended(self, token_id: int, total: float) -> "Candidate":
        """This with one more token, which brings the sum to `total`."""
        return Candidate([*self.ids, token_id], [*self.logprobs, total - self.total], total)


def beam_search(sequences: Sequences, sampler: Sampler, *, room: int, eos_token_ids: Collection[int]) -> list[Candidate]:
    """The best continuations, best first; at most `num_beams`.

    Args:
        sequences: one, the prompt.
        sampler: its bias and penalties change the log-probabilities; its config has num_beams, length_penalty and
            early_stopping.
        room: longest continuation, in tokens.
        eos_token_ids: tokens that finish a candidate.
    """
    config = sampler.config
    width = config.num_beams
    looked_at = width * (1 + max(1, len(eos_token_ids)))  # enough that `width` go on if every beam's best tokens are ends
    beams = [Candidate([], [], 0.0)]
    finished: list[Candidate] = []

    def score(candidate: Candidate) -> float:
        return candidate.score(config.length_penalty)

    for length in range(1, room + 1):
        going: list[tuple[int, Candidate]] = []  # parent, candidate
        for rank, (parent, candidate) in enumerate(_best(sequences, sampler, beams, looked_at)):
            if candidate.ids[-1] not in eos_token_ids and length < room:
                going.append((parent, candidate))
            elif rank < width:  # those below are only there to keep the beams going
                finished.append(candidate)
        finished = sorted(finished, key=score, reverse=True)[:width]
        going = going[:width]
        if not going or (len(finished) == width and _is_over(going[0][1], score(finished[-1]), room, config)):
            break
        beams = [candidate for _, candidate in going]
        sequences.extend([parent for parent, _ in going], [beam.ids[-1] for beam in beams])
    return finished


def _best(sequences: Sequences, sampler: Sampler, beams: list[Candidate], count: int) -> list[tuple[int, Candidate]]:
    """The `count` likeliest extensions by one token of any beam, and which beam each extends."""
    logprobs_BV = sequences.next_logits().log_softmax(dim=-1)
    logprobs_BV = sampler.penalize(logprobs_BV, sequences.tokens_BT, prompt_length=sequences.prompt_length)
    totals_B1 = torch.tensor([[beam.total] for beam in beams], device=logprobs_BV.device)
    totals_BV = totals_B1 + logprobs_BV
    best = totals_BV.flatten().topk(min(count, totals_BV.numel()))
    parents_and_ids = [divmod(index, totals_BV.shape[1]) for index in best.indices.tolist()]
    return [
        (parent, beams[parent].extended(token_id, total))
        for (parent, token_id), total in zip(parents_and_ids, best.values.tolist(), strict=True)
    ]


def _is_over(best: Candidate, worst_finished: float, room: int, config: GenerationConfig) -> bool:
    """Whether the search ends, given the best beam and the worst of `num_beams` finished candidates."""
    if config.early_stopping is True:
        return True
    # Log-probabilities only fall, so a longer text can do no better than today's sum over its length. "never" takes the
    # length that flatters most; False takes today's, which may miss a better text later (transformers' default).
    flattering = config.early_stopping == "never" and config.length_penalty > 0
    length: float = (room if flattering else len(best.ids)) ** config.length_penalty
    return best.total / length <= worst_finished
