"""LoRA and DoRA layers next to a model's weights: for training adapters, and for serving several on one base model.

LoRA (arXiv 2106.09685, eq. 3): W x + s B A x. DoRA (arXiv 2402.09353, eq. 5): each row of W + s B A is rescaled to a
learned magnitude. Both match PEFT. Over a frozen 8-bit or 4-bit base this is QLoRA (arXiv 2305.14314).

Shapes: I inputs, O outputs of a layer, r rank.
"""

from collections.abc import Mapping
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.model.adapter import BASE_WEIGHTS, Adapter
from lmcraft.model.families import family_for
from lmcraft.model.frozen_linear import FrozenLinear
from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import Bits
from lmcraft.model.transformer import Transformer, copy_sharing_weights


class LoraLinear(nn.Module):
    """A frozen linear layer plus a trainable low-rank update.

    Args:
        base: the frozen layer.
        rank: r.
        scale: s.
        dropout: dropout of the update's input.
        dora: also learn the magnitude of each row (DoRA).
    """

    def __init__(self, base: Linear | FrozenLinear, rank: int, scale: float, dropout: float = 0.0, *, dora: bool) -> None:
        super().__init__()
        self.base, self.scale, self.dropout = base, scale, dropout
        self.enabled = True
        self._cached_row_norms: Tensor | None = None
        device = base.weight.device
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.lora_A, a=sqrt(5))
        self.magnitude = nn.Parameter(base.weight.float().norm(dim=1)) if dora else None
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        if not self.enabled:
            return y
        dropped = F.dropout(x, self.dropout, self.training)
        change = F.linear(F.linear(dropped, self.lora_A.to(x.dtype)), self.lora_B.to(x.dtype)) * self.scale
        if self.magnitude is None:
            return y + change
        row_scale = (self.magnitude / self._row_norms()).to(x.dtype)
        base_product: Tensor = self.base(dropped) if self.dropout and self.training else y
        if self.base.bias is not None:
            base_product = base_product - self.base.bias.to(x.dtype)
        rescaled: Tensor = y + (row_scale - 1) * base_product + row_scale * change
        return rescaled

    def cache_row_norms(self) -> None:
        """Compute DoRA's row norms once; valid as long as the weights do not change."""
        if self.magnitude is not None:
            self._cached_row_norms = self._row_norms()

    @torch.no_grad()
    def _row_norms(self) -> Tensor:
        """Norms of the rows of W + s B A, (O,); constant for the gradient (DoRA, section 4.3)."""
        if self._cached_row_norms is not None:
            return self._cached_row_norms
        norms: Tensor = (self.base.weight.float() + self.scale * (self.lora_B @ self.lora_A)).norm(dim=1)
        return norms


def with_adapter(model: Transformer, adapter: Adapter) -> Transformer:
    """A copy of a model that shares its weights and adds an adapter, for inference; `model` is unchanged.

    Raises:
        UserError: as in `load_adapter`.
    """
    copy = copy_sharing_weights(model)
    load_adapter(copy, adapter)
    for module in copy.modules():
        if isinstance(module, LoraLinear):
            module.cache_row_norms()
    return copy.eval()


def lora_factors(layer: Linear | LoraLinear) -> tuple[Tensor, Tensor, Tensor]:
    """A (r, I), B (O, r) and row scales (O,), float32; the layer computes row_scale * W x + B A x + bias."""
    if isinstance(layer, Linear):
        weight = layer.weight.float()
        return weight[:0], weight[:, :0], weight.new_ones(len(weight))
    norms = layer._row_norms()
    row_scale = torch.ones_like(norms) if layer.magnitude is None else layer.magnitude / norms
    return layer.lora_A, layer.scale * row_scale[:, None] * layer.lora_B, row_scale


def select_adapter(models: Mapping[str, Transformer], name: str) -> Transformer:
    """The model with the adapter of this name; "" is the base model.

    Raises:
        UserError: no adapter of this name is loaded.
    """
    if name not in models:
        loaded = ", ".join(f"'{other}'" for other in sorted(models) if other)
        raise UserError(f"there is no adapter '{name}'; loaded adapters: {loaded or 'none'}")
    return models[name]


def load_adapter(model: Transformer, adapter: Adapter) -> None:
    """Attach a saved adapter to its base model, in place; the base weights are frozen.

    Raises:
        UserError: the adapter does not fit the model, or changes tensors other than the blocks' matrices.
    """
    family, shapes = family_for(model.config), {name: p.shape for name, p in model.named_parameters()}
    stacks = dict(family.stacks(model.config))
    model.requires_grad_(False)
    if adapter.keeps_residual:
        raise UserError(
            f"the adapter '{adapter.folder}' changes the base model's own matrices "
            f"(init_lora_weights={adapter.config['init_lora_weights']!r}): open it as the model, or merge it with "
            "`lmcraft export`"
        )
    bits: Bits | None = {"int8": 8, "int4": 4}.get(str(adapter.config.get(BASE_WEIGHTS)))  # type: ignore[assignment]
    for module in [*adapter.replaced_tensors, *adapter.modules]:
        hf_name = f"{module}.weight"
        bases = [model.get_submodule(name.removesuffix(".weight")) for name in stacks.get(hf_name, ())]
        linear = [base for base in bases if isinstance(base, Linear) and base is not model.lm_head]
        if not linear or len(linear) < len(bases):
            raise UserError(
                f"the adapter '{adapter.folder}' changes '{module}', which can only be merged into the base model; "
                "merge it with `lmcraft export`"
            )
        a, b, magnitudes = adapter.low_rank(module)
        size, rank = (sum(base.out_features for base in linear), linear[0].in_features), len(a)
        if (len(b), a.shape[1]) != size or b.shape[1] != rank or (magnitudes is not None and len(magnitudes) != size[0]):
            raise UserError(
                f"the adapter '{adapter.folder}' changes '{module}' by matrices of shapes {tuple(b.shape)} and "
                f"{tuple(a.shape)}, but the base model's is {size}; the two do not belong together"
            )
        b_parts = list(family.split(model.config, hf_name, b, shapes))
        m_parts: list[Tensor | None] = [None] * len(linear)
        if magnitudes is not None:
            m_parts = [part[:, 0] for _, part in family.split(model.config, hf_name, magnitudes[:, None], shapes)]
        blocks = _split_blocks(a, [part for _, part in b_parts])
        for base, (weight, _), lora_A, lora_B, magnitude in zip(linear, b_parts, *blocks, m_parts, strict=True):
            adapted = LoraLinear(
                base if bits is None else FrozenLinear(base, bits),
                len(lora_A),
                adapter.scale(module),
                float(adapter.config.get("lora_dropout") or 0.0),
                dora=magnitude is not None,
            )
            with torch.no_grad():
                adapted.lora_A.copy_(lora_A)
                adapted.lora_B.copy_(lora_B)
                if adapted.magnitude is not None and magnitude is not None:
                    adapted.magnitude.copy_(magnitude)
            model.set_submodule(weight.removesuffix(".weight"), adapted)


def _split_blocks(a_rI: Tensor, b_parts: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """A and B per layer: the block-diagonal stack of `finetuning.lora.adapter_tensors` taken apart, or all of A for each."""
    n, rank = len(b_parts), len(a_rI)
    if n > 1 and rank % n == 0:
        blocks = [torch.split(part, rank // n, dim=1) for part in b_parts]
        if not any(block.any() for i, row in enumerate(blocks) for j, block in enumerate(row) if i != j):
            return list(torch.split(a_rI, rank // n)), [row[i] for i, row in enumerate(blocks)]
    return [a_rI] * n, b_parts
