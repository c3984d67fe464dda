"""GPTQ's layout of AutoGPTQ, GPTQModel and AutoRound: integers packed along the inputs.

Shapes: O outputs, I inputs, G groups. `qweight` is (I * bits / 32, O), `qzeros` (G, O * bits / 32), `scales` (G, O), and
`g_idx` (I,) has each input's group, which need not be that of its neighbors (act-order).
"""

from functools import partial

from lmcraft.model.quantized_checkpoints.integers import BITS_PER_WORD, center, decode_integers, unpack
from lmcraft.model.quantized_checkpoints.stored_matrix import (
    Decoded,
    Names,
    Parts,
    Settings,
    StoredMatrix,
    find_matrices,
    positive_int,
)

REQUIRED = {"numbers": ".qweight", "zeros": ".qzeros", "scales": ".scales"}


def find(settings: Settings, names: Names) -> dict[str, StoredMatrix]:
    """The quantized matrices of a checkpoint.

    Raises:
        ValueError: the layout is not supported.
    """
    layout = str(settings.get("checkpoint_format") or settings.get("packing_format") or "gptq")
    if layout not in ("gptq", "gptq_v2", "auto_round:auto_gptq"):
        raise ValueError(f"checkpoint_format={layout[:40]!r}")
    group_size = positive_int(settings, "group_size", -1)
    bits = positive_int(settings, "bits", 4)
    # Without act-order, or with one group, the groups follow from their size.
    indices = {"groups": ".g_idx"}
    required = REQUIRED | indices if settings.get("desc_act") and group_size != -1 else REQUIRED
    decode = partial(_decode, bits=bits, group_size=group_size, zero_offset=0 if layout == "gptq_v2" else 1)
    return find_matrices(names, ".qweight", required=required, optional=indices, decode=decode)


def _decode(parts: Parts, *, bits: int, group_size: int, zero_offset: int) -> Decoded:
    """Zero points are stored less `zero_offset`, modulo 2^bits. A layer with g_idx tells its own bits and group size."""
    words, scales_GO, groups_I = parts["numbers"], parts["scales"], parts.get("groups")
    if words.ndim != 2 or scales_GO.ndim != 2 or scales_GO.shape[1] != words.shape[1]:
        raise ValueError(f"{tuple(scales_GO.shape)} scales for {tuple(words.shape)} words")
    if groups_I is None:
        inputs = words.shape[0] * BITS_PER_WORD // bits
    else:
        inputs = groups_I.numel()
        bits = words.shape[0] * BITS_PER_WORD // max(inputs, 1)
        group_size = -(-inputs // len(scales_GO))
    numbers_OI = center(unpack(words.t(), bits, inputs), bits)
    stored_GO = unpack(parts["zeros"], bits, scales_GO.shape[1]).int()
    zeros_GO = (stored_GO + zero_offset) % (1 << bits) - (1 << bits - 1)
    return decode_integers(numbers_OI, scales_GO.t(), bits, zeros_OG=zeros_GO.t(), group_size=group_size, groups_I=groups_I)
