"""The structures and constants of `model_layout.h`, for ctypes. `check_struct_sizes` compares the two at load."""

import ctypes
from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_void_p

FLOATS_PER_VECTOR = 16
MAX_ROWS_PER_STEP = 64  # also of those rows of prompts that have logits
MAX_PROMPT_ROWS_PER_STEP = 256
ROWS_PER_TILE = 32  # rows of quantized weights that are interleaved
COLUMNS_PER_SPAN = 64  # activations that share a scale
MATRICES_PER_LAYER = 5

NUMBER_TYPES = {"float32": 0, "bfloat16": 1, "int8": 2, "int4": 3, "float16": 4}
SILU, GELU_TANH, GELU, RELU, RELU2, XIELU = range(6)
ACTIVATIONS = {
    **{"swiglu": SILU, "geglu_tanh": GELU_TANH, "geglu": GELU, "reglu": RELU, "relu2_glu": RELU2},
    **{"silu": SILU, "gelu_tanh": GELU_TANH, "gelu": GELU, "relu": RELU, "relu2": RELU2, "xielu": XIELU},
}
NO_NORM, RMSNORM, LAYERNORM = range(3)
NORM_SPANS = {"head": 0, "each_head": 1, "projection": 2}


class Matrix(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("data", "scale", "shift", "bias")),
        *((name, c_int32) for name in ("type", "rows", "columns", "padded_columns", "number")),
    ]


class Norm(Structure):
    _fields_ = [("weight", c_void_p), ("bias", c_void_p), ("type", c_int32)]


class Layer(Structure):
    _fields_ = [
        *((f"{name}_norm", Norm) for name in ("attention", "attention_post", "feed_forward", "feed_forward_post")),
        *((f"{name}_sub_norm", Norm) for name in ("attention", "feed_forward")),
        *((name, c_void_p) for name in ("q_norm", "k_norm")),
        *((name, Matrix) for name in ("qkv", "output", "gate", "up", "down")),
        *((name, c_int32) for name in ("window", "rotary_table", "scales_queries")),
        *((name, c_float) for name in ("xielu_above", "xielu_below", "xielu_beta", "xielu_eps")),
        *((name, c_void_p) for name in ("q_norm_bias", "k_norm_bias")),
        ("sinks", c_void_p),
        *((name, c_void_p) for name in ("keys", "values")),
    ]


class ModelLayout(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("width", "heads", "kv_heads", "head_dim", "rotary_dim", "inner", "vocabulary")),
        *((name, c_int32) for name in ("num_layers", "activation", "parallel_residual", "block_tokens")),
        ("embedding_type", c_int32),
        *((name, c_int32) for name in ("qk_norm_type", "qk_norm_span", "qk_norm_after_rotary", "norms_sums")),
        *((name, c_int32) for name in ("query_scaling_length", "query_scaling_offset")),
        *((f"{name}_scale", c_float) for name in ("embedding", "attention", "residual", "head")),
        *((name, c_float) for name in ("norm_eps", "query_scaling_beta")),
        *((name, c_float) for name in ("score_softcap", "logit_softcap", "clip")),
        ("alibi_slopes", c_void_p),
        ("embedding_norm", Norm),
        ("embedding", c_void_p),
        ("embedding_stride_bytes", c_int64),
        ("position_embedding", c_void_p),
        ("rotary", c_void_p * 4),
        ("layers", POINTER(Layer)),
        ("norm", Norm),
        ("head", Matrix),
        ("num_slots", c_int64),
        ("cache_type", c_int32),
        ("max_threads", c_int32),
    ]


class LoraDelta(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("a", "b", "row_scale")),
        *((name, c_int32) for name in ("rank", "padded_rows")),
    ]


class Row(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("token", "position")),
        *((name, c_void_p) for name in ("blocks", "logits")),
        ("deltas", POINTER(LoraDelta)),
        ("argmax", c_int32),
        ("logsumexp", c_float),
    ]


STRUCTS: tuple[type[Structure], ...] = (Matrix, Norm, Layer, ModelLayout, LoraDelta, Row)


def check_struct_sizes(library: ctypes.CDLL) -> None:
    """Raise RuntimeError unless every structure has the same size here and in the compiled library."""
    library.lmcraft_sizeof.argtypes = [ctypes.c_char_p]
    library.lmcraft_sizeof.restype = c_int64
    for struct in STRUCTS:
        native, python = library.lmcraft_sizeof(struct.__name__.encode()), ctypes.sizeof(struct)
        if native != python:
            raise RuntimeError(
                f"struct {struct.__name__} has {native} bytes in model_layout.h but {python} in structs.py: "
                "declare the same fields in both"
            )
