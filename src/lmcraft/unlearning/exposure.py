"""Whether the numbers in texts are likelier to a model than other numbers: exposure (Carlini et al., arXiv 1802.08232)."""

import random
import re
from collections.abc import Mapping, Sequence

import numpy as np

from lmcraft.audits.privacy.membership import score_tokens
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import mean_interval
from lmcraft.tokenizer import Tokenizer
from lmcraft.unlearning.results import Exposure, ModelName

ALTERNATIVES = 127
MIN_DIGITS = 4  # so that there are enough other numbers
MAX_TEXTS = 20
CONTEXT = 80  # characters before the first digit, and after it, that are read
DIGIT = re.compile(r"[0-9]")


def measure_exposure(
    models: Mapping[ModelName, Transformer], tokenizer: Tokenizer, texts: Sequence[str], *, seed: int = 0
) -> Exposure | None:
    """The exposure of texts with at least 4 digits: log2 of (alternatives + 1) / rank, where the alternatives have other
    digits; None if there are none.
    """
    excerpts = [text[max(0, match.start() - CONTEXT) :][: 2 * CONTEXT] for text in texts if (match := DIGIT.search(text))]
    numbered = [text for text in excerpts if len(DIGIT.findall(text)) >= MIN_DIGITS][:MAX_TEXTS]
    if not numbered:
        return None
    begin = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    rng, bits = random.Random(seed), {name: list[float]() for name in models}
    for text in numbered:
        candidates = [text, *(DIGIT.sub(lambda _: str(rng.randrange(10)), text) for _ in range(ALTERNATIVES))]
        ids = [[*begin, *tokenizer.encode(candidate)] for candidate in candidates]
        for name, model in models.items():
            scores = score_tokens(model, ids)
            # the sum, since other digits may be other numbers of tokens
            totals = np.array([score.logprobs.sum() for score in scores])
            rank = 1 + int((totals[1:] > totals[0]).sum()) + int((totals[1:] == totals[0]).sum()) // 2
            bits[name].append(float(np.log2((ALTERNATIVES + 1) / rank)))
    by_chance = float(np.log2((ALTERNATIVES + 1) / np.arange(1, ALTERNATIVES + 2)).mean())
    return Exposure(len(numbered), ALTERNATIVES, by_chance, {name: mean_interval(values) for name, values in bits.items()})
