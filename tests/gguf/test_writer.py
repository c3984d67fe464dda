"""Writing GGUF files: header, types, errors and atomicity."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.gguf import read_gguf, write_gguf
from lmcraft.model.storage import open_checkpoint
from tests.gguf.test_models import CASES, VOCABULARY, YARN, random_model, write_model
from tests.inference.helpers import tokenizer


def test_rows_that_q8_0_cannot_divide_become_f16(tmp_path: Path) -> None:
    kind, arguments = CASES["llama"]
    CASES["narrow"] = kind, {**arguments, "intermediate_size": 40}
    file = read_gguf(write_model(random_model("narrow"), tmp_path, "q8_0")).file
    assert file.tensors["blk.0.ffn_down.weight"].type.name == "F16"
    assert file.tensors["blk.0.ffn_up.weight"].type.name == "Q8_0"


def test_the_header_matches_llama_cpps_converter(tmp_path: Path) -> None:
    metadata = read_gguf(write_model(random_model("llama"), tmp_path, "f16")).file.metadata
    expected = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.file_type": 1,
        "general.quantization_version": 2,
        "llama.block_count": 2,
        "llama.context_length": 128,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 96,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.rope.freq_base": 50000.0,
        "llama.rope.dimension_count": 16,
        "llama.vocab_size": VOCABULARY,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
    }
    assert {key: metadata[key] for key in expected} == expected
    assert metadata.number("llama.attention.layer_norm_rms_epsilon") == 1e-5
    assert len(metadata["tokenizer.ggml.tokens"]) == VOCABULARY


def test_a_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    model = random_model("llama")
    path = write_model(model, tmp_path)
    before = path.read_bytes()
    with open_checkpoint(tmp_path / "hf") as checkpoint:
        names = sorted(checkpoint.names)[:-1]
        tensors = [*((name, checkpoint.read(name)) for name in names), ("unheard.of", torch.zeros(2))]
        with pytest.raises(UserError, match=r"'unheard\.of' has no name"):
            write_gguf(path, checkpoint.hf_config, tensors, tokenizer())
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["hf", "model.gguf"]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu' cannot be exported to GGUF for llama"),
        ("llama", {"model_type": "lmcraft"}, "'lmcraft' cannot be exported to GGUF"),
        ("llama", {"num_hidden_layers": None}, "num_hidden_layers=None is not a count"),
        ("llama", {"rope_parameters": {**YARN, "attention_factor": 3.0}}, "attention_factor=3.0 cannot"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "type 'dynamic' cannot"),
        ("llama", {"rope_parameters": {"rope_type": "linear"}}, "lacks 'factor'"),
        ("qwen2", {"head_dim": 32}, "4 heads of 32 in a qwen2 of width 64"),
        ("qwen3", {"attention_bias": True}, "attention_bias=True"),
        ("qwen3_moe", {"norm_topk_prob": False}, "norm_topk_prob=False"),
        ("gemma3", {"query_pre_attn_scalar": 99}, "query_pre_attn_scalar=99"),
        ("gpt2", {"activation_function": "relu"}, "activation_function='relu'"),
        ("llama", {"vocab_size": 260}, "belong to different models"),
    ],
)
def test_unsupported_settings_are_errors(name: str, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_model(random_model(name), tmp_path)
    with open_checkpoint(tmp_path / "hf") as checkpoint, pytest.raises(UserError, match=message):
        tensors = ((key, checkpoint.read(key)) for key in checkpoint.names)
        write_gguf(tmp_path / "other.gguf", {**checkpoint.hf_config, **changes}, tensors, tokenizer())
    assert not (tmp_path / "other.gguf").exists()


def test_numbers_too_large_for_f16_are_rejected(tmp_path: Path) -> None:
    model = random_model("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = 1e6
    with pytest.raises(UserError, match="F16 cannot hold"):
        write_model(model, tmp_path, "f16")
    assert read_gguf(write_model(model, tmp_path, "bf16")).dtype == torch.bfloat16
