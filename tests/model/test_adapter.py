"""Adapters written by PEFT: merged logits, errors and export."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lmcraft.cli import main
from lmcraft.errors import UserError
from lmcraft.folder import write_json
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.train import train_bpe
from tests.parity.cases import build
from tests.tiny import TEXT

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

LORA: dict[str, dict[str, Any]] = {
    "llama": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "down_proj"]},
    "qwen3": {"r": 3, "lora_alpha": 5, "target_modules": "all-linear", "use_rslora": True, "rank_pattern": {"k_proj": 2}},
    "gpt2": {"r": 2, "lora_alpha": 4, "target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True},
    "gemma3": {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "alpha_pattern": {"layers.1.self_attn.q_proj": 9}},
    "phi3": {"r": 2, "lora_alpha": 4, "target_modules": ["qkv_proj"], "modules_to_save": ["lm_head"]},
}


def make_adapter(name: str, folder: Path, vocab_size: int | None = None) -> tuple[Any, Path]:
    """PEFT's model and the folder of its adapter; the base model is in a sibling folder."""
    base = build(name, vocab_size=260, pad_token_id=None)
    base.save_pretrained(folder / "base")
    train_bpe([TEXT], vocab_size=256 + 1).save(folder / "base")
    base.name_or_path = str(folder / "base")
    if vocab_size is not None:
        base.resize_token_embeddings(vocab_size)
    model = peft.get_peft_model(base, peft.LoraConfig(**LORA[name])).eval()
    for key, parameter in model.named_parameters():
        if "lora_" in key or "modules_to_save" in key:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder / "adapter")
    return model, folder / "adapter"


@pytest.mark.parametrize("name", LORA)
@torch.inference_mode()
def test_merged_logits_match_peft(name: str, tmp_path: Path) -> None:
    model, folder = make_adapter(name, tmp_path)
    ids = torch.randint(0, 260, (1, 30))
    ours = LanguageModel.load(folder)
    expected = model(ids).logits
    assert not torch.allclose(LanguageModel.load(tmp_path / "base").transformer(ids), expected)
    torch.testing.assert_close(ours.transformer(ids), expected, atol=1e-4, rtol=1e-4)


INITS: dict[str, dict[str, Any]] = {
    "pissa": {"init_lora_weights": "pissa"},
    "pissa, rank-stabilized": {"init_lora_weights": "pissa", "use_rslora": True, "rank_pattern": {"q_proj": 2}},
    "pissa, dora": {"init_lora_weights": "pissa", "use_dora": True},
    "olora": {"init_lora_weights": "olora", "alpha_pattern": {r"layers\.1\.self_attn\.q_proj": 9}},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "eva": {"init_lora_weights": "eva", "eva_config": peft.EvaConfig()},
}


@pytest.mark.parametrize("name", INITS)
@torch.inference_mode()
def test_adapters_that_begin_with_a_part_of_the_base_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LORA, "llama", {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], **INITS[name]})
    model, folder = make_adapter("llama", tmp_path)
    ids = torch.randint(0, 260, (1, 30))
    torch.testing.assert_close(LanguageModel.load(folder).transformer(ids), model(ids).logits, atol=1e-4, rtol=1e-4)
    if str(INITS[name]["init_lora_weights"]) in ("pissa", "olora"):
        with pytest.raises(UserError, match="open it as the model"):
            LanguageModel.load(tmp_path / "base", adapters={"a": folder})


