"""Functions for hook points that take something away from a forward pass, or put another run's values there.

Each returns what `Transformer.run_with_hooks` takes as `fwd_hooks`; lists add up: `ablate_heads(...) + ablate_tokens(...)`.

Shapes: B batch, T tokens, S tokens attended to, H heads, D head width, C width.
"""

import random
from collections.abc import Collection, Iterable, Mapping
from itertools import combinations
from math import comb
from operator import index as index_of
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import HookFunction, HookPoint

Item = TypeVar("Item")
Head = tuple[int, int]
"""The layer of an attention head, and its number within the layer, both from 0."""
Intervention = list[tuple[str, HookFunction]]
"""Points, and the functions that replace their activations."""
Constant = Literal["mean", "zero"]
Source = Constant | Mapping[str, Tensor]
"""What replaces an activation: its mean over the positions of its own row, as a constant that no gradient passes ("mean");
zeros ("zero"); or the activations of another run by the names of their points, as `run_with_cache` returns them (a dimension
of size 1 counts for all rows or positions)."""


def replace_activations(
    names: str | Collection[str],
    source: Source,
    *,
    tokens: Collection[int] | None = None,
    heads: Collection[int] | None = None,
) -> Intervention:
    """Replace the activations of some points.

    Args:
        names: of the points.
        source: what replaces the activations.
        tokens: the positions to replace, those of the queries at `hook_attn_scores` and `hook_pattern`; negative ones count
            from the end; None: all.
        heads: the heads to replace, at points that have some; key-value heads at `hook_k`, `hook_v` and `hook_rot_k`. None:
            all.

    Raises:
        UserError: at once for a mean of scores or patterns, heads of a point without any, and a point that the other run did
            not keep; when the model runs for a token or a head that does not exist, and values of another shape.
    """
    names = [names] if isinstance(names, str) else list(names)
    return [(name, _Replacement(name, source, tokens, heads)) for name in names]


def ablate_heads(heads: Iterable[Head], source: Source = "mean", *, tokens: Collection[int] | None = None) -> Intervention:
    """Replace what attention heads read (their `hook_z`): what they then add to the residual stream says nothing of the text
    ("mean", "zero"), or says what it says of another text."""
    numbers: dict[int, list[int]] = {}
    for layer, number in heads:
        numbers.setdefault(layer, []).append(number)
    hooks: Intervention = []
    for layer, chosen in numbers.items():
        hooks += replace_activations(f"blocks.{layer}.attn.hook_z", source, tokens=tokens, heads=chosen)
    return hooks


def ablate_feed_forwards(
    layers: Iterable[int], source: Source = "mean", *, tokens: Collection[int] | None = None
) -> Intervention:
    """Replace what feed-forward layers, or mixtures of experts, add to the residual stream (`hook_mlp_out`)."""
    return replace_activations([f"blocks.{layer}.hook_mlp_out" for layer in layers], source, tokens=tokens)


def ablate_tokens(tokens: Collection[int], source: Source = "mean") -> Intervention:
    """Replace the embeddings of tokens of the text; their positions stay."""
    return replace_activations("hook_embed", source, tokens=tokens)


def list_heads(config: TransformerConfig) -> list[Head]:
    """All attention heads of a model."""
    layers = filter(config.has_attention, range(config.num_hidden_layers))
    return [(layer, number) for layer in layers for number in range(config.num_attention_heads)]


def draw_others(subject: Item, candidates: Iterable[Item], count: int, seed: int) -> list[Item]:
    """Different random candidates other than the subject; all of them if there are no more than `count`."""
    others = [candidate for candidate in dict.fromkeys(candidates) if candidate != subject]
    return random.Random(seed).sample(others, min(count, len(others)))


def draw_other_sets(subject: Collection[Item], candidates: Iterable[Item], count: int, seed: int) -> list[tuple[Item, ...]]:
    """Different random sets of as many candidates as the subject has, none of which the subject has.

    All such sets if there are no more than `count`.
    """
    others = [candidate for candidate in dict.fromkeys(candidates) if candidate not in subject]
    size = len(set(subject))
    if comb(len(others), size) <= count:
        return list(combinations(others, size))
    draw, sets = random.Random(seed), dict[tuple[int, ...], None]()
    while len(sets) < count:
        sets[tuple(sorted(draw.sample(range(len(others)), size)))] = None
    return [tuple(others[index] for index in indices) for indices in sets]


class _Replacement:
    """The function of one point."""

    def __init__(self, name: str, source: Source, tokens: Collection[int] | None, heads: Collection[int] | None) -> None:
        part = name.rpartition(".")[2]
        is_pairwise = part in ("hook_attn_scores", "hook_pattern")  # (B, H, T, S)
        has_heads = is_pairwise or part in (
            "hook_q",
            "hook_k",
            "hook_v",
            "hook_rot_q",
            "hook_rot_k",
            "hook_z",
            "hook_result",
        )
        if not isinstance(source, Mapping) and source not in get_args(Constant):
            raise UserError(f"source={source!r} is not supported: use 'mean', 'zero' or the cache of another run")
        if source == "mean" and is_pairwise:
            raise UserError(
                f"a mean over positions of {name} would let tokens attend to later ones: use 'zero' or another run"
            )
        if heads is not None and not has_heads:
            raise UserError(f"{name} has no heads: leave heads out")
        if isinstance(source, Mapping) and name not in source:
            raise UserError(f"the other run kept no {name}: add it to its names_filter")
        self.source = source
        self.tokens, self.token_dim = tokens, 2 if is_pairwise else 1
        self.heads, self.head_dim = heads, 1 if is_pairwise else 2

    def __call__(self, activation: Tensor, point: HookPoint) -> Tensor:
        mask = torch.ones([1] * activation.dim(), dtype=torch.bool, device=activation.device)
        if self.tokens is not None:
            mask = mask & _mask(activation, self.token_dim, self.tokens, f"position at {point.name}")
        if self.heads is not None:
            mask = mask & _mask(activation, self.head_dim, self.heads, f"head at {point.name}")
        return torch.where(mask, self._values(activation, point), activation)

    def _values(self, activation: Tensor, point: HookPoint) -> Tensor:
        if self.source == "zero":
            return activation.new_zeros(())
        if self.source == "mean":
            return activation.detach().mean(self.token_dim, keepdim=True)
        assert isinstance(self.source, Mapping)
        values, shape = self.source[point.name], activation.shape
        fits = len(values.shape) == len(shape) and values.shape[2:] == shape[2:]
        if not fits or any(values.shape[dim] not in (1, shape[dim]) for dim in (0, 1)):
            raise UserError(
                f"the other run's {point.name} has the shape {tuple(values.shape)}, this one's is {tuple(shape)}: use two "
                "texts with the same number of tokens"
            )
        return values.to(activation)


def _mask(activation: Tensor, dim: int, indices: Collection[int], noun: str) -> Tensor:
    """True at some indices of a dimension; every other dimension has the size 1."""
    size, numbers = activation.shape[dim], [index_of(index) for index in indices]
    for index in numbers:
        if not -size <= index < size:
            raise UserError(f"there is no {noun} with the number {index}: use 0 to {size - 1}")
    mask = torch.zeros(size, dtype=torch.bool, device=activation.device)
    mask[torch.tensor(numbers, dtype=torch.long, device=activation.device)] = True
    return mask.view([size if number == dim else 1 for number in range(activation.dim())])
