"""The decoder-only Transformer (arXiv 1706.03762); `TransformerConfig` selects its parts.

Shapes: B batch, T new tokens, S tokens attended to (cached and new), C width, V vocabulary, R rotated dimensions of a head.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lmcraft.errors import UserError
from lmcraft.model.attention import AttentionFunction, AttentionKind, BaseAttention, Cache
from lmcraft.model.block import Block
from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import Hook, HookFunction, HookPoint, Hooks, NameFilter, no_hooks
from lmcraft.model.layer_inputs import LayerInputs, LayerInputsBuilder, token_positions
from lmcraft.model.linear import Linear
from lmcraft.model.norm import make_final_norm, make_norm
from lmcraft.model.output_head import OutputHead
from lmcraft.model.per_layer_embedding import LayerEmbedding
from lmcraft.model.quantized_matrix import QuantizedMatrix
from lmcraft.model.shared_keys import SharedKeys
from lmcraft.model.token_tree import TokenTree
from lmcraft.terminal import format_count


class Embedding(nn.Embedding):
    """A vector for each token, or for each position."""

    quantized: QuantizedMatrix | None = None
    """As of a `Linear`."""


class Transformer(nn.Module):
    """Maps token ids to next-token logits.

    `compute_dtype` is the dtype of the activations; the weights may have another (training uses float32 weights with
    bfloat16 activations where that is faster). With `checkpointing`, only the blocks' inputs are kept for the backward pass,
    which recomputes the other activations (arXiv 1604.06174).

    Raises:
        UserError: the configuration lacks a size or is inconsistent.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.compute_dtype = torch.get_default_dtype()
        self.source = ""  # the file or folder of its weights, for messages
        self.checkpointing = False
        self.embed_tokens = _embedding(config.vocab_size, config.hidden_size)
        learned = config.position == "learned"
        rows = config.max_position_embeddings + config.position_offset
        self.embed_positions = _embedding(rows, config.hidden_size) if learned else None
        self.embed_types = _embedding(config.token_types, config.hidden_size) if config.token_types else None
        self.embed_norm = make_norm(config) if config.embedding_norm else None
        self.layer_embedding = _layer_embedding(config) if config.per_layer_embedding.width else None
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = make_final_norm(config)
        tied = config.tie_word_embeddings
        self.lm_head = None if tied else Linear(config.hidden_size, config.vocab_size, bias=config.head_bias)
        self._inputs = LayerInputsBuilder(config)

    @property
    def device(self) -> torch.device:
        return self.embed_tokens.weight.device

    @property
    def attention_kind(self) -> AttentionKind | AttentionFunction:
        """How the layers compute attention."""
        return self._inputs.attention_kind

    def use_attention(self, kind: AttentionKind | AttentionFunction) -> None:
        """Choose how every layer computes attention: by name, or by a function of your own.

        A function gets what `lmcraft.model.attention.AttentionFunction` lists, and always a mask.

        Raises:
            UserError: it is neither a function nor the name of a kind.
        """
        kinds = get_args(AttentionKind)
        if not callable(kind) and kind not in kinds:
            raise UserError(f"attention {kind!r} is not supported: use {', '.join(map(repr, kinds))} or a function")
        if callable(kind) and (reason := self._custom_attention_reason()):
            raise UserError(f"attention cannot be a function of your own, because {reason}: use 'auto'")
        self._inputs.attention_kind = kind
        for module in self.modules():
            if isinstance(module, BaseAttention):
                module.kind = kind

    def _custom_attention_reason(self) -> str:
        """Why a function of queries, keys, values and a mask cannot compute this model's attention; empty if it can."""
        if self.config.attention_sinks:
            return "this model has attention sinks"
        if self.config.attn_logit_softcapping:
            return f"this model has attn_logit_softcapping={self.config.attn_logit_softcapping}"
        return "this model has ALiBi positions" if self.config.position == "alibi" else ""

    def forward(
        self,
        input_ids: Tensor,
        *,
        document_ids: Tensor | None = None,
        cache: Cache | None = None,
        last_only: bool = False,
        hooks: Hooks | None = None,
    ) -> Tensor:
        """Logits of each position's next token, (B, T, V), in `compute_dtype`.

        Args:
            input_ids: (B, T) token ids.
            document_ids: (B, T) document of each token within its row; tokens attend within their document only, and
                learned positions restart with it. Padding counts as a document. None: each row is one document.
            cache: keys and values of earlier tokens; the new ones are appended.
            last_only: return only the logits of the last position, (B, 1, V).
            hooks: functions that read or replace activations.

        Raises:
            UserError: the sequence is longer than max_position_embeddings.
        """
        x_BTC = self.hidden_states(input_ids, document_ids=document_ids, cache=cache, hooks=hooks)
        return self.logits(x_BTC[:, -1:] if last_only else x_BTC)

    def hidden_states(
        self,
        input_ids: Tensor,
        *,
        document_ids: Tensor | None = None,
        cache: Cache | None = None,
        hooks: Hooks | None = None,
    ) -> Tensor:
        """The residual stream after the final norm, (B, T, C); arguments as in `forward`.

        Raises:
            UserError: as in `forward`; there is a cache, but the model is an encoder, whose tokens attend to later ones.
        """
        if cache is not None and self.config.bidirectional:
            raise UserError(encoder_sentence(self.config))
        hook = no_hooks if hooks is None else hooks.at("")
        x_BTC, layer_inputs, cache = self.block_inputs(input_ids, document_ids=document_ids, cache=cache, hook=hook)
        for number, (layer, inputs) in enumerate(zip(self.layers, layer_inputs, strict=True)):
            if hooks is not None:
                x_BTC = layer(x_BTC, *inputs, cache, hooks.at(f"blocks.{number}."))
            elif self.checkpointing and torch.is_grad_enabled():
                x_BTC = checkpoint(layer, x_BTC, *inputs, cache, use_reentrant=False)
            else:
                x_BTC = layer(x_BTC, *inputs, cache)
        return hook("ln_final.hook_normalized", self.norm(x_BTC))

    def block_inputs(
        self,
        input_ids: Tensor,
        *,
        document_ids: Tensor | None = None,
        cache: Cache | None = None,
        layer_inputs: list[LayerInputs] | None = None,
        hook: Hook = no_hooks,
    ) -> tuple[Tensor, list[LayerInputs], Cache | None]:
        """The residual stream before the first block, (B, T, C), the other inputs of each block, and the cache for them.

        `layer_inputs` are those of another text of the same length, whose masks and rotary rows are shared.
        """
        past = cache.length if cache is not None else 0
        x_BTC = self.embed(input_ids, document_ids=document_ids, past=past, hook=hook)
        layer_inputs = layer_inputs or self.layer_inputs(input_ids.shape[1], document_ids, cache)
        inputs = self._with_embeddings(layer_inputs, input_ids, x_BTC)
        return x_BTC, inputs, SharedKeys(cache) if self.config.key_sharing.num_layers else cache

    def run_with_hooks(
        self,
        input_ids: Tensor,
        fwd_hooks: Sequence[tuple[NameFilter, HookFunction]] = (),
        *,
        document_ids: Tensor | None = None,
    ) -> Tensor:
        """The logits, (B, T, V), while functions read or replace activations.

        Args:
            input_ids: (B, T) token ids.
            fwd_hooks: pairs of points (a name such as "blocks.3.attn.hook_pattern", several, or a function of a name) and a
                function of the activation and its `HookPoint`. What it returns replaces the activation, unless it is None.
            document_ids: as in `forward`.

        Raises:
            UserError: the model has no such point, a replacement has another shape, or the sequence is too long.
        """
        return self(input_ids, document_ids=document_ids, hooks=Hooks(self.config, fwd_hooks))  # type: ignore[no-any-return]

    def run_with_cache(
        self,
        input_ids: Tensor,
        names_filter: NameFilter | None = None,
        *,
        fwd_hooks: Sequence[tuple[NameFilter, HookFunction]] = (),
        document_ids: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits, (B, T, V), and the activations by the names of their points, in the order of the forward pass.

        Without a filter these are all points but `hook_result`, which has the size of the model's width for each head. The
        activations are as `fwd_hooks` leave them; arguments and errors as in `run_with_hooks`.
        """
        activations: dict[str, Tensor] = {}

        def keep(activation: Tensor, point: HookPoint) -> None:
            activations[point.name] = activation

        keeping = (_is_not_result if names_filter is None else names_filter, keep)
        return self.run_with_hooks(input_ids, [*fwd_hooks, keeping], document_ids=document_ids), activations

    def tree_hidden_states(self, tree: TokenTree) -> Tensor:
        """The residual stream after the final norm for each token of a tree, (T, C).

        Raises:
            UserError: a text of the tree is longer than max_position_embeddings.
        """
        tree = tree.to(self.device)
        length, positions = int(tree.positions.max()) + 1, tree.positions
        self._check_length(length)
        ids_1T = torch.tensor([tree.ids], device=self.device)
        x_1TC = self._scaled(self.embed_tokens(ids_1T), positions[None])
        inputs = self._with_embeddings(self._inputs.of_tree(tree, self.compute_dtype), ids_1T, x_1TC)
        cache = SharedKeys(None) if self.config.key_sharing.num_layers else None
        for layer, layer_inputs in zip(self.layers, inputs, strict=True):
            x_1TC = layer(x_1TC, *layer_inputs, cache)
        return self.norm(x_1TC)[0]  # type: ignore[no-any-return]

    def last_hidden_states(self, ids: Sequence[int], positions: Sequence[int]) -> Tensor:
        """The residual stream after the final norm for the last token of each of several texts, (B, C).

        The attention functions of the layers keep the keys and values of the tokens before.
        """
        ids_B1, positions_B1 = torch.tensor([ids, positions], device=self.device)[..., None]
        x_B1C = self._scaled(self.embed_tokens(ids_B1), positions_B1)
        inputs = self._inputs.of_last_tokens(positions, self.device, self.compute_dtype)
        inputs = self._with_embeddings(inputs, ids_B1, x_B1C)
        for layer, layer_inputs in zip(self.layers, inputs, strict=True):
            x_B1C = layer(x_B1C, *layer_inputs, None)
        return self.norm(x_B1C)[:, 0]  # type: ignore[no-any-return]

    def embed(
        self, input_ids: Tensor, *, document_ids: Tensor | None = None, past: int = 0, hook: Hook = no_hooks
    ) -> Tensor:
        """The residual stream before the first block, (B, T, C); `past` is the number of earlier tokens."""
        T = input_ids.shape[1]
        self._check_length(past + T)
        learned = self.embed_positions is not None
        positions = self._positions(T, past, document_ids) if learned else None
        return self._scaled(self.embed_tokens(input_ids), positions, hook)

    def _check_length(self, length: int) -> None:
        if length > self.config.max_position_embeddings:
            raise UserError(
                f"a sequence of {length} tokens is longer than the model's "
                f"max_position_embeddings={self.config.max_position_embeddings}; shorten it"
            )

    def _scaled(self, x_BTC: Tensor, positions: Tensor | None, hook: Hook = no_hooks) -> Tensor:
        """The input of the first block: embeddings with their learned positions, scaled, in `compute_dtype`."""
        if self.embed_types is not None:
            x_BTC = x_BTC + self.embed_types(x_BTC.new_zeros(x_BTC.shape[1], dtype=torch.long))
        if self.embed_positions is not None:
            assert positions is not None
            offset = self.config.position_offset
            positions_TC = self.embed_positions(positions + offset if offset else positions)
            positions_BTC = positions_TC if hook is no_hooks else positions_TC.expand_as(x_BTC)
            x_BTC = hook("hook_embed", x_BTC) + hook("hook_pos_embed", positions_BTC)
        x_BTC = x_BTC.to(self.compute_dtype)
        if self.config.scale_embeddings:
            # The factor is rounded to the dtype first, as in Gemma's training.
            x_BTC = x_BTC * x_BTC.new_tensor(self.config.hidden_size**0.5)
        if self.config.multipliers.embedding != 1.0:
            x_BTC = x_BTC * self.config.multipliers.embedding
        if self.embed_norm is not None:
            x_BTC = self.embed_norm(x_BTC)
        if self.embed_positions is None:
            x_BTC = hook("hook_embed", x_BTC)
        return F.dropout(x_BTC, self.config.embedding_dropout, self.training)

    def layer_inputs(self, T: int, document_ids: Tensor | None = None, cache: Cache | None = None) -> list[LayerInputs]:
        """Per block, its inputs besides the residual stream."""
        past = cache.length if cache is not None else 0
        return self._inputs.build(T, past, document_ids, self.device, self.compute_dtype)

    def _with_embeddings(self, inputs: list[LayerInputs], input_ids: Tensor, x_BTC: Tensor) -> list[LayerInputs]:
        """The inputs of all blocks, with the embeddings of their own."""
        if self.layer_embedding is None:
            return inputs
        embeddings = self.layer_embedding(input_ids, x_BTC)
        return [item._replace(embedding=embedding) for item, embedding in zip(inputs, embeddings, strict=True)]

    def logits(self, x_BTC: Tensor) -> Tensor:
        """Logits of normed hidden states, (B, T, V)."""
        return self.output_head.logits(x_BTC)

    @property
    def output_head(self) -> OutputHead:
        """What maps normed hidden states to logits; its weight is the embedding matrix if they are tied.

        Raises:
            UserError: the model is an encoder.
        """
        if self.config.bidirectional:
            raise UserError(encoder_sentence(self.config))
        weight = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        bias = None if self.lm_head is None else self.lm_head.bias
        return OutputHead(weight, bias, self.config.multipliers.logits, self.config.final_logit_softcapping)

    def describe(self) -> str:
        """Family, sizes, data type and device, in one line."""
        config = self.config
        return (
            f"{config.family or 'lmcraft'}, {format_count(self.num_parameters())} parameters, {config.num_hidden_layers} "
            f"layers, vocabulary {config.vocab_size:,}, context {config.max_position_embeddings:,}, "
            f"{str(self.compute_dtype).removeprefix('torch.')} on {self.device}"
        )

    def num_parameters(self, *, embeddings: bool = True) -> int:
        """Number of parameters; tied matrices count once. Without `embeddings`: blocks and final norm only."""
        total = sum(p.numel() for p in self.parameters())
        if embeddings:
            return total
        outside = (self.embed_tokens, self.embed_positions, self.embed_types, self.layer_embedding, self.lm_head)
        return total - sum(p.numel() for m in outside if m is not None for p in m.parameters())

    def flops_per_token(self, sequence_length: int) -> int:
        """Floating-point operations to train on one token, forward and backward.

        6 per weight of the matrix products, plus 12 x width x length for each layer's attention (PaLM, arXiv 2204.02311,
        appendix B; as there, the causal mask does not halve the attention).
        """
        c = self.config
        weights = self.num_parameters(embeddings=False) + c.vocab_size * c.hidden_size
        keys = 0
        for number in range(c.num_hidden_layers):
            if c.has_attention(number):
                keys += min(sequence_length, c.sliding_window) if c.is_sliding(number) else sequence_length
            if c.has_experts(number):
                idle = c.num_experts - c.num_experts_per_tok
                weights -= idle * (3 if c.is_gated else 2) * c.hidden_size * c.moe_intermediate_size
        return 6 * weights + 12 * c.num_attention_heads * c.head_dim * keys

    def _positions(self, T: int, past: int, document_ids: Tensor | None) -> Tensor:
        return token_positions(T, past, document_ids, self.device)


def copy_sharing_weights(model: Transformer) -> Transformer:
    """A copy of a model whose layers can be replaced; its weights are those of the model, without gradients."""
    shared: list[object] = [*model.buffers(), *(m.quantized for m in model.modules() if isinstance(m, Linear))]
    memo: dict[int, object] = {id(tensor): tensor for tensor in shared}
    memo |= {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    return deepcopy(model, memo)


def encoder_sentence(config: TransformerConfig) -> str:
    """Why a model without next-token logits cannot do what was asked of it."""
    return (
        f"a model of type {config.family or 'lmcraft'!r} is an encoder, which cannot write or score texts: serve its "
        "embeddings (/v1/embeddings), or train a classifier with `lmcraft finetune --objective classification`"
    )


def _is_not_result(name: str) -> bool:
    return not name.endswith("hook_result")


def _layer_embedding(config: TransformerConfig) -> LayerEmbedding:
    settings = config.per_layer_embedding
    return LayerEmbedding(config, _embedding(settings.vocab_size, config.num_hidden_layers * settings.width))


def _embedding(rows: int, width: int) -> Embedding:
    weight = torch.empty(rows, width)
    if not weight.is_meta:  # on the meta device, torch would import its whole compiler for this
        nn.init.normal_(weight, std=0.02)
    return Embedding(rows, width, _weight=weight)
