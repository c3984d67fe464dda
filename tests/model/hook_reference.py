"""The Transformer's formulas written out point by point, in plain torch.

Shapes: B batch, T tokens, H query heads, K key-value heads, D head width, C width.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.attention import Attention
from lmcraft.model.block import Block
from lmcraft.model.experts import MixtureOfExperts
from lmcraft.model.feedforward import FeedForward
from lmcraft.model.rotary import rotate
from lmcraft.model.transformer import Transformer

Point = Callable[[str, Tensor], Tensor]


def compute(model: Transformer, ids: Tensor, point: Point) -> Tensor:
    """The logits; `point` gets each activation with its name, and returns what replaces it."""
    config, T = model.config, ids.shape[1]
    x = F.embedding(ids, model.embed_tokens.weight)
    scale = config.hidden_size**0.5 if config.scale_embeddings else 1.0
    if config.position == "learned":
        x = (point("hook_embed", x) + point("hook_pos_embed", model.embed_positions.weight[:T].expand_as(x))) * scale
    else:
        x = point("hook_embed", x * scale)
    for number, (block, (rotary, *_)) in enumerate(zip(model.layers, model.layer_inputs(T), strict=True)):
        window = config.sliding_window if config.is_sliding(number) else 0
        x = _block(block, x, rotary, window, lambda name, value, number=number: point(f"blocks.{number}.{name}", value))
    return point("ln_final.hook_normalized", model.norm(x)) @ model.output_head.weight.T


def _block(block: Block, x: Tensor, rotary: tuple[Tensor, Tensor] | None, window: int, point: Point) -> Tensor:
    x = point("hook_resid_pre", x)
    attended = _attention(block.attention, point("ln1.hook_normalized", block.attention_norm(x)), rotary, window, point)
    middle = x + point("hook_attn_out", block.attention_post_norm(attended))
    if not block.parallel:
        x = middle = point("hook_resid_mid", middle)
    fed = _feed_forward(block.feed_forward, point("ln2.hook_normalized", block.feed_forward_norm(x)), point)
    return point("hook_resid_post", middle + point("hook_mlp_out", block.feed_forward_post_norm(fed)))


def _attention(layer: Attention, x: Tensor, rotary: tuple[Tensor, Tensor] | None, window: int, point: Point) -> Tensor:
    B, T, C = x.shape
    q, k, v = (
        point(f"attn.hook_{name}", projection(x).view(B, T, -1, layer.head_dim))
        for name, projection in (("q", layer.q_proj), ("k", layer.k_proj), ("v", layer.v_proj))
    )
    if layer.q_norm is not None:
        width = -2 if layer.norm_over_projection else -1
        q, k = (norm(t.flatten(width)).view_as(t) for norm, t in ((layer.q_norm, q), (layer.k_norm, k)))
    if rotary is not None:
        q, k = point("attn.hook_rot_q", rotate(q, *rotary)), point("attn.hook_rot_k", rotate(k, *rotary))
    group = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
    scores = torch.einsum("bthd,bshd->bhts", q, k) * layer.scale
    distance = torch.arange(T)[:, None] - torch.arange(T)[None]
    hidden = (distance < 0) | (distance >= window) if window else distance < 0
    pattern = point("attn.hook_attn_scores", scores.masked_fill(hidden, -torch.inf)).softmax(-1)
    z = point("attn.hook_z", torch.einsum("bhts,bshd->bthd", point("attn.hook_pattern", pattern), v))
    heads = layer.o_proj.weight.view(C, -1, layer.head_dim)  # (C, H, D)
    result = point("attn.hook_result", torch.einsum("bthd,chd->bthc", z, heads)).sum(2)
    return result if layer.o_proj.bias is None else result + layer.o_proj.bias


def _feed_forward(layer: nn.Module, x: Tensor, point: Point) -> Tensor:
    if isinstance(layer, MixtureOfExperts):
        shares, chosen = layer.router(x).softmax(-1).topk(layer.top_k)
        shares = shares / shares.sum(-1, keepdim=True) if layer.normalized else shares
        outputs = torch.stack([_feed_forward(expert, x, lambda _, value: value) for expert in layer.experts], -2)
        picked = outputs.gather(-2, chosen[..., None].expand(*chosen.shape, x.shape[-1]))
        return (picked * shares[..., None]).sum(-2)
    assert isinstance(layer, FeedForward)
    act = {
        "swiglu": F.silu,
        "gelu": F.gelu,
        "geglu_tanh": lambda t: F.gelu(t, approximate="tanh"),
        "gelu_tanh": lambda t: F.gelu(t, approximate="tanh"),
        "relu2": lambda t: F.relu(t) ** 2,
    }[layer.kind]
    if layer.gate_proj is None:
        inner = act(point("mlp.hook_pre", layer.up_proj(x)))
    else:
        up = point("mlp.hook_pre_linear", layer.up_proj(x))
        inner = act(point("mlp.hook_pre", layer.gate_proj(x))) * up
    return layer.down_proj(point("mlp.hook_post", inner))
