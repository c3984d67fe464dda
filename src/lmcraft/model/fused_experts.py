"""Checkpoints whose tensors hold all experts of a layer, where the family's have a tensor for each.

transformers 5 computes with `experts.gate_up_proj` (E, 2 I, C) and `experts.down_proj` (E, C, I). It reads them from files
that have them so (Qwen3.5), although it writes one tensor per expert.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.checkpoint import MAX_FUSED_EXPERTS, Checkpoint
from lmcraft.model.families import family_of

# Our projection, and where its rows are in the checkpoint's tensor: its name, the first row and the last one, in halves.
ROWS = {
    "gate_proj": ("gate_up_proj", 0, 1),
    "up_proj": ("gate_up_proj", 1, 2),
    "down_proj": ("down_proj", 0, 2),
}


def separate_experts(checkpoint: Checkpoint) -> Checkpoint:
    """The same checkpoint with one tensor per expert, if it holds them together.

    Raises:
        UserError: as in `Checkpoint.config`.
    """
    if not any(name.endswith(".experts.gate_up_proj") for name in checkpoint.names):
        return checkpoint
    rows = {name: position for name, position in _experts(checkpoint) if position[0] in checkpoint.names}
    read_fused = lru_cache(maxsize=2)(checkpoint.read)

    def read(name: str) -> Tensor:
        if name not in rows:
            return checkpoint.read(name)
        fused, expert, first, last = rows[name]
        tensor = read_fused(fused)
        if tensor.ndim != 3 or expert >= len(tensor):
            raise UserError(
                f"the checkpoint's '{fused}' has shape {tuple(tensor.shape)}, but config.json implies more experts; the two "
                "files belong to different models"
            )
        half = tensor.shape[1] // 2
        return tensor[expert, first * half : last * half]

    names = checkpoint.names - {fused for fused, *_ in rows.values()} | rows.keys()
    return replace(checkpoint, names=names, read=read)


def _experts(checkpoint: Checkpoint) -> Iterator[tuple[str, tuple[str, int, int, int]]]:
    """The name of each expert's tensor in the family, and where it is: tensor, expert, first and last half of its rows."""
    family = family_of(checkpoint.hf_config)
    with checkpoint.naming_config():
        config = family.read_config(checkpoint.hf_config)
    if config.num_experts * config.num_hidden_layers > MAX_FUSED_EXPERTS:
        return  # too many for any model; the checkpoint's own check says so
    for weight in family.weights:
        part = weight.ours[0].split(".")[-2]
        if "{e}" in weight.hf and part in ROWS:
            fused, first, last = ROWS[part]
            for layer in range(config.num_hidden_layers):
                name = f"{weight.hf.partition('.{e}.')[0].format(i=layer)}.{fused}"
                if name in checkpoint.names:
                    yield from ((weight.hf.format(i=layer, e=e), (name, e, first, last)) for e in range(config.num_experts))
