"""The memory that a private step needs beside that of an ordinary one."""

import torch

from lmcraft.model.config import TransformerConfig
from lmcraft.model.linear import Linear
from lmcraft.model.transformer import Transformer
from lmcraft.training.dp.projection import keeps_products
from lmcraft.training.dp.row_gradients import keeps_gradients


def row_bytes(config: TransformerConfig, length: int, dtype: torch.dtype) -> int:
    """Bytes that are kept of each row of `length` tokens for the norm of its gradient, if all weights are trained."""
    with torch.device("meta"):
        model = Transformer(config)
    numbers = config.vocab_size * (config.hidden_size if keeps_products(config.hidden_size, length) else length)
    for layer in model.layers.modules():
        if isinstance(layer, Linear):
            inputs, outputs = layer.in_features, layer.out_features
            is_kept = keeps_gradients(length, inputs, outputs)
            numbers += inputs * outputs if is_kept else length * (inputs + outputs)
    return numbers * dtype.itemsize
