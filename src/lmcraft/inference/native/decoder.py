"""Packing a Transformer for the native decode step, and calling it. The structures are those of `model_layout.h`.

Shapes: R rows, V vocabulary, C width.
"""

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lmcraft.inference.block_pool import LANES, BlockPool
from lmcraft.inference.native.build import BuildError, library
from lmcraft.model.linear import Linear
from lmcraft.model.lora_linear import LoraLinear, lora_factors
from lmcraft.model.norm import GemmaRMSNorm, LayerNorm
from lmcraft.model.quantized_matrix import GROUP_SIZE, Bits, QuantizedMatrix, quantize_groups, quantize_rows
from lmcraft.model.rotary import rotary_table
from lmcraft.model.transformer import Transformer

Weights = Literal["float32", "bfloat16", "int8", "int4"]
KINDS = {"float32": 0, "bfloat16": 1, "int8": 2, "int4": 3, "float16": 4}
ACTIVATIONS = {"swiglu": 0, "geglu_tanh": 1, "gelu": 2, "gelu_tanh": 3, "relu2": 4}
NO_NORM, RMSNORM, LAYERNORM = range(3)
MOST_ROWS = 64
MATRICES = 5  # of a block
SPAN = 64  # activations with one scale
TILE = 32  # rows of weights that lie together
LINE = 64  # bytes of a cache line


class _Matrix(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("data", "scale", "bias")),
        *((name, c_int32) for name in ("kind", "rows", "columns", "padded", "number")),
    ]


class _Norm(Structure):
    _fields_ = [("weight", c_void_p), ("bias", c_void_p), ("kind", c_int32)]


class _Layer(Structure):
    _fields_ = [
        *((f"{name}_norm", _Norm) for name in ("attention", "attention_post", "feed_forward", "feed_forward_post")),
        *((name, c_void_p) for name in ("q_norm", "k_norm")),
        *((name, _Matrix) for name in ("qkv", "output", "gate", "up", "down")),
        *((name, c_int32) for name in ("window", "rotary")),
    ]


class _Plan(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("width", "heads", "kv_heads", "head_dim", "rotary_dim", "inner", "vocabulary")),
        *((name, c_int32) for name in ("layers", "activation", "parallel_residual", "block", "embedding_kind")),
        *((name, c_float) for name in ("norm_eps", "embedding_scale", "attention_scale", "reserved")),
        ("embedding", c_void_p),
        ("embedding_stride", c_int64),
        ("positions", c_void_p),
        ("rotary", c_void_p * 4),
        ("layer", POINTER(_Layer)),
        ("norm", _Norm),
        ("head", _Matrix),
        ("keys", c_void_p),
        ("values", c_void_p),
        ("places", c_int64),
        ("cache_kind", c_int32),
        ("most_threads", c_int32),
    ]


class _Change(Structure):
    _fields_ = [("a", c_void_p), ("b", c_void_p), ("share", c_void_p), ("rank", c_int32), ("padded", c_int32)]


class _Row(Structure):
    _fields_ = [("token", c_int32), ("position", c_int32), ("blocks", c_void_p), ("logits", c_void_p)]
    _fields_ += [("changes", POINTER(_Change))]
    _fields_ += [("best", c_int32), ("log_sum", c_float)]


@dataclass(frozen=True)
class DecodeRow:
    """One token of one sequence."""

    token: int
    position: int
    blocks: Tensor
    """The sequence's blocks in the pool, in order, int32; they reach to `position`."""
    wanted: bool = True
    """Whether its logits are asked for."""
    adapter: str = ""
    """One of `NativeDecoder.adapters`."""


@dataclass(frozen=True)
class Scores:
    """What some rows say of the next token; nothing of those where it was not wanted. Read before the next step."""

    logits: Tensor
    """(R, V), float32."""
    best: Sequence[int]
    """The likeliest token."""
    log_sums: Sequence[float]
    """The logarithm of the sum of e to the logits: a logit less it is a log-probability."""

    @classmethod
    def of(cls, logits_RV: Tensor) -> "Scores":
        return cls(logits_RV, logits_RV.argmax(dim=-1).tolist(), logits_RV.logsumexp(dim=-1).tolist())

    def likeliest(self, row: int, count: int) -> tuple[tuple[int, float], ...]:
        """The `count` likeliest tokens of a row, each with its log-probability."""
        if not count:
            return ()
        top = self.logits[row].topk(min(count, self.logits.shape[1]))
        return tuple(zip(top.indices.tolist(), (top.values - self.log_sums[row]).tolist(), strict=True))


