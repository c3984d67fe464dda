"""The optimizer: parameter groups, each with its own update rule and learning rate."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.muon import Muon
from lmcraft.training.sharding import blank_like, local_shard, total_norm
from lmcraft.training.width_transfer import rate_scales


@dataclass
class Group:
    """Weights that share an update rule and a base learning rate."""

    params: list[Tensor]
    lr: float
    decayed: bool
    """Whether weight decay and penalties apply; they apply to all weights except norms and biases."""
    matrices: bool = False
    """Whether these are the blocks' matrices, which normuon and muon update."""
    scale: float = 1.0
    """Of the rate, from the base width to this model's (`lmcraft.training.width_transfer`); weight decay is not scaled."""


class Optimizer:
    """Updates all groups: clips the gradient, adds penalties, applies the update rules and decoupled weight decay.

    Args:
        model: its weights are updated in place.
        config: resolved.
        compute_dtype: the type of Muon's products.
        groups: which weights are updated; None: all.
        width_ratio: the model's width / the width that the learning rates are for.

    Raises:
        UserError: a setting is out of its range.
    """

    def __init__(
        self,
        model: Transformer,
        config: OptimizerConfig,
        compute_dtype: torch.dtype,
        groups: list[Group] | None = None,
        width_ratio: float = 1.0,
    ) -> None:
        check_optimizer(config)
        self.config = config
        self.names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
        self.groups = parameter_groups(model, config, width_ratio) if groups is None else groups
        self.rules = list(self._rules(compute_dtype))
        self._base_rates = [[float(group["lr"]) for group in rule.param_groups] for rule in self.rules]

    def step(self, learning_rate_factor: float) -> float:
        """Apply and clear the parameters' gradients; returns the gradient's norm before clipping."""
        gradients = [p.grad for group in self.groups for p in group.params if p.grad is not None]
        norm = total_norm(gradients)
        if self.config.gradient_clip:
            shrink = (self.config.gradient_clip / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_([local_shard(gradient) for gradient in gradients], shrink)
        self._add_penalties()
        for rule, rates in zip(self.rules, self._base_rates, strict=True):
            for group, rate in zip(rule.param_groups, rates, strict=True):
                group["lr"] = rate * learning_rate_factor
            with self._decay(rule):
                rule.step()
            rule.zero_grad()
        return float(norm)

    @contextmanager
    def _decay(self, rule: torch.optim.Optimizer) -> Iterator[None]:
        """Decoupled decay around a step: w -= lr * weight_decay * w, w from before the step (arXiv 1711.05101, algorithm 2).

        Cautious decay: only where the step makes the weight smaller too (arXiv 2510.12402, algorithm 1).
        """
        decayed = [group for group in rule.param_groups if group["decayed"] and self.config.weight_decay]
        before = [[p.detach().clone() for p in group["params"]] for group in decayed if self.config.cautious_decay]
        with torch.no_grad():
            if not self.config.cautious_decay:
                for group in decayed:
                    torch._foreach_mul_(group["params"], 1 - group["lr"] / group["scale"] * self.config.weight_decay)
            yield
            for group, weights in zip(decayed, before, strict=False):
                for p, w in zip(group["params"], weights, strict=True):
                    p.sub_(w * ((w - p) * w > 0), alpha=group["lr"] / group["scale"] * self.config.weight_decay)

    def state(self) -> dict[str, Tensor]:
        """The optimizer state that the next step needs, by "parameter/name"."""
        return {
            f"{self.names[p]}/{key}": torch.as_tensor(value)
            for rule in self.rules
            for p, state in rule.state.items()
            for key, value in state.items()
            if value is not None
        }

    def blank_state(self, name: str, size: torch.Size, dtype: torch.dtype) -> Tensor:
        """An empty tensor for an entry of `state`, sharded like its parameter."""
        params = {name: p for p, name in self.names.items()}
        return blank_like(params[name.rpartition("/")[0]], size, dtype)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore the tensors that `state` returned."""
        rules = {p: rule for rule in self.rules for group in rule.param_groups for p in group["params"]}
        params = {name: p for p, name in self.names.items()}
        for name, tensor in state.items():
            parameter, _, key = name.rpartition("/")
            rules[params[parameter]].state[params[parameter]][key] = tensor

    def _add_penalties(self) -> None:
        """Add the gradients of l1 * |w| and l2 / 2 * w^2. Like torch's own weight decay, they are added after clipping."""
        for group in self.groups:
            weights: list[Tensor] = [p for p in group.params if p.grad is not None and group.decayed]
            gradients = [p.grad for p in weights if p.grad is not None]
            if weights and self.config.l2:
                torch._foreach_add_(gradients, weights, alpha=self.config.l2)
            if weights and self.config.l1:
                torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=self.config.l1)

    def _rules(self, compute_dtype: torch.dtype) -> Iterator[torch.optim.Optimizer]:
        c = self.config
        matrices = [group for group in self.groups if group.matrices]
        others = [group for group in self.groups if not group.matrices]
        momentum: dict[str, Any] = {"momentum": c.momentum, "nesterov": c.nesterov and c.momentum > 0}
        adam: dict[str, Any] = {"betas": (c.beta1, c.beta2), "eps": c.eps, "fused": True}
        match c.name:
            case "muon" | "normuon":
                beta2 = c.row_beta2 if c.name == "normuon" else 0.0
                yield Muon(_torch_groups(matrices), compute_dtype=compute_dtype, beta2=beta2, **momentum)
                yield torch.optim.Adam(_torch_groups(others), **adam)
            case "adamw" | "adam":
                yield torch.optim.Adam(_torch_groups(self.groups), **adam)
            case "sgd":
                yield torch.optim.SGD(_torch_groups(self.groups), **momentum)


