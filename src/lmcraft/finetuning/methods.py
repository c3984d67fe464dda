"""Which weights of a model are trained, and at which rates."""

from collections import defaultdict

from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.lora import add_adapters
from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.optimizer import Group, parameter_groups
from lmcraft.training.sharding import whole

HEAD = "score"  # what a classifier's head is called, here and in transformers (`model.adapter.HEAD` is its weight)


def choose_trained(model: Transformer, method: MethodConfig) -> None:
    """Freeze what `method` does not train, and put its adapters around the rest.

    Raises:
        UserError: the model lacks what is to be trained.
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
                    "method.name=head: this model's output projection is its embedding, so it has no head of its own: "
                    "choose last or lora"
                )
            model.lm_head.requires_grad_(True)
        if method.name == "last":
            if method.last_layers > len(model.layers):
                raise UserError(
                    f"method.last_layers={method.last_layers} are more than the model's {len(model.layers)} blocks"
                )
            for block in (*model.layers[-method.last_layers :], model.norm):
                block.requires_grad_(True)
    if isinstance(head, nn.Module):
        head.requires_grad_(True)


def trained_groups(model: Transformer, optimizer: OptimizerConfig, method: MethodConfig) -> list[Group]:
    """The weights that are trained, each block's with its own rate where rates decay from the top."""
    depth = len(model.layers)
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}

    def below_the_top(p: Tensor) -> int:
        first, _, rest = names[p].partition(".")
        if first == "layers":
            return depth - int(rest.partition(".")[0])
        return depth + 1 if first.startswith("embed") else 0

    groups = []
    for group in parameter_groups(model, optimizer):
        by_depth: dict[int, list[Tensor]] = defaultdict(list)
        for p in group.params:
            if p.requires_grad:
                by_depth[below_the_top(p) if method.layer_decay < 1 else 0].append(p)
        groups += [
            Group(params, group.lr * method.layer_decay**place, group.decayed, group.matrices)
            for place, params in sorted(by_depth.items())
        ]
    return groups


def trained_state(model: Transformer) -> dict[str, Tensor]:
    """A copy of the parameters that are trained, whole, by name; every process of a run has to ask for it."""
    return {name: whole(p.detach()) for name, p in model.named_parameters() if p.requires_grad}
