"""Which weights of a model a method trains, and their learning rates."""

from collections import defaultdict

from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.head import HEAD
from lmcraft.finetuning.lora import add_adapters
from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.optimizer import Group, parameter_groups
from lmcraft.training.sharding import full_tensor


def set_trainable_weights(model: Transformer, method: MethodConfig) -> None:
    """Freeze the weights that `method` does not train, and add its adapters.

    Raises:
        UserError: the model lacks the weights that the method trains.
    """
    method.check()
    head = getattr(model, HEAD, None)
    if method.adapts:
        add_adapters(model, method)
    elif method.name in ("last", "head"):
        model.requires_grad_(False)
        if method.name == "head" and head is None:
            if model.lm_head is None:
                raise UserError(
                    "method.name=head: this model has no separate head, since its output projection is tied to its "
                    "embedding: use last or lora"
                )
            model.lm_head.requires_grad_(True)
        if method.name == "last":
            if method.last_layers > len(model.layers):
                raise UserError(
                    f"method.last_layers={method.last_layers} is more than the model's {len(model.layers)} blocks: lower it"
                )
            for block in (*model.layers[-method.last_layers :], model.norm):
                block.requires_grad_(True)
    if isinstance(head, nn.Module):
        if model.lm_head is not None:  # which no loss of a head depends on
            model.lm_head.requires_grad_(False)
        head.requires_grad_(True)


def trained_groups(model: Transformer, optimizer: OptimizerConfig, method: MethodConfig) -> list[Group]:
    """The trained weights in groups with their learning rates, which fall from the top block down if layer_decay < 1."""
    depth = len(model.layers)
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}

    def distance_from_top(p: Tensor) -> int:
        first, _, suffix = names[p].partition(".")
        if first == "layers":
            return depth - int(suffix.partition(".")[0])
        return depth + 1 if first.startswith("embed") else 0

    groups = []
    for group in parameter_groups(model, optimizer):
        by_depth: dict[int, list[Tensor]] = defaultdict(list)
        for p in group.params:
            if p.requires_grad:
                by_depth[distance_from_top(p) if method.layer_decay < 1 else 0].append(p)
        groups += [
            Group(params, group.lr * method.layer_decay**distance, group.decayed, group.matrices)
            for distance, params in sorted(by_depth.items())
        ]
    return groups


def trained_state(model: Transformer) -> dict[str, Tensor]:
    """A copy of the trained parameters by name, gathered from all processes; every process of a run must call this."""
    return {name: full_tensor(p.detach()) for name, p in model.named_parameters() if p.requires_grad}
