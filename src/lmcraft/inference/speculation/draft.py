"""Guessing what comes next with a smaller model of the same vocabulary (speculative decoding, arXiv 2211.17192).

Unlike there, a guess is kept where the model's own draw says the same, and the draft draws with the same random numbers,
so that both agree often. The text is that of the model alone, at every temperature.
"""

import time
from typing import TYPE_CHECKING

import torch

from lmcraft.inference.block_pool import Holding
from lmcraft.inference.request import Sequence

if TYPE_CHECKING:
    from lmcraft.inference.engine import Engine


class Draft:
    """The smaller model, which follows one sequence at a time.

    Args:
        engine: of the smaller model; nobody else uses it.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._holding = Holding()
        self._held: list[int] = []
        """The tokens whose keys and values are there."""
        self.seconds = 0.0
        """What a guess took, the last time."""

    def guess(self, sequence: Sequence, most: int) -> list[int]:
        """Up to `most` tokens that may follow."""
        tokens, begun = list(sequence.tokens), time.perf_counter()
        most = min(most, self._engine.context - len(tokens) + 1)
        same = 0
        while same < min(len(self._held), len(tokens) - 1) and self._held[same] == tokens[same]:
            same += 1
        del self._held[same:]
        generator = torch.Generator()
        generator.set_state(sequence.generator.get_state())
        guesses: list[int] = []
        while len(guesses) < most and not (guesses and guesses[-1] in sequence.request.eos_token_ids):
            self._engine.pool.extend(self._holding, len(tokens))
            new = tokens[len(self._held) :]
            scores = self._engine.compute(self._holding, len(self._held), new)
            self._held += new
            token_ids = sequence.sampler.next_tokens(
                scores.logits[-1:],
                torch.tensor([tokens]),
                prompt_length=sequence.prompt_length,
                generator=generator,
            )
            guesses.append(int(token_ids))
            tokens.append(guesses[-1])
        if guesses:
            self.seconds = (time.perf_counter() - begun) / len(guesses)
        return guesses
