"""Unlikelihood training on pairs of answers (arXiv 1908.04319, section 5): learn one answer, and not to give the other.

Shapes: B pairs, T positions of a row, N targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lmcraft.finetuning.examples import Preference
from lmcraft.finetuning.objectives.base import setting
from lmcraft.finetuning.objectives.preferences import PairwiseObjective

if TYPE_CHECKING:
    from torch import Tensor

    from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
    from lmcraft.finetuning.head import Labels
    from lmcraft.model.transformer import Transformer
    from lmcraft.training.batch import TensorBatch


@dataclass(frozen=True, kw_only=True)
class Unlikelihood(PairwiseObjective):
    """-log p of the chosen answer's tokens - weight * log(1 - p) of the rejected one's, each the mean over an answer.

    Tokens with which both answers begin, and the token that ends the rejected answer, are not made less likely.
    """

    summary = "give the better of two answers, and not the other"
    paper = "1908.04319"

    unlikelihood_weight: float = setting(1.0, "Weight of the loss of rejected answers.", at_least=0)

    @property
    def per_token(self) -> bool:
        return True

    def encode_example(self, example: Preference, encoder: ExampleEncoder, labels: Labels, index: int) -> TokenizedExample:
        from lmcraft.data.loader import IGNORE_INDEX

        encoded = super().encode_example(example, encoder, labels, index)
        assert encoded.document_ids is not None
        learned = encoded.targets != IGNORE_INDEX
        chosen, rejected = ((learned & (encoded.document_ids == n)).nonzero()[0].tolist() for n in (0, 1))
        targets = encoded.targets.copy()
        shared = next(
            (n for n, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if targets[a] != targets[b]),
            min(len(chosen), len(rejected)),
        )
        ends = [position for position in rejected if int(targets[position]) in encoder.end_ids]
        targets[[*rejected[:shared], *ends]] = IGNORE_INDEX
        return replace(encoded, targets=targets)

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        import torch

        from lmcraft.data.loader import IGNORE_INDEX
        from lmcraft.finetuning.objectives.log_probs import token_log_probs
        from lmcraft.training.unlikelihood import token_unlikelihoods

        assert batch.document_ids is not None
        x_BTC = model.hidden_states(batch.input_ids, document_ids=batch.document_ids)
        total = x_BTC.new_zeros((), dtype=torch.float32)
        for document, weight in ((0, 1.0), (1, self.unlikelihood_weight)):
            chosen_BT = (batch.targets != IGNORE_INDEX) & (batch.document_ids == document)
            x_NC, targets_N = x_BTC[chosen_BT], batch.targets[chosen_BT]
            if document == 0:
                losses_N = -token_log_probs(x_NC, model.output_head, targets_N)
            else:
                losses_N = token_unlikelihoods(x_NC, model.output_head, targets_N)
            counts_B = chosen_BT.sum(dim=1)
            total = total + weight * (losses_N / counts_B[chosen_BT.nonzero(as_tuple=True)[0]]).sum()
        return total
