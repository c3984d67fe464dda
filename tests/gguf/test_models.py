"""Each architecture, on tiny random models: written by us, opened by us and by transformers, with the same logits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.gguf import read_gguf, write_gguf
from lmcraft.gguf.dependency import gguf_package
from lmcraft.language_model import LanguageModel
from lmcraft.model.storage import build_model, open_checkpoint
from tests.inference.helpers import tokenizer

transformers = pytest.importorskip("transformers")
pytest.importorskip("gguf")

VOCABULARY = 384
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}
WIDE = {**SIZES, "head_dim": 128}  # transformers reads neither this nor the width of experts (768) from a GGUF file
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0 + n / 10 for n in range(8)],
    "long_factor": [2.0 + n for n in range(8)],
    "original_max_position_embeddings": 64,
}
GEMMA = {**SIZES, "head_dim": 256, "num_hidden_layers": 7, "sliding_window": 8, "tie_word_embeddings": True}
GEMMA_ROPE = {
    "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 20000.0},
}
NEOX = {**SIZES, "num_key_value_heads": None, "rotary_pct": 0.25, "max_position_embeddings": 128}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024}
MOE = {**WIDE, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 768, "norm_topk_prob": True}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {**SIZES, "rms_norm_eps": 1e-5, "rope_theta": 50000.0}),
    "llama-bias": ("Llama", {**SIZES, "attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4}),
    "llama-tied-wide": ("Llama", {**SIZES, "head_dim": 24, "tie_word_embeddings": True}),
    "llama3": ("Llama", {**SIZES, "head_dim": 64, "rope_parameters": LLAMA3}),
    "llama-yarn": ("Llama", {**SIZES, "rope_parameters": YARN}),
    "llama-linear": ("Llama", {**SIZES, "rope_parameters": LINEAR}),
    "mistral": ("Mistral", {**SIZES, "sliding_window": None}),
    "qwen2": ("Qwen2", {**SIZES, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", WIDE),
    "gemma3": ("Gemma3Text", GEMMA),
    "gemma3-scaled": (
        "Gemma3Text",
        {
            **GEMMA,
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "rope_parameters": GEMMA_ROPE,
            "layer_types": ["full_attention", "sliding_attention"] * 3 + ["full_attention"],
        },
    ),
    "phi3": ("Phi3", {**SIZES, "pad_token_id": 0}),
    "phi3-longrope": (
        "Phi3",
        {
            **SIZES,
            "rope_parameters": LONGROPE,
            "original_max_position_embeddings": 64,
            "pad_token_id": 0,
        },
    ),
    "phi3-window": ("Phi3", {**SIZES, "sliding_window": 50, "pad_token_id": 0}),
    "gpt_neox": ("GPTNeoX", NEOX),
    "gpt_neox-sequential": ("GPTNeoX", {**NEOX, "use_parallel_residual": False, "tie_word_embeddings": True}),
    "gpt2": ("GPT2", GPT2),
    "gpt2-untied": ("GPT2", {**GPT2, "tie_word_embeddings": False, "n_inner": 80}),
    "qwen3-narrow": ("Qwen3", {**SIZES, "head_dim": 24}),
    "qwen3_moe": ("Qwen3Moe", MOE),
}
# Cases that transformers' own GGUF reader does not support: architecture, scaling, biases, windows, head width, n_inner.
NOT_IN_TRANSFORMERS = (
    "llama-bias",
    "llama3",
    "llama-yarn",
    "llama-linear",
    "gemma3-scaled",
    "phi3-longrope",
    "phi3-window",
    "gpt_neox",
    "gpt_neox-sequential",
    "gpt2-untied",
)


def random_model(name: str) -> Any:
    kind, arguments = CASES[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**arguments)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.tie_weights()
    return model


def write_model(model: Any, folder: Path, quantization: Any = "f32") -> Path:
    """The model as a GGUF file, converted from the folder that transformers writes."""
    model.save_pretrained(folder / "hf")
    with open_checkpoint(folder / "hf") as checkpoint:
        tensors = ((name, checkpoint.read(name)) for name in sorted(checkpoint.names, key=_by_layer))
        write_gguf(folder / "model.gguf", checkpoint.hf_config, tensors, tokenizer(), quantization, license="mit")
    return folder / "model.gguf"


def _by_layer(name: str) -> tuple[Any, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in name.split(".")), name


def ids(length: int = 40) -> torch.Tensor:
    return torch.randint(0, 340, (2, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CASES)
@torch.inference_mode()
def test_written_files_round_trip(name: str, tmp_path: Path) -> None:
    model = random_model(name)
    file = read_gguf(write_model(model, tmp_path))
    assert (file.license, file.dtype, file.name) == ("mit", torch.float32, "model")
    ours = build_model(file.checkpoint)
    for length in (40, 100):  # below and above LongRoPE's original length
        torch.testing.assert_close(ours(ids(length)), model(ids(length)).logits, atol=1e-4, rtol=1e-4)
    assert ours.config.vocab_size == VOCABULARY
    assert file.tokenizer.encode("Once 从前 🙂") == tokenizer().encode("Once 从前 🙂")


def test_a_tensor_that_nothing_uses_is_named(tmp_path: Path) -> None:
    model = read_gguf(write_model(random_model("llama"), tmp_path))
    model.file.tensors["blk.0.attn_sinks.weight"] = model.file.tensors["blk.0.attn_norm.weight"]
    with pytest.raises(UserError, match=r"has 1 tensors .* such as 'blk\.0\.attn_sinks\.weight'"):
        build_model(model.checkpoint)


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_IN_TRANSFORMERS])
@torch.inference_mode()
def test_transformers_reads_written_files(name: str, tmp_path: Path) -> None:
    model = random_model(name)
    path = write_model(model, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    torch.testing.assert_close(theirs(ids()).logits, model(ids()).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in CASES if name != "qwen3_moe"])  # transformers keeps its experts stacked
@torch.inference_mode()
def test_names_and_settings_match_transformers(name: str, tmp_path: Path) -> None:
    """config.json and the tensors, without our family tables."""
    model = random_model(name)
    file = read_gguf(write_model(model, tmp_path))
    config = transformers.AutoConfig.for_model(**file.config)
    theirs = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    state = {key: file.read(key) for key in theirs.state_dict()}
    state = {key: tensor for key, tensor in state.items() if tensor is not None}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert unexpected == [] and set(missing) <= {"lm_head.weight"}
    theirs.tie_weights()
    for length in (40, 100):
        torch.testing.assert_close(theirs(ids(length)).logits, model(ids(length)).logits, atol=1e-4, rtol=1e-4)
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(theirs.state_dict()[key], tensor, atol=1e-6, rtol=0, msg=key)


@pytest.mark.parametrize("quantization", ["f16", "bf16", "q8_0"])
@torch.inference_mode()
def test_smaller_types_are_stored_as_the_package_quantizes(quantization: str, tmp_path: Path) -> None:
    model = random_model("qwen3")
    path = write_model(model, tmp_path, quantization)
    file = read_gguf(path)
    kinds = {name: entry.type.name for name, entry in file.file.tensors.items()}
    expected_type = quantization.upper()
    assert kinds["token_embd.weight"] == kinds["blk.1.ffn_down.weight"] == expected_type
    assert kinds["blk.1.attn_norm.weight"] == kinds["output_norm.weight"] == "F32"
    assert file.dtype == {"f16": torch.float16, "bf16": torch.bfloat16, "q8_0": torch.float32}[quantization]
    assert {parameter.dtype for parameter in build_model(file.checkpoint).parameters()} == {file.dtype}
    package, weight = gguf_package(), model.model.layers[1].mlp.down_proj.weight
    expected = package.quantize(weight.numpy(), package.GGMLQuantizationType[expected_type])
    stored = np.asarray(package.dequantize(expected, package.GGMLQuantizationType[expected_type]))
    weights = file.read("model.layers.1.mlp.down_proj.weight")
    assert weights is not None and (weights.float().numpy() == stored).all()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    ours = build_model(file.checkpoint, dtype=torch.float32)
    torch.testing.assert_close(ours(ids()), theirs(ids()).logits, atol=1e-4, rtol=1e-4)


def test_a_language_model_opens_a_file(tmp_path: Path) -> None:
    path = write_model(random_model("qwen2"), tmp_path)
    assert isinstance(LanguageModel.load(path).complete("Once", seed=1, max_new_tokens=5), str)


def test_a_mistral_with_a_window_gets_a_context_of_one_window(tmp_path: Path) -> None:
    CASES["windowed"] = ("Mistral", {**SIZES, "sliding_window": 24})
    file = read_gguf(write_model(random_model("windowed"), tmp_path))
    assert (file.config["model_type"], file.config["max_position_embeddings"]) == ("llama", 24)
