"""Rules for tensors that llama.cpp's converter renames, rearranges or cuts.

Shapes: H heads, D head width, C model width, E experts.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Config

Change = Callable[[Tensor, Config], Tensor]
LAYER = r"(?:.*\.)?(?:layers|h|blocks)\.([0-9]{1,9})\."


@dataclass(frozen=True)
class Rearranged:
    """Values or their order change, or the name."""

    names: re.Pattern[str]
    change: Change
    change_back: Change
    name: str = ""
    """Template of the GGUF name, with groups of the pattern; empty: the name that the package has."""

    def targets(self, match: re.Match[str]) -> tuple[str, ...]:
        return (match.expand(self.name),) if self.name else ()

    def to_gguf(self, tensor: Tensor, config: Config) -> Sequence[Tensor]:
        return (self.change(tensor, config),)

    def to_hf(self, parts: Sequence[Tensor], config: Config) -> Tensor:
        return self.change_back(parts[0], config)


@dataclass(frozen=True)
class Cut:
    """One tensor of Hugging Face that is several in GGUF."""

    names: re.Pattern[str]
    parts: tuple[str, ...]
    """Templates of the GGUF names, with groups of the pattern."""
    cut: Callable[[Tensor, Config], Sequence[Tensor]]
    join: Callable[[Sequence[Tensor], Config], Tensor]

    def targets(self, match: re.Match[str]) -> tuple[str, ...]:
        return tuple(match.expand(part) for part in self.parts)

    def to_gguf(self, tensor: Tensor, config: Config) -> Sequence[Tensor]:
        return self.cut(tensor, config)

    def to_hf(self, parts: Sequence[Tensor], config: Config) -> Tensor:
        return self.join(parts, config)


def _same(tensor: Tensor, config: Config) -> Tensor:
    return tensor


def renamed(hf: str, gguf: str) -> Rearranged:
    """A tensor of each layer that has another name: `hf` is a pattern of the part after the layer."""
    return Rearranged(re.compile(LAYER + hf), _same, _same, rf"blk.\1.{gguf}")


def interleaved(heads: str) -> Rearranged:
    """Some of llama.cpp's architectures rotate neighboring coordinates, (H, D / 2, 2), Hugging Face halves, (H, 2, D / 2).

    Args:
        heads: the key of the number of heads of these projections.
    """

    def swap(tensor: Tensor, config: Config, *parts: int) -> Tensor:
        count = int(config.get(heads) or config["num_attention_heads"])
        if tensor.shape[0] % (2 * count):
            raise UserError(
                f"a projection of {tensor.shape[0]} rows does not have {count} heads of even width; it is damaged"
            )
        return tensor.reshape(count, *parts, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)

    letter = "q" if heads == "num_attention_heads" else "k"
    return Rearranged(
        re.compile(rf".*\.{letter}_proj\.(weight|bias)"),
        lambda tensor, config: swap(tensor, config, 2, -1),
        lambda tensor, config: swap(tensor, config, -1, 2),
    )


INTERLEAVED = (interleaved("num_attention_heads"), interleaved("num_key_value_heads"))


def regrouped(names: str, heads: str) -> Rearranged:
    """Fused queries, keys and values: (H, 3, D) in Hugging Face, (3, H, D) in GGUF."""
    return Rearranged(
        re.compile(names),
        lambda t, config: _regroup_rows(t, int(config[heads]), 3),
        lambda t, config: _regroup_rows(t, 3, int(config[heads])),
    )


def _regroup_rows(tensor: Tensor, first: int, second: int) -> Tensor:
    if tensor.shape[0] % (first * second):
        raise UserError(
            f"a projection of {tensor.shape[0]} rows is not queries, keys and values of equal heads; it is damaged"
        )
    return tensor.reshape(first, second, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)


def plus_one(names: str = r".*norm\.weight") -> Rearranged:
    """Norms that Hugging Face stores minus 1."""
    return Rearranged(re.compile(names), lambda t, config: t.float() + 1, lambda t, config: t.float() - 1)


def transposed(names: str) -> Rearranged:
    """Matrices that Hugging Face stores as (in, out)."""
    return Rearranged(re.compile(names), lambda t, config: t.t(), lambda t, config: t.t())


def halved(hf: str, parts: tuple[str, str], *, transpose: bool = False) -> Cut:
    """Gates and inputs of a layer's experts or shared expert, one after the other: (..., 2 I, C).

    Args:
        hf: pattern of the part of the name after the layer.
        parts: GGUF names after the layer.
        transpose: Hugging Face stores (..., C, 2 I).
    """

    def cut(tensor: Tensor, config: Config) -> Sequence[Tensor]:
        return (tensor.mT if transpose else tensor).chunk(2, dim=-2)

    def join(both: Sequence[Tensor], config: Config) -> Tensor:
        whole = torch.cat(list(both), dim=-2)
        return whole.mT if transpose else whole

    return Cut(re.compile(LAYER + hf), tuple(rf"blk.\1.{part}" for part in parts), cut, join)


def layer_rule(hf: str, change: Change, change_back: Change, name: str = "") -> Rearranged:
    """A tensor of each layer: `hf` is a pattern of the part after the layer, `name` another GGUF name after it."""
    return Rearranged(re.compile(LAYER + hf), change, change_back, rf"blk.\1.{name}" if name else "")


def decay(t: Tensor) -> Tensor:
    """Hugging Face stores the logarithm of the decay rate, GGUF its negative."""
    return -t.float().exp()


def log_decay(t: Tensor) -> Tensor:
    """The inverse of `decay`."""
    return (-t).log()


SQUEEZED = layer_rule(r"\w+\.conv1d\.weight", lambda t, config: t.squeeze(1), lambda t, config: t.unsqueeze(1))
