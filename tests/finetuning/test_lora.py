"""Adapters: initial values, gradients, and equality of the merged and the unmerged model."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.conversion.quantization import quantize_model
from lmcraft.errors import UserError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.lora import adapted_layers, add_adapters
from lmcraft.finetuning.tuned_model import open_tuned, snapshot
from lmcraft.language_model import LanguageModel
from lmcraft.model.adapter import read_adapter
from lmcraft.model.frozen_linear import FrozenLinear
from lmcraft.model.linear import Linear
from lmcraft.model.lora_linear import LoraLinear
from lmcraft.model.parts import Mamba
from lmcraft.model.quantized_matrix import Bits
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import open_model
from tests.finetuning.chat import chat_model, chat_tokenizer
from tests.tiny import GPT2

GPT2_MODEL = GPT2 | {"family": "gpt2", "norm_eps": 1e-5}
NEOX = GPT2_MODEL | {"family": "gpt_neox", "position": "rotary", "feed_forward": "gelu", "tie_word_embeddings": False}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": GPT2_MODEL,
    "gpt_neox": NEOX | {"partial_rotary_factor": 0.25, "parallel_residual": True},
    "llama": {"family": "llama", "qk_norm": False},
    "qwen3": {"family": "qwen3"},
    "phi3": {"family": "phi3", "qk_norm": False, "tie_word_embeddings": False},
}
METHODS: dict[str, MethodConfig] = {
    "lora": MethodConfig(rank=3, alpha=5.0),
    "rslora": MethodConfig(rank=3, alpha=5.0, use_rslora=True),
    "dora": MethodConfig(name="dora", rank=3, alpha=5.0),
}
IDS = torch.randint(0, 280, (2, 20), generator=torch.Generator().manual_seed(0))


def save_base(family: str, folder: Path, **settings: Any) -> Path:
    LanguageModel(chat_model(**(FAMILIES[family] | settings)), chat_tokenizer()).save(folder)
    return folder


def build_adapted_model(folder: Path, method: MethodConfig) -> Transformer:
    """The base model with adapters that change it."""
    model = LanguageModel.load(folder, tier="eager").transformer
    add_adapters(model, method)
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in adapted_layers(model):
            layer.lora_B.normal_(std=0.2)
            if layer.magnitude is not None:
                layer.magnitude.mul_(torch.rand_like(layer.magnitude) + 0.5)
    return model


def write_adapter(model: Transformer, method: MethodConfig, folder: Path, out: Path) -> Path:
    out.mkdir()
    snapshot(model, method, str(folder), chat_tokenizer(), (0,), Labels())(out)
    return out


def open_unmerged(folder: Path) -> Transformer:
    with open_model(folder) as source:
        return open_tuned(source, torch.float32, torch.device("cpu")).eval()


@pytest.mark.parametrize("bits", ["keep", "int8", "int4"])
@pytest.mark.parametrize("name", METHODS)
@torch.no_grad()
def test_adapters_start_as_the_identity(name: str, bits: Any) -> None:
    sizes = {"intermediate_size": 64}
    method = MethodConfig(name=METHODS[name].name, rank=3, base_weights=bits)
    model, plain = chat_model(**sizes), chat_model(**sizes)
    add_adapters(model, method)
    if bits != "keep":
        assert all(isinstance(layer.base, FrozenLinear) for layer in adapted_layers(model))
        for key, module in model.named_modules():
            if isinstance(module, LoraLinear):
                plain.get_submodule(key).weight.copy_(module.base.weight)
    torch.testing.assert_close(model(IDS), plain(IDS), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_only_adapters_have_gradients(name: str) -> None:
    model = chat_model()
    add_adapters(model, METHODS[name])
    model(IDS).sum().backward()
    parts = {key.rpartition(".")[2] for key, p in model.named_parameters() if p.grad is not None}
    assert parts == {"lora_A", "lora_B"} | ({"magnitude"} if name == "dora" else set())
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    assert len(adapted_layers(model)) == 7 * model.config.num_hidden_layers


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_gradients_pass_through_quantized_frozen_weights(bits: Any) -> None:
    torch.manual_seed(0)
    linear = Linear(64, 24)
    frozen = FrozenLinear(linear, 8 if bits == "int8" else 4)
    dense = Linear(64, 24)
    dense.load_state_dict({"weight": frozen.weight, "bias": linear.bias})
    assert (frozen.weight - linear.weight).abs().max() < (0.002 if bits == "int8" else 0.03)
    x = torch.randn(5, 64, requires_grad=True)
    y = torch.randn(5, 24)
    (frozen_gradient,) = torch.autograd.grad((frozen(x) * y).sum(), x)
    (gradient,) = torch.autograd.grad((dense(x) * y).sum(), x)
    torch.testing.assert_close(frozen(x), dense(x))
    torch.testing.assert_close(frozen_gradient, gradient)


def test_the_scale_is_alpha_over_the_rank_or_its_root() -> None:
    for rank_stabilized, scale in ((False, 8 / 4), (True, 8 / 2)):
        model = chat_model()
        add_adapters(model, MethodConfig(rank=4, alpha=8.0, use_rslora=rank_stabilized, target_modules=("q_proj",)))
        assert {layer.scale for layer in adapted_layers(model)} == {scale}


def test_dropout_is_active_in_training_only() -> None:
    torch.manual_seed(0)
    model = chat_model()
    add_adapters(model, MethodConfig(rank=4, dropout=0.5))
    for layer in adapted_layers(model):
        torch.nn.init.normal_(layer.lora_B)
    assert torch.equal(model(IDS), model(IDS))
    model.train()
    assert not torch.equal(model(IDS), model(IDS))


@pytest.mark.parametrize(
    ("family", "targets", "message"),
    [
        ("llama", ("q_prj",), "q_prj is not a matrix of this model: use down_proj, gate_proj"),
        ("llama", ("lm_head",), "lm_head is not a matrix"),
        ("llama", ("embed_tokens",), "embed_tokens is not a matrix"),
        ("gpt2", ("q_proj", "v_proj"), r"is only part of 'transformer.h.0.attn.c_attn.weight', .*q_proj, k_proj, v_proj"),
        ("phi3", ("up_proj",), r"gate_up_proj.*gate_proj, up_proj"),
    ],
)
def test_impossible_target_modules_are_refused(family: str, targets: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        add_adapters(chat_model(**FAMILIES[family]), MethodConfig(target_modules=targets))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_an_adapter_computes_the_same_unmerged_and_merged(family: str, name: str, tmp_path: Path) -> None:
    method = METHODS[name]
    model = build_adapted_model(save_base(family, tmp_path / "base"), method)
    folder = write_adapter(model, method, tmp_path / "base", tmp_path / "out")
    assert not (folder / "config.json").exists()
    expected = model(IDS)
    assert (expected - LanguageModel.load(tmp_path / "base", tier="eager").transformer(IDS)).abs().max() > 0.1
    torch.testing.assert_close(open_unmerged(folder)(IDS), expected, atol=1e-6, rtol=1e-6)
    merged = LanguageModel.load(folder, tier="eager")
    torch.testing.assert_close(merged.transformer(IDS), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bits", ["int8", "int4"])
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "phi3"])
@torch.no_grad()
def test_an_adapter_on_a_quantized_base_computes_the_same_unmerged_and_merged(
    family: str, bits: Any, name: str, tmp_path: Path
) -> None:
    method = MethodConfig(name=METHODS[name].name, rank=3, use_rslora=METHODS[name].use_rslora, base_weights=bits)
    model = build_adapted_model(save_base(family, tmp_path / "base", intermediate_size=64), method)
    folder = write_adapter(model, method, tmp_path / "base", tmp_path / "out")
    torch.testing.assert_close(open_unmerged(folder)(IDS), model(IDS), atol=1e-6, rtol=1e-6)
    merged = LanguageModel.load(folder, tier="eager")
    torch.testing.assert_close(merged.transformer(IDS), model(IDS), atol=5e-4, rtol=1e-3)


@pytest.mark.parametrize(("stored", "trained"), [(8, "keep"), (4, "keep"), (8, "int8"), (4, "int4"), (8, "int4")])
@torch.no_grad()
def test_an_adapter_of_a_quantized_folder_is_not_lost(stored: Bits, trained: Any, tmp_path: Path) -> None:
    base = LanguageModel.load(save_base("llama", tmp_path / "dense", intermediate_size=64, hidden_size=64))
    quantize_model(base.transformer, stored, torch.zeros(1, 4, dtype=torch.int64), calibrated=False)
    base.save(tmp_path / "base")
    method = MethodConfig(rank=3, base_weights=trained, target_modules=("q_proj", "down_proj"))
    adapted = build_adapted_model(tmp_path / "base", method)
    folder = write_adapter(adapted, method, tmp_path / "base", tmp_path / "out")
    dense = LanguageModel.load(folder, tier="eager")
    torch.testing.assert_close(dense.transformer(IDS), adapted(IDS), atol=5e-3, rtol=1e-3)
    merged = LanguageModel.load(folder)
    assert merged.engine.weights == "float32"  # the stored integers are those of the base model
    prompt = IDS[0].tolist()
    assert merged.generate(prompt, do_sample=False, max_new_tokens=4) == dense.generate(
        prompt, do_sample=False, max_new_tokens=4
    )


@torch.no_grad()
def test_an_adapter_of_some_matrices_is_saved_and_loaded(tmp_path: Path) -> None:
    method = MethodConfig(rank=3, target_modules=("o_proj",))
    for family in ("gpt2", "llama"):
        model = build_adapted_model(save_base(family, tmp_path / family), method)
        folder = write_adapter(model, method, tmp_path / family, tmp_path / f"{family}-out")
        assert len(read_adapter(folder).modules) == 2
        torch.testing.assert_close(open_unmerged(folder)(IDS), model(IDS), atol=1e-6, rtol=1e-6)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    model = build_adapted_model(save_base("llama", tmp_path / "base"), METHODS["lora"])
    folder = write_adapter(model, METHODS["lora"], tmp_path / "base", tmp_path / "out")
    save_base("llama", tmp_path / "base", hidden_size=48)
    with pytest.raises(UserError, match="do not belong together"):
        open_unmerged(folder)


def test_routers_and_outputs_of_mamba_layers_get_no_adapter_unless_they_are_named() -> None:
    """PEFT has none for them."""
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
    mamba = Mamba(num_heads=4, head_dim=8, state_size=8, conv_kernel=4, chunk_size=8)
    models = {"router": experts, "mixer.o_proj": {"layer_types": ("mamba", "full_attention"), "mamba": mamba}}
    for left_out, settings in models.items():
        for targets, is_adapted in ((("all-linear",), False), ((left_out.rpartition(".")[2],), True)):
            model = chat_model(**settings)
            add_adapters(model, MethodConfig(rank=2, target_modules=targets))
            names = [name for name, layer in model.layers.named_modules() if isinstance(layer, LoraLinear)]
            assert names and any(name.endswith(left_out) for name in names) == is_adapted
