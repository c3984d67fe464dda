"""Each family against transformers, on tiny random models: folders open in both programs, and the logits agree."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.folder import write_json
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.plain_generation import generate
from lmcraft.model.families import FAMILIES, family_for, family_of
from lmcraft.model.storage import load_model, save_model
from tests.tiny import tiny_config, tiny_model

transformers = pytest.importorskip("transformers")

SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 50,
    "max_position_embeddings": 96,
}
GPT2 = {"vocab_size": 99, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 96}
WIDE = {**SIZES, "head_dim": 16}  # wider than hidden_size / num_attention_heads
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "original_max_position_embeddings": 24}
LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 100.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24, "rope_theta": 10000.0}
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2], "long_factor": [1.5, 2.5, 4.0]}
LONGROPE |= {"rope_theta": 10000.0, "original_max_position_embeddings": 60, "partial_rotary_factor": 0.75}
NEOX = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
GEMMA = {**WIDE, "num_hidden_layers": 7, "sliding_window": 8, "query_pre_attn_scalar": 24}
GEMMA_SCALED = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
MOE = {**WIDE, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20}
# name: (transformers' configuration class, its arguments)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", GPT2),
    "gpt2-untied-gelu": ("GPT2", {**GPT2, "tie_word_embeddings": False, "activation_function": "gelu", "n_inner": 40}),
    "gpt2-relu2": ("GPT2", {**GPT2, "activation_function": "relu2"}),
    "llama": ("Llama", SIZES),
    "llama-3.1": ("Llama", {**WIDE, "rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "llama-linear-biases": (
        "Llama",
        {**SIZES, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e3}}
        | {"attention_bias": True, "mlp_bias": True},
    ),
    "llama-yarn": ("Llama", {**SIZES, "rope_parameters": YARN}),
    "llama-yarn-mscale": (
        "Llama",
        {**SIZES, "rope_parameters": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False}},
    ),
    "mistral": ("Mistral", {**SIZES, "sliding_window": 8}),
    "mistral-without-window": ("Mistral", {**SIZES, "sliding_window": None}),
    "qwen2": ("Qwen2", SIZES),
    "qwen2-windows": (
        "Qwen2",
        {**SIZES, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "qwen3": ("Qwen3", WIDE),
    "qwen3-tied-bias": (
        "Qwen3",
        {**WIDE, "tie_word_embeddings": True, "attention_bias": True}
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}},
    ),
    "gemma3": ("Gemma3Text", GEMMA),
    "gemma3-scaled": ("Gemma3Text", {**GEMMA, "rope_parameters": GEMMA_SCALED, "tie_word_embeddings": False}),
    "phi3": ("Phi3", {**SIZES, "sliding_window": 9}),
    "phi3-longrope": ("Phi3", {**SIZES, "rope_parameters": LONGROPE, "original_max_position_embeddings": 60}),
    "gpt_neox": ("GPTNeoX", NEOX),
    "gpt_neox-sequential": (
        "GPTNeoX",
        {**NEOX, "use_parallel_residual": False, "attention_bias": False, "hidden_act": "gelu_new"},
    ),
    "olmo2": ("Olmo2", SIZES),
    "olmo2-tied-bias": ("Olmo2", {**SIZES, "tie_word_embeddings": True, "attention_bias": True}),
    "qwen3_moe": ("Qwen3Moe", MOE),
    "qwen3_moe-mixed": (
        "Qwen3Moe",
        {**MOE, "num_hidden_layers": 5, "decoder_sparse_step": 2, "mlp_only_layers": [3], "norm_topk_prob": True},
    ),
}


NO_TOKENS = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))


def theirs(name: str) -> Any:
    kind, arguments = CASES[name]
    config = getattr(transformers, f"{kind}Config")(**arguments, eos_token_id=None, bos_token_id=None, pad_token_id=0)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("name", CASES)
@torch.inference_mode()
def test_logits_agree_both_ways(name: str, tmp_path: Path) -> None:
    model = theirs(name)
    model.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    assert ours.config.family == model.config.model_type
    for length in (40, 90):  # below and above LongRoPE's original length
        ids = torch.randint(0, 99, (2, length))
        torch.testing.assert_close(ours(ids), model(ids).logits, atol=3e-5, rtol=1e-4)
    save_model(ours, tmp_path / "ours", NO_TOKENS)
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    assert type(back) is type(model)
    for (key, before), after in zip(model.state_dict().items(), back.state_dict().values(), strict=True):
        assert torch.equal(before, after), key
    torch.testing.assert_close(back(ids).logits, model(ids).logits, atol=0, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_greedy_continuations_agree_with_and_without_padding(name: str, tmp_path: Path) -> None:
    model = theirs(name)
    model.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    prompts = torch.randint(1, 99, (3, 16)).tolist()
    prompts[1], prompts[2] = prompts[1][:9], prompts[2][:2]
    padded = torch.tensor([[0] * (16 - len(prompt)) + prompt for prompt in prompts])
    seen = torch.tensor([[0] * (16 - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    count = 40 if "longrope" in name else 64  # transformers counts the padding towards LongRoPE's original length
    expected = model.generate(padded, attention_mask=seen, max_new_tokens=count, do_sample=False)[:, 16:].tolist()
    alone = model.generate(padded[:1], max_new_tokens=count, do_sample=False)[0, 16:].tolist()
    config = GenerationConfig(do_sample=False, max_new_tokens=count)
    generated = [[token.id for token in generate(ours, prompt, config)] for prompt in prompts]
    assert generated == expected and generated[0] == alone


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3", "qwen3_moe"])
@torch.inference_mode()
def test_logits_of_padded_rows_agree(name: str, tmp_path: Path) -> None:
    model = theirs(name)
    model.save_pretrained(tmp_path)
    ids = torch.randint(1, 99, (2, 20))
    seen = torch.ones_like(ids)
    seen[1, :7] = 0
    positions = (seen.cumsum(1) - 1).clamp(min=0)
    expected = model(ids, attention_mask=seen, position_ids=positions).logits
    logits = load_model(tmp_path)(ids, document_ids=seen)
    torch.testing.assert_close(logits[seen.bool()], expected[seen.bool()], atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["gpt2", "gemma3", "phi3", "gpt_neox", "qwen3_moe"])
def test_a_round_trip_is_bit_identical(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    first = load_model(saved(theirs(name), tmp_path / "0"), dtype=dtype)
    save_model(first, tmp_path / "1", NO_TOKENS)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "1")
    assert again.dtype == dtype
    last = load_model(saved(again, tmp_path / "2"))
    assert last.config == first.config
    for (key, before), after in zip(first.state_dict().items(), last.state_dict().values(), strict=True):
        assert after.dtype == dtype and torch.equal(before, after), key


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def test_keys_of_earlier_releases_are_read() -> None:
    for name, older in {
        "llama-3.1": {"rope_theta": 100.0, "rope_scaling": {k: v for k, v in LLAMA3.items() if k != "rope_theta"}},
        "gemma3-scaled": {
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "sliding_window_pattern": 6,
        },
        "phi3-longrope": {
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.75,
            "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.2], "long_factor": [1.5, 2.5, 4.0]},
        },
        "gpt_neox": {"rotary_emb_base": 10000, "rotary_pct": 0.25},
    }.items():
        kind, arguments = CASES[name]
        new = getattr(transformers, f"{kind}Config")(**arguments).to_dict()
        gone = ("rope_parameters", "layer_types")
        old = {key: value for key, value in new.items() if key not in gone} | older
        assert family_of(old).read_config(old) == family_of(new).read_config(new), name


def test_gradients_agree(tmp_path: Path) -> None:
    model = theirs("qwen3_moe")
    model.save_pretrained(tmp_path)
    ours, ids = load_model(tmp_path), torch.randint(0, 99, (2, 40))
    model(ids, labels=ids).loss.backward()
    logits = ours(ids)[:, :-1]
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    mine, other = ours.layers[0].attention.q_proj.weight.grad, model.model.layers[0].self_attn.q_proj.weight.grad
    torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "family"),
    [
        ({}, "qwen3"),
        ({"residual_dropout": 0.1}, "qwen3"),
        ({"feed_forward": "relu2"}, "lmcraft"),
        (
            {"norm": "layernorm", "position": "learned", "feed_forward": "gelu_tanh", "qk_norm": False}
            | {"attention_bias": "all", "mlp_bias": True, "num_key_value_heads": 4},
            "gpt2",
        ),
    ],
)
def test_every_configuration_round_trips(settings: dict[str, Any], family: str, tmp_path: Path) -> None:
    model = tiny_model(**settings)
    assert family_for(model.config).model_type == family
    save_model(model, tmp_path, {})
    loaded = load_model(tmp_path)
    ids = torch.randint(0, 96, (1, 20))
    assert torch.equal(loaded(ids), model(ids))
    assert (
        FAMILIES[family].inexpressible_settings(loaded.config) == []
        and loaded.config.residual_dropout == model.config.residual_dropout
    )


def test_damaged_folders_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        load_model(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "qwen9"})
    with pytest.raises(UserError, match="'qwen9' is not supported; supported: qwen3"):
        load_model(tmp_path)
    write_json(tmp_path / "config.json", FAMILIES["qwen3"].write_config(tiny_config()))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="pickled"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_model(tmp_path)
    save_model(tiny_model(num_hidden_layers=1), tmp_path / "small", {})
    (tmp_path / "small" / "model.safetensors").replace(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"no tensor 'model\.layers\.1"):
        load_model(tmp_path)
