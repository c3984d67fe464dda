"""How attention is computed in a run: measured at its shape, and kept in its run.toml so that a resumed run does the same.

Shapes: B batch, T tokens, C width.
"""

import time
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer

MEASUREMENTS = 3  # of each way, in turns; the first is to warm up
ENOUGH = 1024  # tokens in a measurement, or one row
SHORT = 128  # tokens in a row up to which nothing is measured: attention is a small part of a step then
CLEARLY = 1.2  # times faster than the other way is torch's: what noise decides would differ from run to run

Kind = Literal["matmul", "sdpa"]
NAMES: dict[Kind, str] = {"matmul": "matrix products", "sdpa": "torch's fused attention"}


def choose_attention(
    config: TransformerConfig, document_ids_BT: Tensor | None, length: int, device: torch.device, dtype: torch.dtype
) -> tuple[Kind, str]:
    """The faster way for rows of this length, and the choice in one sentence.

    Args:
        config: of the whole model; one layer is measured, forward and backward.
        document_ids_BT: of some rows that the run trains on; None: each row is one document.
        length: T.
        device: a GPU is not measured; its fused attention never keeps the scores.
        dtype: of the activations.
    """
    if device.type != "cpu":
        return "sdpa", f"attention by {NAMES['sdpa']}, as on every GPU"
    if length <= SHORT:
        return "matmul", f"attention by {NAMES['matmul']}, as for all short rows"
    one = replace(config, num_hidden_layers=1, vocab_size=1, layer_types=config.layer_types[:1], tie_word_embeddings=True)
    model = Transformer(one)
    model.compute_dtype = dtype
    rows = max(1, ENOUGH // length)
    if document_ids_BT is not None:
        document_ids_BT = document_ids_BT[:rows]
        rows = len(document_ids_BT)
    x_BTC = torch.randn(rows, length, config.hidden_size, dtype=dtype, requires_grad=True)
    seconds: dict[Kind, float] = {}
    for _ in range(MEASUREMENTS):
        for kind in NAMES:
            took = _seconds(model, kind, x_BTC, document_ids_BT)
            seconds[kind] = min(took, seconds.get(kind, took))
    best: Kind = "sdpa" if CLEARLY * seconds["sdpa"] < seconds["matmul"] else "matmul"
    measured = ", ".join(f"{NAMES[kind]} {1e3 * seconds[kind]:.1f} ms" for kind in NAMES)
    return best, f"attention by {NAMES[best]} (a layer forward and backward, measured: {measured})"


def _seconds(model: Transformer, kind: Kind, x_BTC: Tensor, document_ids_BT: Tensor | None) -> float:
    model.use_attention(kind)
    begun = time.perf_counter()
    rotary, mask = model.layer_inputs(x_BTC.shape[1], document_ids_BT)[0]
    model.get_submodule("layers.0.attention")(x_BTC, rotary, mask, None).sum().backward()
    return time.perf_counter() - begun
