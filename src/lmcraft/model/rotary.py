"""Rotary position embeddings (RoPE, arXiv 2104.09864) and their scaling to longer sequences.

Shapes: B batch, T new tokens, H heads, D head width, R rotated dimensions of a head.
"""

import math

import torch
from torch import Tensor

from lmcraft.model.config import TransformerConfig
from lmcraft.model.kernels.elementwise import MAX_LANES, RotateFunction, can_compute
from lmcraft.model.parts import QueryScaling, RopeScaling

INITIAL_POSITIONS = 4096  # length of the first table; it grows with the longest sequence


class RotaryTables:
    """Cached tables of cosines and signed sines, computed and extended on demand.

    Sliding layers with their own base, and LongRoPE's long factors, have separate tables.
    """

    def __init__(self, config: TransformerConfig) -> None:
        self._config = config
        self._tables: dict[tuple[bool, bool], tuple[Tensor, Tensor]] = {}

    def rows(
        self, start: int, stop: int, *, sliding: bool, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines for positions start..stop-1, each (1, T, 1, R), as `rotate` expects them."""
        config = self._config
        local = sliding and config.rope_local_theta > 0
        long = (
            not local
            and config.rope_scaling.rope_type == "longrope"
            and stop > config.rope_scaling.original_max_position_embeddings
        )
        cos, sin = self._tables.get((local, long), (torch.empty(0), torch.empty(0)))
        if len(cos) < stop or cos.dtype != dtype or cos.device != device:
            length = min(max(2 * len(cos), INITIAL_POSITIONS, stop), max(config.max_position_embeddings, stop))
            with torch.inference_mode(False):  # the table outlives this call and is also used in training
                cos, sin = (part.to(device, dtype) for part in rotary_table(length, config, local=local, long=long))
            self._tables[local, long] = cos, sin
        return cos[None, start:stop, None], sin[None, start:stop, None]


def rotary_table(
    length: int, config: TransformerConfig, *, local: bool = False, long: bool = False
) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of each position's angles, each (length, R), float32.

    A head's two halves are the two coordinates (Hugging Face's convention), so each angle appears twice, and the first half
    of the sines carries the minus sign of the rotation (section 3.4.2, eq. 34).

    Args:
        length: number of positions.
        config: dimensions, base and scaling.
        local: use the sliding layers' base, without scaling.
        long: use LongRoPE's factors for long sequences.
    """
    scale = 1.0
    if local:
        frequencies = _frequencies(config.rope_local_theta, config.rotary_dim)
    else:
        frequencies = scaled_frequencies(config, long=long)
        scale = attention_factor(config)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
    cos, sin = angles.cos() * scale, angles.sin() * scale
    return cos.repeat(1, 2), torch.cat((-sin, sin), dim=-1)


def scaled_frequencies(config: TransformerConfig, *, long: bool = False) -> Tensor:
    """Scaled frequencies, in radians per position, (R / 2,)."""
    scaling, factor = config.rope_scaling, config.rope_scaling.factor
    frequencies = _frequencies(config.rope_theta, config.full_rotary_dim)
    match scaling.rope_type:
        case "linear":  # position interpolation, arXiv 2306.15595, eq. 4
            return frequencies / factor
        case "dynamic":  # NTK-aware; transformers changes the base only beyond max_position_embeddings
            base = config.rope_theta * (scaling.alpha or 1.0) ** (config.rotary_dim / (config.rotary_dim - 2))
            return _frequencies(base, config.rotary_dim)
        case "llama3":
            turns = scaling.original_max_position_embeddings * frequencies / (2 * math.pi)
            low, high = scaling.low_freq_factor, scaling.high_freq_factor
            unscaled_share = ((turns - low) / (high - low)).clamp(0, 1)
            return (1 - unscaled_share) * frequencies / factor + unscaled_share * frequencies
        case "yarn":  # arXiv 2309.00071, section 3.2, eq. 19
            unscaled_share = 1 - _yarn_ramp(config)
            return (1 - unscaled_share) * frequencies / factor + unscaled_share * frequencies
        case "proportional":
            rotated = int(scaling.proportion * config.full_rotary_dim // 2)
            return torch.cat((frequencies[:rotated], torch.zeros(len(frequencies) - rotated))) / factor
        case "longrope":  # arXiv 2402.13753, eq. 2
            return frequencies / torch.tensor(scaling.long_factor if long else scaling.short_factor, dtype=torch.float32)
    return frequencies


def attention_factor(config: TransformerConfig) -> float:
    """Multiplier of queries and keys in YaRN (section 3.4, eq. 22) and LongRoPE; else 1."""
    scaling, factor = config.rope_scaling, config.rope_scaling.factor
    if scaling.rope_type not in ("yarn", "longrope"):
        return 1.0
    if scaling.attention_factor or factor <= 1:
        return scaling.attention_factor or 1.0
    if scaling.rope_type == "longrope":
        return math.sqrt(1 + math.log(factor) / math.log(scaling.original_max_position_embeddings))
    if scaling.mscale and scaling.mscale_all_dim:
        return yarn_scale(scaling, scaling.mscale) / yarn_scale(scaling, scaling.mscale_all_dim)
    return yarn_scale(scaling, 1.0)


def yarn_scale(scaling: RopeScaling, mscale: float) -> float:
    """YaRN's scale of queries and keys (section 3.4, eq. 22), its logarithmic part times `mscale`; 1 without scaling."""
    return 1.0 if scaling.factor <= 1 else 0.1 * mscale * math.log(scaling.factor) + 1


def rotate(x_BTHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each head by its position's angles; `cos` and `sin` broadcast against its first R as (B or 1, T, 1, R)."""
    R = cos.shape[-1]
    if x_BTHD.shape[-1] > R:
        return torch.cat((rotate(x_BTHD[..., :R], cos, sin), x_BTHD[..., R:]), dim=-1)
    if R % (2 * MAX_LANES) == 0 and cos.shape[0] == 1 and sin.is_contiguous() and can_compute(x_BTHD, cos):
        return RotateFunction.apply(x_BTHD, cos, sin)  # type: ignore[no-any-return, no-untyped-call]
    swapped = x_BTHD.roll(R // 2, dims=-1)  # (x2, x1)
    return torch.addcmul(x_BTHD * cos, swapped, sin)


def query_scales(positions: Tensor, scaling: QueryScaling) -> Tensor:
    """The multipliers of the queries at these positions, float32, of their shape."""
    steps = torch.floor((positions.float() + scaling.offset) / scaling.length)
    return 1.0 + scaling.beta * torch.log1p(steps)


def _frequencies(theta: float, dim: int) -> Tensor:
    return 1.0 / theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)


def _yarn_ramp(config: TransformerConfig) -> Tensor:
    """0 for dimensions with many rotations over the original length, 1 for those with few, linear between, (R / 2,)."""
    scaling, dim = config.rope_scaling, config.full_rotary_dim

    def dimension(turns: float) -> float:
        length = scaling.original_max_position_embeddings
        return dim * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(config.rope_theta))

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    width = high - low if high != low else 0.001
    return ((torch.arange(dim // 2, dtype=torch.float32) - low) / width).clamp(0, 1)
