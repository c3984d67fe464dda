"""Packing a Transformer for the native decode step: its tensors as pointers in a `ModelLayout`.

Shapes: O rows (outputs) and I columns (inputs) of a matrix, r rank.
"""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lmcraft.inference.block_pool import BlockPool
from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.native.structs import (
    ACTIVATIONS,
    COLUMNS_PER_SPAN,
    FLOATS_PER_VECTOR,
    LAYERNORM,
    MATRICES_PER_LAYER,
    NO_NORM,
    NORM_SPANS,
    NUMBER_TYPES,
    RMSNORM,
    ROWS_PER_TILE,
    Layer,
    LoraDelta,
    Matrix,
    ModelLayout,
    Norm,
)
from lmcraft.model.config import TransformerConfig
from lmcraft.model.feedforward import XIELU
from lmcraft.model.layer_inputs import alibi_slopes
from lmcraft.model.linear import Linear, quantized_form
from lmcraft.model.lora_linear import LoraLinear, lora_factors
from lmcraft.model.norm import GemmaRMSNorm, HeadLayerNorm, LayerNorm
from lmcraft.model.quantized_matrix import GROUP_SIZE, Bits, QuantizedMatrix, quantize_groups, quantize_rows
from lmcraft.model.rotary import rotary_table
from lmcraft.model.transformer import Transformer

Weights = Literal["float32", "bfloat16", "int8", "int4"]
BYTES_PER_CACHE_LINE = 64


