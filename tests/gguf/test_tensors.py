"""Tensor names and layouts: errors for sizes that do not match."""

from collections.abc import Callable

import pytest

from lmcraft.errors import UserError
from lmcraft.gguf import read_gguf
from lmcraft.gguf.container import GGUFFile


def test_wrong_head_counts_are_rejected(files: Callable[[str], GGUFFile]) -> None:
    file = read_gguf(files("llama").path)
    file.config["num_attention_heads"] = 48
    with pytest.raises(UserError, match="64 rows does not have 48 heads of even width"):
        file.read("model.layers.0.self_attn.q_proj.weight")
    file = read_gguf(files("gpt_neox").path)
    file.config["num_attention_heads"] = 5
    with pytest.raises(UserError, match="not queries, keys and values of equal heads"):
        file.read("gpt_neox.layers.0.attention.query_key_value.weight")
    assert file.read("no.such.tensor") is None and file.read("gpt_neox.layers.9.attention.dense.weight") is None
    experts = read_gguf(files("qwen3_moe").path)
    with pytest.raises(UserError, match="has no slice 4"):
        experts.read("model.layers.0.mlp.experts.4.up_proj.weight")