def tiles_int8(numbers: Tensor) -> Tensor:
    """Weights as the step reads them, bytes: in each tile of 32 rows the first four columns of all, then the next four.

    Each is moved up by 128. `numbers` is (rows, columns), int8; rows divide by 32, columns by 4.
    """
    moved = numbers.contiguous().view(torch.uint8) ^ 128
    return moved.view(len(numbers) // TILE, TILE, -1, 4).transpose(1, 2)


def tiles_int4(numbers: Tensor) -> Tensor:
    """The same for -8 to 7, moved up by 8: in 64 bytes four of a group's first 16 columns, and above them four of its last.

    `numbers` is (rows, columns), int8; rows divide by 32, columns by 32.
    """
    tiles = (numbers + 8).to(torch.uint8).view(len(numbers) // TILE, TILE, -1, 2, 4, 4)
    return (tiles[:, :, :, 0] | tiles[:, :, :, 1] << 4).permute(0, 2, 3, 1, 4)


def reason_against(model: Transformer) -> str:
    """Why the native step cannot run a model here; empty if it can."""
    config = model.config
    if model.device.type != "cpu":
        return f"the model is on {model.device.type}"
    if config.num_experts:
        return "a mixture of experts is not covered"
    if config.rope_scaling.rope_type == "longrope":
        return "LongRoPE is not covered"
    if config.qk_norm and config.qk_norm_over == "projection":
        return "a QK norm over all heads is not covered"
    if config.parallel_residual and config.norm_placement != "before":
        return "parallel sub-layers with norms of their outputs are not covered"
    try:
        library()
    except BuildError as error:
        return str(error)
    return ""


def _matrices(block: nn.Module) -> dict[str, list[Any]]:
    """The linear layers of a block, those together that are one matrix in the plan."""
    attention: Any = block.attention
    feed: Any = block.feed_forward
    gate, up = ([feed.up_proj], []) if feed.gate_proj is None else ([feed.gate_proj], [feed.up_proj])
    qkv = [attention.q_proj, attention.k_proj, attention.v_proj]
    parts = {"qkv": qkv, "output": [attention.o_proj], "gate": gate, "up": up, "down": [feed.down_proj]}
    return {name: some for name, some in parts.items() if some}


class NativeDecoder:
    """A Transformer's decode step over the keys and values in a pool.

    Args:
        model: on the CPU, in `eval` mode; its tensors are used where they are, or packed.
        pool: of keys and values, which prefill fills too; its blocks hold a multiple of 16 tokens.
        weights: the type that the matrices are read in; int8 and int4 are quantized here.
        most_threads: of which each step may use as many as it is told.
        adapters: models that share the weights of `model`, by the names that rows say.
        target: the CPU to build for; only tests say another than this one.

    Raises:
        BuildError: it cannot be built here.
    """

    def __init__(
        self,
        model: Transformer,
        pool: BlockPool,
        weights: Weights,
        *,
        most_threads: int,
        adapters: Mapping[str, Transformer] | None = None,
        target: str = "native",
    ) -> None:
        assert pool.block_size % LANES == 0, pool.block_size
        self._library = library(target)
        self._library.lmcraft_open.restype = c_void_p
        self._library.lmcraft_open.argtypes = [c_void_p]
        self._library.lmcraft_step.argtypes = [c_void_p, c_void_p, c_int32, c_int32]
        self._library.lmcraft_close.argtypes = [c_void_p]
        self._kept: list[object] = [model, pool]  # the plan holds addresses of what these hold
        self._weights: Weights = weights
        self._logits = torch.empty(MOST_ROWS, model.config.vocab_size)  # new memory would cost the kernel's clearing it
        self.adapters = {name: self._changes(one) for name, one in (adapters or {}).items() if self._covers(one)} | {
            "": None
        }
        """Those that it can decode, and none."""
        self._engine = self._library.lmcraft_open(ctypes.byref(self._plan(model, pool, most_threads)))

    def __del__(self) -> None:
        if getattr(self, "_engine", None):
            self._library.lmcraft_close(self._engine)

    def step(self, rows: Sequence[DecodeRow], threads: int) -> Scores:
        """Take one token in each row, store its keys and values, and score the next one.

        Rows may be of one sequence at following positions. A row's numbers do not depend on the others, nor on `threads`.
        """
        assert 1 <= len(rows) <= MOST_ROWS
        logits_RV = self._logits[: len(rows)]
        packed = (_Row * len(rows))()
        for place, row in zip(packed, rows, strict=True):
            place.token, place.position, place.blocks = row.token, row.position, row.blocks.data_ptr()
            place.changes = self.adapters[row.adapter]
        for number, row in enumerate(rows):
            if row.wanted:
                packed[number].logits = logits_RV[number].data_ptr()
        self._library.lmcraft_step(self._engine, packed, len(rows), threads)
        return Scores(logits_RV, [row.best for row in packed], [row.log_sum for row in packed])

    def _plan(self, model: Transformer, pool: BlockPool, most_threads: int) -> _Plan:
        c = model.config
        plan = _Plan()
        plan.width, plan.heads, plan.kv_heads, plan.head_dim = (
            c.hidden_size,
            c.num_attention_heads,
            c.num_key_value_heads,
            c.head_dim,
        )
        plan.inner, plan.vocabulary, plan.layers = c.intermediate_size, c.vocab_size, c.num_hidden_layers
        plan.activation, plan.parallel_residual = ACTIVATIONS[c.feed_forward], c.parallel_residual
        plan.norm_eps, plan.attention_scale = c.norm_eps, (c.query_pre_attn_scalar or c.head_dim) ** -0.5
        plan.embedding_scale = c.hidden_size**0.5 if c.scale_embeddings else 1.0
        embedding = self._plain(model.embed_tokens.weight)
        plan.embedding, plan.embedding_stride = embedding.data_ptr(), embedding.stride(0) * embedding.element_size()
        plan.embedding_kind = KINDS[str(embedding.dtype).removeprefix("torch.")]
        if model.embed_positions is not None:
            plan.positions = self._floats(model.embed_positions.weight)
        if c.position == "rotary":
            plan.rotary_dim = c.rotary_dim
            for local in range(2 if c.rope_local_theta else 1):
                for which, table in enumerate(
                    rotary_table(min(c.max_position_embeddings, pool.places), c, local=bool(local))
                ):
                    plan.rotary[2 * local + which] = self._floats(table)
        layers = (_Layer * c.num_hidden_layers)()
        for number, block in enumerate(model.layers):
            layers[number] = self._layer(model, number, block)
        self._kept.append(layers)
        plan.layer, plan.norm = layers, self._norm(model.norm)
        head = model.embed_tokens if model.lm_head is None else model.lm_head
        # 4 bits of it would cost about as much as those of all other matrices together (docs/quantization.md).
        plan.head = self._matrix(head, weights="int8" if self._weights == "int4" else self._weights)
        plan.head.number = -1
        plan.keys, plan.values, plan.places = pool.keys.data_ptr(), pool.values.data_ptr(), pool.places
        plan.block, plan.cache_kind = pool.block_size, KINDS[str(pool.values.dtype).removeprefix("torch.")]
        plan.most_threads = most_threads
        return plan

    def _layer(self, model: Transformer, number: int, block: nn.Module) -> _Layer:
        attention: Any = block.attention
        layer = _Layer()
        for name in ("attention_norm", "attention_post_norm", "feed_forward_norm", "feed_forward_post_norm"):
            setattr(layer, name, self._norm(getattr(block, name)))
        if attention.q_norm is not None:
            layer.q_norm, layer.k_norm = self._norm(attention.q_norm).weight, self._norm(attention.k_norm).weight
        for place, (name, parts) in enumerate(_matrices(block).items()):
            matrix = self._matrix(*parts)
            matrix.number = number * MATRICES + place
            setattr(layer, name, matrix)
        sliding = model.config.is_sliding(number)
        layer.window = model.config.sliding_window if sliding else 0
        layer.rotary = int(sliding and model.config.rope_local_theta > 0)
        return layer

    def _covers(self, model: Transformer) -> bool:
        """Whether an adapter is for the weights as they are read here, or was trained beside such in fewer bits."""
        bases = [module.base for module in model.modules() if isinstance(module, LoraLinear)]
        return all(isinstance(base, Linear) or self._weights == f"int{base.bits}" for base in bases)

    def _changes(self, model: Transformer) -> "ctypes.Array[_Change]":
        """What an adapter changes in each matrix, by its number."""
        changes = (_Change * (MATRICES * len(model.layers)))()
        for number, block in enumerate(model.layers):
            for place, parts in enumerate(_matrices(block).values()):
                changes[number * MATRICES + place] = self._change(parts)
        return changes

    def _change(self, parts: Sequence[Linear | LoraLinear]) -> _Change:
        """Of several layers' changes one: their A above each other, their B along a diagonal."""
        if not any(isinstance(part, LoraLinear) for part in parts):
            return _Change()
        a, b, share = zip(*(lora_factors(part) for part in parts), strict=True)
        a_rI, b_Or = torch.cat(a), torch.block_diag(*b)  # type: ignore[no-untyped-call]
        rank, missing = len(a_rI), -len(b_Or) % LANES
        return _Change(
            self._floats(nn.functional.pad(a_rI, (0, 0, 0, -rank % LANES))),
            self._floats(nn.functional.pad(b_Or.t(), (0, missing))),
            self._floats(nn.functional.pad(torch.cat(share), (0, missing))),
            rank,
            len(b_Or) + missing,
        )

    def _norm(self, norm: nn.Module) -> _Norm:
        if isinstance(norm, nn.Identity):
            return _Norm(None, None, NO_NORM)
        weight: Tensor = norm.weight  # type: ignore[assignment]
        if isinstance(norm, GemmaRMSNorm):
            weight = weight.float() + 1
        if isinstance(norm, LayerNorm):
            return _Norm(self._floats(weight), self._floats(norm.bias), LAYERNORM)
        return _Norm(self._floats(weight), None, RMSNORM)

    def _matrix(self, *parts: nn.Module, weights: Weights | None = None) -> _Matrix:
        """The weights of one or more layers as one matrix, row after row."""
        kept = weights or self._weights
        dense: list[Tensor] = [part.weight for part in parts]  # type: ignore[misc]
        biases = [bias for part in parts if (bias := getattr(part, "bias", None)) is not None]
        rows, columns = sum(len(weight) for weight in dense), dense[0].shape[1]
        missing = -rows % TILE
        bias = self._floats(nn.functional.pad(torch.cat(biases), (0, missing))) if biases else None
        kind = KINDS[kept]
        if kept in ("float32", "bfloat16"):
            joined = dense[0] if len(dense) == 1 else torch.cat(dense)
            plain = self._plain(joined.to(getattr(torch, kept)))
            return _Matrix(plain.data_ptr(), None, bias, kind, rows, columns, columns)
        bits: Bits = 8 if kept == "int8" else 4
        padded = -(-columns // SPAN) * SPAN
        ready = [self._quantized(part, padded, bits) for part in parts]
        numbers = nn.functional.pad(torch.cat([matrix.numbers for matrix in ready]), (0, 0, 0, missing))
        scales = nn.functional.pad(torch.cat([matrix.scales for matrix in ready]), (0, 0, 0, missing))
        scales = scales.view(-1, TILE, scales.shape[1]).transpose(1, 2)  # (tiles, groups, 32)
        if bits == 8:
            return _Matrix(self._aligned(tiles_int8(numbers)), self._floats(scales), bias, kind, rows, columns, padded)
        halves = self._kept_alive(scales.to(torch.float16).contiguous())
        return _Matrix(self._aligned(tiles_int4(numbers)), halves.data_ptr(), bias, kind, rows, columns, padded)

    @staticmethod
    def _quantized(part: nn.Module, padded: int, bits: Bits) -> QuantizedMatrix:
        """A layer's matrix in integers, its columns padded: as its folder has it, or quantized now."""
        stored: QuantizedMatrix | None = getattr(part, "quantized", None)
        weight: Tensor = part.weight  # type: ignore[assignment]
        more = padded - weight.shape[1]
        if stored is None or stored.bits != bits:
            wide = nn.functional.pad(weight.float(), (0, more))
            return quantize_rows(wide) if bits == 8 else quantize_groups(wide)
        groups = padded // GROUP_SIZE - stored.scales.shape[1] if bits == 4 else 0
        return QuantizedMatrix(
            nn.functional.pad(stored.numbers, (0, more)), nn.functional.pad(stored.scales, (0, groups)), bits
        )

    def _plain(self, tensor: Tensor) -> Tensor:
        """Contiguous and of a type that the kernels read, in place where it can be."""
        dtype = tensor.dtype if tensor.dtype in (torch.float32, torch.bfloat16) else torch.float32
        return self._kept_alive(tensor.detach().to(dtype).contiguous())

    def _floats(self, tensor: Tensor) -> int:
        return self._kept_alive(tensor.detach().float().contiguous()).data_ptr()

    def _aligned(self, tensor: Tensor) -> int:
        """The address of a copy that begins at a cache line."""
        size = tensor.numel() * tensor.element_size()
        room = torch.empty(size + LINE, dtype=torch.uint8)
        start = -room.data_ptr() % LINE
        room[start : start + size].view(tensor.dtype).view(tensor.shape).copy_(tensor)
        return self._kept_alive(room).data_ptr() + start

    def _kept_alive(self, tensor: Tensor) -> Tensor:
        self._kept.append(tensor)
        return tensor
