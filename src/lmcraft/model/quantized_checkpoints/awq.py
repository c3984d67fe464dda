"""AWQ's layouts of AutoAWQ, GPTQModel and AutoRound: 4-bit integers.

Shapes: O outputs, I inputs, G groups. In the layout "gemm", `qweight` is (I, O / 8), `qzeros` (G, O / 8) and `scales`
(G, O); the eight integers of a word are the columns 0, 2, 4, 6, 1, 3, 5, 7. In "gemv", `qweight` is (O, I / 8), in order,
`qzeros` (O, G / 8) and `scales` (O, G), both padded.
"""

from functools import partial

import torch
from torch import Tensor

from lmcraft.model.quantized_checkpoints.integers import center, decode_integers, unpack
from lmcraft.model.quantized_checkpoints.stored_matrix import (
    Decoded,
    Names,
    Parts,
    Settings,
    StoredMatrix,
    find_matrices,
    positive_int,
)

BITS = 4
PER_WORD = 8
POSITIONS = (0, 4, 1, 5, 2, 6, 3, 7)  # in a word, of the columns 0 to 7
REQUIRED = {"numbers": ".qweight", "scales": ".scales"}


def find(settings: Settings, names: Names) -> dict[str, StoredMatrix]:
    """The quantized matrices of a checkpoint.

    Raises:
        ValueError: the layout is not supported.
    """
    options = ("version", "checkpoint_format", "format", "packing_format")
    layout = str(next((settings[key] for key in options if settings.get(key)), "gemm")).lower()
    bits = positive_int(settings, "bits", BITS, aliases=("w_bit",))
    if layout not in ("gemm", "gemv", "auto_round:auto_awq") or bits != BITS:
        raise ValueError(f"version={layout[:40]!r} and bits={bits}")
    group_size = positive_int(settings, "group_size", 128, aliases=("q_group_size",))
    zeros = {"zeros": ".qzeros"}
    required = REQUIRED if settings.get("zero_point") is False else REQUIRED | zeros
    decode = partial(_decode_gemv if layout == "gemv" else _decode_gemm, group_size=group_size)
    return find_matrices(names, ".qweight", required=required, optional=zeros, decode=decode)


def _decode_gemm(parts: Parts, *, group_size: int) -> Decoded:
    words, scales_GO = parts["numbers"], parts["scales"]
    if words.ndim != 2 or scales_GO.ndim != 2 or scales_GO.shape[1] != words.shape[1] * PER_WORD:
        raise ValueError(f"{tuple(scales_GO.shape)} scales for {tuple(words.shape)} words")
    inputs = len(words)
    numbers_OI = center(_in_order(words).t().contiguous(), BITS)
    zeros_GO = None if "zeros" not in parts else _in_order(parts["zeros"]).int() - (1 << BITS - 1)
    size = -(-inputs // len(scales_GO)) if group_size == -1 else group_size
    return decode_integers(
        numbers_OI, scales_GO.t(), BITS, zeros_OG=None if zeros_GO is None else zeros_GO.t(), group_size=size
    )


def _in_order(words: Tensor) -> Tensor:
    numbers = unpack(words, BITS, words.shape[-1] * PER_WORD)
    return numbers.view(*words.shape, PER_WORD)[..., torch.tensor(POSITIONS)].flatten(-2)


def _decode_gemv(parts: Parts, *, group_size: int) -> Decoded:
    words, scales_OG = parts["numbers"], parts["scales"]
    if words.ndim != 2 or scales_OG.ndim != 2:
        raise ValueError(f"{tuple(scales_OG.shape)} scales for {tuple(words.shape)} words")
    inputs = words.shape[1] * PER_WORD
    count = 1 if group_size == -1 else -(-inputs // group_size)
    numbers_OI = center(unpack(words, BITS, inputs), BITS)
    zeros_OG = None
    if "zeros" in parts:
        padded = parts["zeros"]
        zeros_OG = unpack(padded, BITS, padded.shape[-1] * PER_WORD)[:, :count].int() - (1 << BITS - 1)
    return decode_integers(numbers_OI, scales_OG[:, :count], BITS, zeros_OG=zeros_OG, group_size=group_size)
