"""Named points of the Transformer at which functions read or replace activations, with TransformerLens's names.

Without hooks the model calls `no_hooks` at each point, which returns its argument. Hooks are an argument of the forward
pass, and nothing in the model changes, so other threads can use it at the same time. docs/hooks.md lists the points.

Shapes: B batch, T new tokens, S tokens attended to, H query heads, K key-value heads, D head width, C width, I inner width.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig


@dataclass(frozen=True)
class HookPoint:
    """The point at which a function is called."""

    name: str
    """As in TransformerLens: `blocks.3.attn.hook_pattern`."""

    def layer(self) -> int:
        """The number of its block, from 0.

        Raises:
            ValueError: it is outside the blocks.
        """
        parts = self.name.split(".")
        if parts[0] != "blocks":
            raise ValueError(f"{self.name} is not in a block")
        return int(parts[1])


HookFunction = Callable[[Tensor, HookPoint], Tensor | None]
"""Gets a copy of the activation, and its point. The copy replaces the activation, so it may be changed in place; or a tensor
of the same shape that the function returns does, converted to the activation's type."""
NameFilter = str | Collection[str] | Callable[[str], bool]
"""A name, several, or a function that says which names."""


class Hook(Protocol):
    """What a part of the model calls at its points."""

    def __call__(self, name: str, activation: Tensor) -> Tensor:
        """The activation, or what replaces it; `name` is that of the point within the part."""

    def has(self, *names: str) -> bool:
        """Whether a function waits at one of these points."""


class NoHooks:
    """The hook of a model that nobody looks into."""

    def __call__(self, name: str, activation: Tensor) -> Tensor:
        return activation

    def has(self, *names: str) -> bool:
        return False


no_hooks = NoHooks()


class Hooks:
    """Functions at named points.

    Args:
        config: of the model.
        functions: the points of each function, and the function; at one point they are called in this order.

    Raises:
        UserError: a name is not that of a point of this model, or there is something else than pairs.
    """

    def __init__(self, config: TransformerConfig, functions: Sequence[tuple[NameFilter, HookFunction]]) -> None:
        names = hook_names(config)
        self._functions: dict[str, list[HookFunction]] = {}
        for pair in functions:
            if not isinstance(pair, tuple | list) or len(pair) != 2 or not callable(pair[1]):
                raise UserError(f"fwd_hooks has {pair!r}: give a list of pairs, each of names and a function")
            name_filter, function = pair
            for name in select_names(names, name_filter):
                self._functions.setdefault(name, []).append(function)

    def at(self, prefix: str) -> "_PrefixedHook":
        """The hook of a part whose points begin with this prefix."""
        return _PrefixedHook(self._functions, prefix)


@dataclass(frozen=True)
class _PrefixedHook:
    functions: Mapping[str, Sequence[HookFunction]]
    prefix: str

    def __call__(self, name: str, activation: Tensor) -> Tensor:
        point = HookPoint(self.prefix + name)
        for function in self.functions.get(point.name, ()):
            activation = activation.clone()
            replacement = function(activation, point)
            if replacement is not None:
                _check_replacement(replacement, activation, point)
                activation = replacement.to(activation)
        return activation

    def has(self, *names: str) -> bool:
        return any(self.prefix + name in self.functions for name in names)


def _check_replacement(replacement: Tensor, activation: Tensor, point: HookPoint) -> None:
    is_tensor = isinstance(replacement, Tensor)
    if not is_tensor or replacement.shape != activation.shape:
        kind = f"the shape {tuple(replacement.shape)}" if is_tensor else f"a {type(replacement).__name__}"
        raise UserError(
            f"a function at {point.name} returned {kind}: return a tensor of the shape {tuple(activation.shape)}, or None "
            "to keep the activation"
        )


def hook_names(config: TransformerConfig) -> list[str]:
    """The names of all points of a model, in the order of the forward pass."""
    names = ["hook_embed", *(["hook_pos_embed"] if config.position == "learned" else [])]
    for layer in range(config.num_hidden_layers):
        names += [f"blocks.{layer}.{name}" for name in _block_names(config, layer)]
    return [*names, "ln_final.hook_normalized"]


def _block_names(config: TransformerConfig, layer: int) -> Iterator[str]:
    yield "hook_resid_pre"
    if config.has_attention(layer) or config.state_shapes(layer):
        yield "ln1.hook_normalized"
        if config.has_attention(layer):
            yield from _attention_names(config, layer)
        yield "hook_attn_out"
        if not config.parallel_residual:
            yield "hook_resid_mid"
    if config.has_feed_forward(layer):
        yield "ln2.hook_normalized"
        if not config.has_experts(layer):
            yield "mlp.hook_pre"
            if config.is_gated:
                yield "mlp.hook_pre_linear"
            yield "mlp.hook_post"
        yield "hook_mlp_out"
    yield "hook_resid_post"


def _attention_names(config: TransformerConfig, layer: int) -> Iterator[str]:
    if config.shares_keys(layer):
        yield from ("attn.hook_q", *(["attn.hook_rot_q"] if config.has_rotary(layer) else []))
    elif config.latent_attention.kv_lora_rank:
        yield from ("attn.hook_q", "attn.hook_rot_q", "attn.hook_rot_k", "attn.hook_v")
    else:
        yield from (f"attn.hook_{part}" for part in ("q", "k", "v"))
        if config.has_rotary(layer):
            yield from ("attn.hook_rot_q", "attn.hook_rot_k")
    yield from (f"attn.hook_{part}" for part in ("attn_scores", "pattern", "z"))
    if not config.sub_norm:
        yield "attn.hook_result"


def select_names(names: Sequence[str], name_filter: NameFilter) -> list[str]:
    """The names that a filter selects.

    Raises:
        UserError: one that it lists does not exist.
    """
    if callable(name_filter):
        return [name for name in names if name_filter(name)]
    listed = [name_filter] if isinstance(name_filter, str) else list(name_filter)
    all_names = set(names)
    for name in listed:
        if name not in all_names:
            close = get_close_matches(str(name), names, 1)
            remedy = f"did you mean {close[0]!r}?" if close else "hook_names(model.config) lists them"
            raise UserError(f"this model has no hook point {name!r}: {remedy}")
    return listed
