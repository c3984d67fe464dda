"""Adapters against PEFT: folders open in both programs, and a training step is the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.finetuning.lora import adapted_layers, adapter_tensors
from lmcraft.finetuning.methods import trained_groups, trained_state
from lmcraft.finetuning.tuned_model import open_tuned
from lmcraft.language_model import LanguageModel
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import open_model
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.depth_rule import resolve_optimizer
from lmcraft.training.optimizer import Optimizer
from tests.finetuning.test_lora import FAMILIES, IDS, METHODS, build_adapted_model, open_unmerged, save_base, write_adapter

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

THEIRS: dict[str, dict[str, Any]] = {
    "lora": {"r": 4, "lora_alpha": 6},
    "rslora": {"r": 3, "lora_alpha": 6, "use_rslora": True},
    "dora": {"r": 4, "lora_alpha": 6, "use_dora": True},
}


def theirs(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder)


def adapted(family: str, name: str, folder: Path, **settings: Any) -> Any:
    """PEFT's model with an adapter that changes it."""
    arguments = {"target_modules": "all-linear", "fan_in_fan_out": family == "gpt2"} | THEIRS[name] | settings
    model = peft.get_peft_model(theirs(save_base(family, folder)), peft.LoraConfig(**arguments))
    torch.manual_seed(2)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_B" in key:
                p.normal_(std=0.2)
            if "lora_magnitude" in key:
                p.mul_(torch.rand_like(p) + 0.5)
    return model


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_peft_opens_our_adapters(family: str, name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    model = build_adapted_model(save_base(family, tmp_path / "base"), METHODS[name])
    folder = write_adapter(model, METHODS[name], tmp_path / "base", tmp_path / "out")
    opened = peft.PeftModel.from_pretrained(theirs(tmp_path / "base"), folder).eval()
    torch.testing.assert_close(opened(IDS).logits, model(IDS), atol=2e-4, rtol=1e-4)
    assert not [str(warning.message) for warning in recwarn if "adapter" in str(warning.message)]


@torch.no_grad()
def test_peft_opens_an_adapter_of_one_of_two_namesakes(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    for name in ("lora", "dora"):
        method = replace(METHODS[name], target_modules=("o_proj",))
        model = build_adapted_model(save_base("gpt2", tmp_path / name), method)
        folder = write_adapter(model, method, tmp_path / name, tmp_path / f"{name}-out")
        opened = peft.PeftModel.from_pretrained(theirs(tmp_path / name), folder).eval()
        torch.testing.assert_close(opened(IDS).logits, model(IDS), atol=2e-4, rtol=1e-4)
        assert not [key for key in opened.state_dict() if "mlp" in key and "lora" in key]
    assert not [str(warning.message) for warning in recwarn if "adapter" in str(warning.message)]


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_adapters_of_peft_open_here(family: str, name: str, tmp_path: Path) -> None:
    model = adapted(family, name, tmp_path / "base").eval()
    model.save_pretrained(tmp_path / "out")
    expected = model(IDS).logits
    torch.testing.assert_close(open_unmerged(tmp_path / "out")(IDS), expected, atol=2e-4, rtol=1e-4)
    merged = LanguageModel.load(tmp_path / "out", tier="eager")
    torch.testing.assert_close(merged.transformer(IDS), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "settings", [{"target_modules": ["q_proj", "lm_head"]}, {"target_modules": ["q_proj"], "modules_to_save": ["norm"]}]
)
def test_adapters_outside_the_blocks_can_only_be_merged(settings: dict[str, Any], tmp_path: Path) -> None:
    family = "phi3" if "lm_head" in settings["target_modules"] else "llama"
    settings = settings | ({"target_modules": ["qkv_proj", "lm_head"]} if family == "phi3" else {})
    adapted(family, "lora", tmp_path / "base", **settings).save_pretrained(tmp_path / "out", save_embedding_layers=False)
    with open_model(tmp_path / "out") as source, pytest.raises(UserError, match=r"only be merged.*lmcraft export"):
        open_tuned(source, torch.float32, torch.device("cpu"))


def step_of_ours(model: Transformer, name: str) -> dict[str, torch.Tensor]:
    config = resolve_optimizer(OptimizerConfig(name="adamw", learning_rate=0.01, beta1=0.9, beta2=0.999, eps=1e-8), 1)
    Optimizer(model, config, torch.float32, trained_groups(model, config, METHODS[name])).step(1.0)
    return adapter_tensors(model, trained_state(model))


@pytest.mark.parametrize("name", ["lora", "dora"])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_training_step_matches_peft(family: str, name: str, tmp_path: Path) -> None:
    model = adapted(family, name, tmp_path / "base").train()
    model.save_pretrained(tmp_path / "out")
    ours = open_unmerged(tmp_path / "out").train()
    for layer in adapted_layers(ours):
        for p in (layer.lora_A, layer.lora_B, layer.magnitude):
            assert p is None or p.requires_grad
    labels = IDS.clone()
    labels[:, :5] = -100
    loss = model(IDS, labels=labels).loss
    our_loss = torch.nn.functional.cross_entropy(ours(IDS)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(our_loss, loss, atol=1e-5, rtol=1e-5)
    loss.backward()
    our_loss.backward()
    norm = torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    mine = torch.nn.utils.get_total_norm([p.grad for p in ours.parameters() if p.grad is not None])
    torch.testing.assert_close(mine, norm, atol=1e-4, rtol=1e-4)
    torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.0).step()
    expected = {key.removeprefix("base_model.model."): value for key, value in peft.get_peft_model_state_dict(model).items()}
    after = step_of_ours(ours, name)
    assert after.keys() == expected.keys()
    for key, value in after.items():
        torch.testing.assert_close(
            value, expected[key], atol=2e-5, rtol=1e-4, msg=lambda message, key=key: f"{key}: {message}"
        )