def _torch_groups(groups: list[Group]) -> list[dict[str, Any]]:
    """torch's parameter groups, one for each mesh, since its operations on lists of tensors cannot mix meshes."""
    by_mesh: dict[tuple[int, object], list[Tensor]] = defaultdict(list)
    for number, group in enumerate(groups):
        for p in group.params:
            by_mesh[number, getattr(p, "device_mesh", None)].append(p)
    return [
        {"params": params, "lr": group.lr * group.scale, "scale": group.scale, "decayed": group.decayed}
        for (number, _), params in by_mesh.items()
        for group in [groups[number]]
    ]


def parameter_groups(model: Transformer, config: OptimizerConfig, width_ratio: float = 1.0) -> list[Group]:
    """The groups, in the order: blocks' matrices, embeddings, output projection, norms and biases, final norm."""
    head: list[Tensor] = [] if model.lm_head is None else [model.lm_head.weight]
    embeddings: list[Tensor] = [m.weight for m in (model.embed_tokens, model.embed_positions) if m is not None]
    matrices: list[Tensor] = [p for p in model.layers.parameters() if p.ndim == 2]
    final: list[Tensor] = list(model.norm.parameters())
    grouped = {*head, *embeddings, *matrices, *final}
    scalars: list[Tensor] = [p for p in model.parameters() if p not in grouped]
    scales = rate_scales(config.name, width_ratio)
    return [
        Group(matrices, config.learning_rate, decayed=True, matrices=True, scale=scales[0]),
        Group(embeddings, config.embedding_learning_rate, decayed=True, scale=scales[1]),
        Group(head, config.head_learning_rate, decayed=True, scale=scales[2]),
        Group(scalars, config.scalar_learning_rate, decayed=False, scale=scales[3]),
        Group(final, config.scalar_learning_rate, decayed=False, scale=scales[4]),
    ]


def check_optimizer(config: OptimizerConfig) -> None:
    """Raise UserError for a setting out of its range."""
    for name in ("learning_rate", "embedding_learning_rate", "head_learning_rate", "scalar_learning_rate"):
        if not 0 < (rate := getattr(config, name)) < float("inf"):
            raise UserError(f"optimizer.{name}={rate} must be greater than 0: leave it out to set it by --depth")
    for name in ("momentum", "beta1", "beta2", "row_beta2"):
        if not 0 <= (value := getattr(config, name)) < 1:
            raise UserError(f"optimizer.{name}={value} must be at least 0 and less than 1")
    for name in ("weight_decay", "l1", "l2", "gradient_clip"):
        if (value := getattr(config, name)) < 0:
            raise UserError(f"optimizer.{name}={value} must not be negative: 0 turns it off")
    if config.name == "adam" and config.weight_decay:
        raise UserError(
            f"optimizer.weight_decay={config.weight_decay} is decoupled, which makes Adam AdamW: "
            "use --optimizer.name adamw, or --optimizer.l2 for a coupled penalty"
        )