def tile_int8(numbers: Tensor) -> Tensor:
    """Int8 weights in the order that the step reads them: per tile of 32 rows, four columns of each row, then the next four.

    128 is added to each weight. `numbers` is (rows, columns), int8; rows divide by 32, columns by 4.
    """
    unsigned = numbers.contiguous().view(torch.uint8) ^ 128
    return unsigned.view(len(numbers) // ROWS_PER_TILE, ROWS_PER_TILE, -1, 4).transpose(1, 2)


def tile_int4(numbers: Tensor) -> Tensor:
    """The same for int4 weights, -8 to 7, after adding 8. The low halves of the bytes hold a group's first 16 columns.

    `numbers` is (rows, columns), int8; rows divide by 32, columns by 32.
    """
    tiles = (numbers + 8).to(torch.uint8).view(len(numbers) // ROWS_PER_TILE, ROWS_PER_TILE, -1, 2, 4, 4)
    return (tiles[:, :, :, 0] | tiles[:, :, :, 1] << 4).permute(0, 2, 3, 1, 4)


def matrices_of(block: nn.Module) -> dict[str, list[Any]]:
    """The linear layers of a block by the name of the matrix in `Layer` that holds them; q, k and v are one matrix."""
    attention: Any = block.attention
    feed_forward: Any = block.feed_forward
    ungated = feed_forward.gate_proj is None
    matrices = {
        "qkv": [attention.q_proj, attention.k_proj, attention.v_proj],
        "output": [attention.o_proj],
        "gate": [feed_forward.up_proj if ungated else feed_forward.gate_proj],
        "up": [] if ungated else [feed_forward.up_proj],
        "down": [feed_forward.down_proj],
    }
    return {name: parts for name, parts in matrices.items() if parts}


class ModelPacker:
    """Packs a model and its adapters. Keep it alive as long as its results: it owns the memory that they point to.

    Args:
        weights: the type that matrices are packed in; int8 and int4 are quantized here unless the model is already. int4
            leaves matrices that the model's folder stores in 8 bits as they are.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights: Weights = weights
        self._owned: list[object] = []

    def pack_model(self, model: Transformer, pool: BlockPool, max_threads: int) -> ModelLayout:
        """A model over the keys and values of a pool; its tensors are used in place where their type fits.

        Raises:
            RunError: weights to quantize are not numbers.
        """
        self._owned += [model, pool]
        self._model = model
        c = model.config
        layout = ModelLayout()
        layout.width, layout.heads, layout.kv_heads = c.hidden_size, c.num_attention_heads, c.num_key_value_heads
        layout.head_dim, layout.inner, layout.vocabulary = c.head_dim, c.intermediate_size, c.vocab_size
        layout.num_layers = c.num_hidden_layers
        layout.activation, layout.parallel_residual = ACTIVATIONS[c.feed_forward], c.parallel_residual
        layout.norm_eps, layout.norms_sums = c.norm_eps, c.norm_placement == "sum"
        layout.embedding_scale = c.multipliers.embedding * (c.hidden_size**0.5 if c.scale_embeddings else 1.0)
        layout.residual_scale, layout.head_scale = c.multipliers.residual, c.multipliers.logits
        self._pack_attention(layout, c)
        embedding = self._dense(model.embed_tokens.weight)
        layout.embedding = embedding.data_ptr()
        layout.embedding_stride_bytes = embedding.stride(0) * embedding.element_size()
        layout.embedding_type = NUMBER_TYPES[str(embedding.dtype).removeprefix("torch.")]
        if model.embed_positions is not None:
            layout.position_embedding = self._floats(model.embed_positions.weight[c.position_offset :])
        if model.embed_norm is not None:
            layout.embedding_norm = self._norm(model.embed_norm)
        if c.position == "rotary":
            layout.rotary_dim = c.rotary_dim
            for local in range(2 if c.rope_local_theta else 1):
                tables = rotary_table(min(c.max_position_embeddings, pool.num_slots), c, local=bool(local))
                for number, table in enumerate(tables):
                    layout.rotary[2 * local + number] = self._floats(table)
        layers = (Layer * c.num_hidden_layers)()
        for number, block in enumerate(model.layers):
            layers[number] = self._layer(model, number, block)
            layers[number].rotary_table = self._rotary_table(c, number)
            layers[number].keys, layers[number].values = pool.keys[number].data_ptr(), pool.values[number].data_ptr()
        self._owned.append(layers)
        layout.layers, layout.norm = layers, self._norm(model.norm)
        head = model.embed_tokens if model.lm_head is None else model.lm_head
        # With int4 the output projection stays int8: it would cost about as much accuracy as all other matrices together
        # (docs/quantization.md).
        layout.head = self._matrix(head, weights="int8" if self._weights == "int4" else self._weights)
        layout.head.number = -1
        layout.num_slots, layout.block_tokens = pool.num_slots, pool.block_tokens
        layout.cache_type = NUMBER_TYPES[str(pool.dtype).removeprefix("torch.")]
        layout.max_threads = max_threads
        return layout

    def pack_adapters(self, adapters: Mapping[str, Transformer]) -> "dict[str, ctypes.Array[LoraDelta]]":
        """The changes of each adapter to each matrix, by the number of the matrix; without unsupported adapters.

        An adapter that was trained over weights in other bits is unsupported: its base weights are not the packed ones.
        """
        return {name: self._deltas(model) for name, model in adapters.items() if self._supports(model)}

    def _layer(self, model: Transformer, number: int, block: nn.Module) -> Layer:
        attention: Any = block.attention
        feed_forward: Any = block.feed_forward
        layer = Layer()
        for name in ("attention_norm", "attention_post_norm", "feed_forward_norm", "feed_forward_post_norm"):
            setattr(layer, name, self._norm(getattr(block, name)))
        if model.config.shared_norm:
            layer.feed_forward_norm = layer.attention_norm
        if attention.q_norm is not None:
            q_norm = self._norm(attention.q_norm, attention.q_proj.out_features)
            k_norm = self._norm(attention.k_norm, attention.k_proj.out_features)
            layer.q_norm, layer.q_norm_bias = q_norm.weight, q_norm.bias
            layer.k_norm, layer.k_norm_bias = k_norm.weight, k_norm.bias
        if attention.sinks is not None:
            layer.sinks = self._floats(attention.sinks)
        if attention.output_norm is not None:
            layer.attention_sub_norm = self._norm(attention.output_norm)
            layer.feed_forward_sub_norm = self._norm(feed_forward.sub_norm)
        if isinstance(feed_forward.act, XIELU):
            self._pack_xielu(layer, feed_forward.act)
        matrices = matrices_of(block)
        gate_and_up = [*matrices["gate"], *matrices.get("up", [])]  # of one type, for they share their converted input
        for index, (name, parts) in enumerate(matrices.items()):
            matrix = self._matrix(*parts, weights=self._weights_of(gate_and_up if name in ("gate", "up") else parts))
            matrix.number = number * MATRICES_PER_LAYER + index
            setattr(layer, name, matrix)
        config = model.config
        layer.window = config.sliding_window if config.is_sliding(number) else 0
        layer.scales_queries = bool(config.query_scaling.beta) and not (config.has_rotary(number) and config.no_rope_layers)
        return layer

    @staticmethod
    def _pack_xielu(layer: Layer, activation: XIELU) -> None:
        above, below = (nn.functional.softplus(a.detach().float()) for a in (activation.alpha_p, activation.alpha_n))
        layer.xielu_beta, layer.xielu_eps = float(activation.beta), float(activation.eps)
        layer.xielu_above, layer.xielu_below = float(above), float(below) + layer.xielu_beta

    def _pack_attention(self, layout: ModelLayout, config: TransformerConfig) -> None:
        layout.attention_scale, layout.clip = config.attention_scale, config.clip_qkv
        layout.score_softcap, layout.logit_softcap = config.attn_logit_softcapping, config.final_logit_softcapping
        layout.qk_norm_type = LAYERNORM if config.qk_norm_kind == "layernorm" else RMSNORM
        layout.qk_norm_span = NORM_SPANS[config.qk_norm_over] if config.qk_norm else 0
        layout.qk_norm_after_rotary = config.qk_norm_after_rotary
        scaling = config.query_scaling
        layout.query_scaling_beta, layout.query_scaling_length = scaling.beta, scaling.length
        layout.query_scaling_offset = scaling.offset
        if config.position == "alibi":
            slopes = alibi_slopes(config.num_attention_heads)
            layout.alibi_slopes = self._floats(torch.tensor(slopes))

    @staticmethod
    def _rotary_table(config: TransformerConfig, layer: int) -> int:
        if not config.has_rotary(layer):
            return -1
        return int(config.is_sliding(layer) and config.rope_local_theta > 0)

    def _supports(self, model: Transformer) -> bool:
        bases = [module.base for module in model.modules() if isinstance(module, LoraLinear)]
        return all(isinstance(base, Linear) or self._weights == f"int{base.bits}" for base in bases)

    def _deltas(self, model: Transformer) -> "ctypes.Array[LoraDelta]":
        deltas = (LoraDelta * (MATRICES_PER_LAYER * len(model.layers)))()
        for number, block in enumerate(model.layers):
            for index, parts in enumerate(matrices_of(block).values()):
                deltas[number * MATRICES_PER_LAYER + index] = self._delta(parts)
        return deltas

    def _delta(self, parts: Sequence[Linear | LoraLinear]) -> LoraDelta:
        """The changes of several layers as one: their A stacked, their B on a block diagonal."""
        if not any(isinstance(part, LoraLinear) for part in parts):
            return LoraDelta()
        a, b, row_scale = zip(*(lora_factors(part) for part in parts), strict=True)
        a_rI, b_Or = torch.cat(a), torch.block_diag(*b)  # type: ignore[no-untyped-call]
        rank, padding = len(a_rI), -len(b_Or) % FLOATS_PER_VECTOR
        return LoraDelta(
            self._floats(nn.functional.pad(a_rI, (0, 0, 0, -rank % FLOATS_PER_VECTOR))),
            self._floats(nn.functional.pad(b_Or.t(), (0, padding))),
            self._floats(nn.functional.pad(torch.cat(row_scale), (0, padding))),
            rank,
            len(b_Or) + padding,
        )

    def _norm(self, norm: nn.Module, width: int = 0) -> Norm:
        """A norm; one without weights gets ones, as many as the model is wide, or `width`."""
        if isinstance(norm, nn.Identity):
            return Norm(None, None, NO_NORM)
        kind = LAYERNORM if isinstance(norm, LayerNorm | HeadLayerNorm) else RMSNORM
        weight = norm.gain() if isinstance(norm, LayerNorm) else getattr(norm, "weight", None)
        if isinstance(norm, GemmaRMSNorm):
            weight = norm.weight.float() + 1
        weight = torch.ones(width or self._model.config.hidden_size) if weight is None else weight
        bias = norm.bias if isinstance(norm, LayerNorm) else None
        return Norm(self._floats(weight), None if bias is None else self._floats(bias), kind)

    def _weights_of(self, parts: Sequence[nn.Module]) -> Weights:
        """The type of a matrix of these layers: with int4 it is int8 if all are stored so."""
        stored = [quantized_form(part) for part in parts] if self._weights == "int4" else []
        in_8_bits = [form is not None and form.bits == 8 for form in stored]
        return "int8" if in_8_bits and all(in_8_bits) else self._weights

    def _matrix(self, *parts: nn.Module, weights: Weights) -> Matrix:
        """The weights of one or more layers as one matrix, row after row."""
        parts_OI: list[Tensor] = [part.weight for part in parts]  # type: ignore[misc]
        biases = [bias for part in parts if (bias := getattr(part, "bias", None)) is not None]
        rows, columns = sum(len(weight_OI) for weight_OI in parts_OI), parts_OI[0].shape[1]
        padding = -rows % ROWS_PER_TILE
        bias = self._floats(nn.functional.pad(torch.cat(biases), (0, padding))) if biases else None
        number_type = NUMBER_TYPES[weights]
        if weights in ("float32", "bfloat16"):
            weight_OI = parts_OI[0] if len(parts_OI) == 1 else torch.cat(parts_OI)
            dense = self._dense(weight_OI.to(getattr(torch, weights)))
            return Matrix(dense.data_ptr(), None, None, bias, number_type, rows, columns, columns)
        bits: Bits = 8 if weights == "int8" else 4
        padded_columns = -(-columns // COLUMNS_PER_SPAN) * COLUMNS_PER_SPAN
        quantized = [self._quantize(part, padded_columns, bits) for part in parts]
        if not all(
            bool(tensor.isfinite().all())
            for part in quantized
            for tensor in (part.scales, part.shifts)
            if tensor is not None
        ):
            raise damaged_model_error(self._model)
        numbers = nn.functional.pad(torch.cat([part.numbers for part in quantized]), (0, 0, 0, padding))
        scales = self._interleave([part.scales for part in quantized], padding)
        if bits == 8:
            return Matrix(
                self._aligned(tile_int8(numbers)),
                self._floats(scales),
                None,
                bias,
                number_type,
                rows,
                columns,
                padded_columns,
            )
        shift = None
        if any(part.shifts is not None for part in quantized):
            shifts = [torch.zeros_like(part.scales) if part.shifts is None else part.shifts for part in quantized]
            shift = self._own(self._interleave(shifts, padding).half().contiguous()).data_ptr()
        data, scale = self._aligned(tile_int4(numbers)), self._own(scales.half().contiguous()).data_ptr()
        return Matrix(data, scale, shift, bias, number_type, rows, columns, padded_columns)

    @staticmethod
    def _interleave(parts: Sequence[Tensor], padding: int) -> Tensor:
        """Scales or shifts of one matrix in the order of its tiles, (tiles, groups, 32)."""
        joined = nn.functional.pad(torch.cat(list(parts)), (0, 0, 0, padding))
        return joined.view(-1, ROWS_PER_TILE, joined.shape[1]).transpose(1, 2)

    @staticmethod
    def _quantize(part: nn.Module, padded_columns: int, bits: Bits) -> QuantizedMatrix:
        """A layer's matrix in integers, with padded columns: the stored integers, or quantized now."""
        stored = quantized_form(part)
        weight: Tensor = part.weight  # type: ignore[assignment]
        padding = padded_columns - weight.shape[1]
        if stored is None or stored.bits != bits:
            padded = nn.functional.pad(weight.float(), (0, padding))
            return quantize_rows(padded) if bits == 8 else quantize_groups(padded)
        groups = padded_columns // GROUP_SIZE - stored.scales.shape[1] if bits == 4 else 0
        return stored.with_tensors(
            lambda tensor: nn.functional.pad(tensor, (0, padding if tensor is stored.numbers else groups))
        )

    def _dense(self, tensor: Tensor) -> Tensor:
        """The tensor, contiguous and in a type that the step reads; the same tensor if possible."""
        dtype = tensor.dtype if tensor.dtype in (torch.float32, torch.bfloat16) else torch.float32
        return self._own(tensor.detach().to(dtype).contiguous())

    def _floats(self, tensor: Tensor) -> int:
        """The address of the tensor in float32."""
        return self._own(tensor.detach().float().contiguous()).data_ptr()

    def _aligned(self, tensor: Tensor) -> int:
        """The address of a copy that is aligned to cache lines."""
        size = tensor.numel() * tensor.element_size()
        buffer = torch.empty(size + BYTES_PER_CACHE_LINE, dtype=torch.uint8)
        start = -buffer.data_ptr() % BYTES_PER_CACHE_LINE
        buffer[start : start + size].view(tensor.dtype).view(tensor.shape).copy_(tensor)
        return self._own(buffer).data_ptr() + start

    def _own(self, tensor: Tensor) -> Tensor:
        self._owned.append(tensor)
        return tensor
