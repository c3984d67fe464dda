"""Log-probabilities of tokens and of whole answers.

Shapes: B rows, T positions, N targets of all rows, C width, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.model.output_head import OutputHead
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch

TARGETS_PER_CHUNK = 256  # targets whose logits are in memory at the same time


def document_log_probs(model: Transformer, batch: TensorBatch) -> tuple[Tensor, Tensor]:
    """The sum of the log-probabilities of the targets of each row's two documents, and their number, each (B, 2) float32."""
    assert batch.document_ids is not None
    x_BTC = model.hidden_states(batch.input_ids, document_ids=batch.document_ids)
    has_target = batch.targets != IGNORE_INDEX
    row, _ = has_target.nonzero(as_tuple=True)
    document = 2 * row + batch.document_ids[has_target]
    log_probs = token_log_probs(x_BTC[has_target], model.output_head, batch.targets[has_target])
    sums = log_probs.new_zeros(2 * len(batch.input_ids)).index_add(0, document, log_probs)
    counts = torch.zeros_like(sums).index_add(0, document, torch.ones_like(log_probs))
    return sums.view(-1, 2), counts.view(-1, 2)


def token_log_probs(x_NC: Tensor, head: OutputHead, targets_N: Tensor) -> Tensor:
    """log softmax of the head's logits of each target, (N,) float32.

    Logits are computed in chunks, and again in the backward pass.
    """
    chunks = [
        checkpoint(_log_probs, x, head, targets, use_reentrant=False)
        for x, targets in zip(torch.split(x_NC, TARGETS_PER_CHUNK), torch.split(targets_N, TARGETS_PER_CHUNK), strict=True)
    ]
    return torch.cat(chunks) if chunks else x_NC.new_zeros(0, dtype=torch.float32)


def _log_probs(x_NC: Tensor, head: OutputHead, targets_N: Tensor) -> Tensor:
    return -F.cross_entropy(head.wide_logits(x_NC), targets_N, reduction="none")
