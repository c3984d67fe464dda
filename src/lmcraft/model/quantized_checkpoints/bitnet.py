"""BitNet b1.58 (arXiv 2402.17764): weights of -1, 0 and 1 times one scale, four to a byte, or floats that stand for them.

Shapes: O outputs, I inputs. `weight` is (O / 4, I): the two lowest bits of all bytes are the first quarter of the rows, the
next two the second, and so on; each holds a weight plus 1.
"""

from collections.abc import Mapping
from functools import partial

import torch

from lmcraft.model.quantized_checkpoints.integers import decode_integers
from lmcraft.model.quantized_checkpoints.stored_matrix import (
    Decoded,
    Names,
    Parts,
    Settings,
    StoredMatrix,
    find_matrices,
)

MIN_MEAN = 1e-5  # of the magnitudes of a matrix in training
PROJECTION = "_proj.weight"


def find(settings: Settings, names: Names) -> Mapping[str, StoredMatrix]:
    """The quantized matrices of a checkpoint.

    Raises:
        ValueError: the layers have norms of their own.
    """
    if settings.get("use_rms_norm"):
        raise ValueError("use_rms_norm=true")
    if settings.get("linear_class") == "autobitlinear" and settings.get("quantization_mode") == "online":
        skipped = settings.get("modules_to_not_convert") or ()
        chosen = [name for name in names if name.endswith(PROJECTION) and name.removesuffix(".weight") not in skipped]
        return {name: StoredMatrix({"weight": name}, _round_to_ternary) for name in chosen}
    decode = partial(_decode, divides=settings.get("linear_class") != "autobitlinear")
    required = {"weight": ".weight", "scale": ".weight_scale"}
    return find_matrices(names, ".weight_scale", required=required, decode=decode)


def _round_to_ternary(parts: Parts) -> Decoded:
    """The weights that the model computes with in training: rounded to -1, 0 and 1 times the mean of the magnitudes."""
    weight = parts["weight"].float()
    scale = 1.0 / weight.abs().mean().clamp(min=MIN_MEAN)
    return (weight * scale).round().clamp(-1, 1) / scale


def _decode(parts: Parts, *, divides: bool) -> Decoded:
    """`divides`: the weights are divided by the scale, which the older class of layers stores as its reciprocal."""
    packed, scale = parts["weight"], parts["scale"].float()
    if packed.dtype != torch.uint8 or packed.ndim != 2 or scale.numel() != 1:
        raise ValueError(f"{tuple(packed.shape)} numbers of {packed.dtype} and {tuple(scale.shape)} scales")
    numbers_OI = torch.cat([(packed >> shift) & 3 for shift in (0, 2, 4, 6)]).to(torch.int8) - 1
    return decode_integers(numbers_OI, (1 / scale if divides else scale).reshape(1, 1), 4)
