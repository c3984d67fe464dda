"""Which type each tensor gets, compared with a file that llama.cpp quantized."""

import pytest

from lmcraft.gguf import read_gguf
from lmcraft.gguf.mixtures import Mixture
from tests.assets import gemma3_gguf

SETTINGS = {"block_count": 16}


def types(quantization: str, name: str, shape: tuple[int, ...] = (512, 512), **options: object) -> str:
    """The layers whose tensor has more bits, as a string of 0 and 1; or the type, if all have the same."""
    mixture = Mixture.of(quantization, "llama", SETTINGS | options, tied=False)  # type: ignore[arg-type]
    kinds = [mixture.type_of(name.format(i=i), shape) for i in range(16)]
    return kinds[0] if len(set(kinds)) == 1 else "".join(str(int(kind == "Q6_K")) for kind in kinds)


def test_the_mixtures_of_llama_cpp() -> None:
    more = "1100100100100111"
    for quantization, base in (("q4_k_m", "Q4_K"), ("q5_k_m", "Q5_K")):
        assert types(quantization, "blk.{i}.ffn_down.weight") == more
        assert types(quantization, "blk.{i}.ffn_down_exps.weight", (4, 512, 512)) == more
        assert types(quantization, "blk.{i}.attn_v.weight") == types(quantization, "blk.{i}.attn_qkv.weight") == more
        assert types(quantization, "blk.{i}.attn_q.weight") == types(quantization, "token_embd.weight") == base
        assert types(quantization, "output.weight") == "Q6_K"
    assert types("q6_k", "blk.{i}.attn_q.weight") == types("q6_k", "blk.{i}.ffn_down.weight") == "Q6_K"
    assert types("q8_0", "blk.{i}.ffn_down.weight") == "Q8_0"
    assert types("q4_k_m", "blk.{i}.attn_v.weight", expert_count=8) == "Q8_0"
    assert types("q4_k_m", "blk.{i}.attn_output.weight", expert_count=8) == "Q5_K"


def test_rows_that_are_not_whole_blocks_get_smaller_ones() -> None:
    assert types("q4_k_m", "blk.{i}.attn_q.weight", (8, 96)) == "Q5_0"
    assert types("q5_k_m", "blk.{i}.attn_q.weight", (8, 96)) == "Q5_1"
    assert types("q4_k_m", "output.weight", (8, 96)) == "Q8_0"
    assert types("q4_k_m", "blk.{i}.attn_q.weight", (8, 40)) == types("q8_0", "output.weight", (8, 40)) == "F16"
    assert types("q4_k_m", "blk.{i}.attn_norm.weight", (512,)) == types("q4_k_m", "blk.{i}.ffn_gate_inp.weight") == "F32"


def test_only_layers_with_attention_count_for_its_values() -> None:
    mixture = Mixture.of("q4_k_m", "lfm2", {"block_count": 4, "attention.head_count_kv": [0, 2, 0, 2]}, tied=True)
    assert mixture.attention_layers == (1, 3)
    assert Mixture.of(
        "q4_k_m", "qwen3next", {"block_count": 8, "full_attention_interval": 4}, tied=False
    ).attention_layers == (
        3,
        7,
    )


@pytest.mark.assets
def test_a_file_of_llama_cpp_has_the_same_types() -> None:
    file = read_gguf(gemma3_gguf()).file
    mixture = Mixture.of("q4_k_m", "gemma3", {"block_count": 18}, tied=True)
    expected = {name: entry.type.name for name, entry in file.tensors.items()}
    assert {name: mixture.type_of(name, entry.shape) for name, entry in file.tensors.items()} == expected
