"""How surprised a model is by each token of a text.

Shapes: T tokens, C width, V vocabulary.
"""

from collections.abc import Sequence

import torch

from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.prompt import check_token_ids
from lmcraft.interpretability.choices import most_likely, rows_together
from lmcraft.interpretability.explanation import Choice, Surprise
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.token_ids import list_token_ids


def measure_surprise(model: LanguageModel, ids: Sequence[int], *, alternatives: int = 5) -> Surprise:
    """-ln p of each token after those before it, and the tokens that the model would have written.

    Args:
        model: the model.
        ids: of the text's tokens, (T,).
        alternatives: how many likely tokens are listed at each place.

    Raises:
        UserError: there are no tokens, too many, or some outside the vocabulary.
        RunError: the model's outputs are not numbers.
    """
    ids = list_token_ids(ids)
    transformer = model.transformer
    check_token_ids(ids, transformer.config.vocab_size)
    nats: list[float | None] = [None]
    choices: list[list[Choice]] = [[]]
    with torch.inference_mode():
        hidden_TC = transformer.hidden_states(torch.tensor([ids], device=transformer.device))[0]
        for start in range(0, len(ids), count := rows_together(transformer.config.vocab_size)):
            logits = transformer.logits(hidden_TC[start : start + count]).float()
            total = logits.logsumexp(dim=-1)
            if not bool(total.isfinite().all()):
                raise damaged_model_error(transformer)
            following = ids[start + 1 : start + 1 + count]
            likelihoods = logits[torch.arange(len(following)), following] - total[: len(following)]
            nats += (-likelihoods).tolist()
            choices += [most_likely(row, model.tokenizer, alternatives) for row in logits]
    return Surprise(nats, choices[:-1], choices[-1])