@pytest.mark.parametrize("saved", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"], None])
@torch.inference_mode()
def test_one_of_two_tied_matrices_may_change(
    saved: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = ["q_proj"] if saved else ["q_proj", "lm_head"]
    monkeypatch.setitem(LORA, "gemma3", {"r": 2, "target_modules": targets, "modules_to_save": saved})
    model, folder = make_adapter("gemma3", tmp_path)
    ids = torch.randint(0, 260, (1, 30))
    torch.testing.assert_close(LanguageModel.load(folder).transformer(ids), model(ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("vocab_size", [263, 258])
@pytest.mark.parametrize("name", ["llama", "gemma3"])  # untied, tied
@torch.inference_mode()
def test_the_vocabulary_may_have_another_size(
    name: str, vocab_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LORA, name, {"r": 2, "target_modules": ["q_proj"]})
    model, folder = make_adapter(name, tmp_path, vocab_size)
    tokenizer = train_bpe([TEXT], vocab_size=256 + 1)
    tokenizer.save(folder)
    ids = torch.cat([torch.randint(0, 258, (1, 30)), torch.tensor([[vocab_size - 1]])], 1)
    ours = LanguageModel.load(folder)
    torch.testing.assert_close(ours.transformer(ids), model(ids).logits, atol=1e-4, rtol=1e-4)
    assert ours.transformer.config.tie_word_embeddings == (name == "gemma3")
    ours.save(tmp_path / "whole")
    saved = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    torch.testing.assert_close(saved(ids).logits, model(ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_half_a_vocabulary_of_another_size_is_an_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LORA, name, {"r": 2, "target_modules": ["lm_head"]})  # PEFT does not save the embedding
    _, folder = make_adapter(name, tmp_path, 263)
    with pytest.raises(
        UserError, match=r"260 rows in 'model.embed_tokens.weight' and 263 rows in 'lm_head.*merge_and_unload"
    ):
        LanguageModel.load(folder)


def test_a_replaced_tensor_of_another_shape_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LORA, "llama", {"r": 2, "target_modules": ["q_proj"], "modules_to_save": ["down_proj"]})
    _, folder = make_adapter("llama", tmp_path)
    file = folder / "adapter_model.safetensors"
    tensors = {key: tensor[:5].contiguous() if "down" in key else tensor for key, tensor in load_file(file).items()}
    save_file(tensors, file)
    with pytest.raises(
        UserError, match=r"replaces '.*down_proj.weight' by a tensor of shape \(5, .*, but the base model's is"
    ):
        LanguageModel.load(folder)


def test_unusable_adapters_are_errors(tmp_path: Path) -> None:
    _, folder = make_adapter("llama", tmp_path)
    config = peft.LoraConfig.from_pretrained(folder).to_dict()
    for change, words in (
        ({"base_model_name_or_path": None}, "does not name its base"),
        ({"use_dora": True}, "use_dora"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"init_lora_weights": "pissa_niter_4"}, "whose change of the base model it does not record"),
        ({"init_lora_weights": "corda"}, "'corda', whose change of the base model"),
        ({"init_lora_weights": "loftq"}, "'loftq', whose change of the base model"),
        ({"kasa_config": {"a": 1}}, "uses kasa_config, which is not supported"),
        ({"layer_replication": [[0, 2]]}, "uses layer_replication"),
        ({"alpha_pattern": {"layers.[01].*q_proj": 2}}, "the regular expression 'layers.\\[01\\].*q_proj' in alpha_pattern"),
        ({"r": 5}, "says rank 5"),
        ({"r": 0}, "has the rank 0 for .*: set r to at least 1"),
        ({"r": -4}, "at least 1"),
        ({"peft_type": "IA3"}, "merge it with PEFT's merge_and_unload in the program that trained it$"),
        ({"peft_type": "PROMPT_TUNING"}, "not supported; run it with PEFT, or train"),
        ({"alora_invocation_tokens": [3]}, "not supported; run it with PEFT, or train"),
        ({"bias": "all", "layer_replication": [[0, 2]]}, "not supported; run it with PEFT, or train"),
        ({"lora_bias": True}, "merge_and_unload .* if the layers that it changes have a bias, or else run it"),
        ({"r": "4"}, "has the rank '4'"),
        ({"lora_alpha": "x"}, "by lora_alpha='x'"),
        ({"lora_alpha": None}, "by lora_alpha=None"),
        ({"rank_pattern": 3}, "rank_pattern=3 is not an object"),
        ({"base_model_name_or_path": str(tmp_path / "none")}, "does not exist"),
    ):
        write_json(folder / "adapter_config.json", {**config, "target_modules": ["q_proj"], **change})
        with pytest.raises(UserError, match=words):
            LanguageModel.load(folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(UserError, match="pickled"):
        LanguageModel.load(folder)


@torch.inference_mode()
def test_an_adapter_is_exported_merged_or_alone(tmp_path: Path) -> None:
    model, folder = make_adapter("llama", tmp_path)
    ids = torch.randint(0, 260, (1, 30))
    for arguments in ([], ["--keep-adapter"]):
        out = tmp_path / f"out{len(arguments)}"
        assert main(["export", str(folder), str(out), *arguments]) == 0
        torch.testing.assert_close(LanguageModel.load(out).transformer(ids), model(ids).logits, atol=1e-4, rtol=1e-4)
    assert not (out / "config.json").exists()
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    opened = peft.PeftModel.from_pretrained(base, out)
    torch.testing.assert_close(opened(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5)
