"""Several adapters over one base model: each gives the text of its merged model, and the base model's text is unchanged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import lmcraft
from lmcraft.cli import main
from lmcraft.errors import UserError
from lmcraft.folder import write_json
from lmcraft.inference.block_pool import BlockPool
from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.native.decoder import DecodeRow, NativeDecoder
from lmcraft.inference.plain_generation import generate
from lmcraft.inference.request import Request
from lmcraft.language_model import LanguageModel
from lmcraft.model.adapter import Adapter, read_adapter, save_adapter
from lmcraft.model.families import family_for
from lmcraft.model.linear import Linear
from lmcraft.model.lora_linear import with_adapter
from lmcraft.model.quantized_matrix import quantize_groups
from lmcraft.model.transformer import Transformer
from tests.inference.helpers import NATIVE_ONLY, TIERS, language_model, texts
from tests.tiny import GPT2, tiny_model

KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "int4": {"lmcraft_base_weights": "int4"},
}
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "gpt2": GPT2,
    "phi3": {"family": "phi3", "qk_norm": False, "tie_word_embeddings": False},
    "gpt_neox": {"parallel_residual": True, "partial_rotary_factor": 0.5, "norm": "layernorm", "feed_forward": "gelu"}
    | {"qk_norm": False, "mlp_bias": True, "attention_bias": "all", "num_key_value_heads": 4, "tie_word_embeddings": False},
    "lmcraft": {"norm_placement": "after", "feed_forward": "relu2"},
}
pytestmark = pytest.mark.usefixtures("short_chunks")
SIZES: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64}


def adapter_for(model: Transformer, folder: Path, seed: int, **config: Any) -> Adapter:
    """An adapter of all matrices of the blocks, large enough to change every text; written and read again."""
    family, generator = family_for(model.config), torch.Generator().manual_seed(seed)
    tensors = {}
    for hf_name, names in family.stacks(model.config):
        layers = [model.get_submodule(name.rpartition(".")[0]) for name in names]
        if not hf_name.endswith(".weight") or not isinstance(layers[0], Linear) or layers[0] is model.lm_head:
            continue
        module, rows = hf_name.removesuffix(".weight"), sum(len(layer.weight) for layer in layers)  # type: ignore[arg-type]
        tensors[f"{module}.lora_A.weight"] = torch.randn(3, layers[0].in_features, generator=generator) * 0.3
        tensors[f"{module}.lora_B.weight"] = torch.randn(rows, 3, generator=generator) * 0.3
        if config.get("use_dora"):
            tensors[f"{module}.lora_magnitude_vector"] = torch.rand(rows, generator=generator) + 0.5
    settings_json = {"peft_type": "LORA", "base_model_name_or_path": "base", "r": 3, "lora_alpha": 6}
    save_adapter(Adapter(folder, {**settings_json, "fan_in_fan_out": family.transposes, **config}, tensors), folder)
    return read_adapter(folder)


def build_merged_model(model: LanguageModel, adapter: Adapter, folder: Path) -> Transformer:
    model.save(folder / "base")
    write_json(adapter.folder / "adapter_config.json", {**adapter.config, "base_model_name_or_path": str(folder / "base")})
    return LanguageModel.load(adapter.folder).transformer


def request_for(length: int, adapter: str = "", **settings: Any) -> Request:
    ids = torch.randint(0, 96, (length,), generator=torch.Generator().manual_seed(length)).tolist()
    config = GenerationConfig(**{"max_new_tokens": 24, "do_sample": False, **settings})
    return Request(prompt_ids=tuple(ids), config=config, adapter=adapter)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_an_adapter_equals_its_merged_model(kind: str, family: str, tmp_path: Path) -> None:
    model = language_model(**SIZES, **FAMILIES[family])
    assert family_for(model.transformer.config).model_type == family
    ids = torch.randint(0, model.tokenizer.vocab_size, (2, 30))
    before = model.transformer(ids)
    adapter = adapter_for(model.transformer, tmp_path / kind, 1, **KINDS[kind])
    unmerged = with_adapter(model.transformer, adapter)
    expected = build_merged_model(model, adapter, tmp_path)(ids)
    assert not torch.allclose(expected, before, atol=0.1)
    torch.testing.assert_close(unmerged(ids), expected, atol=2e-4, rtol=1e-4)
    assert torch.equal(model.transformer(ids), before)
    assert unmerged.embed_tokens.weight.data_ptr() == model.transformer.embed_tokens.weight.data_ptr()
    assert all(parameter.requires_grad for parameter in model.transformer.parameters())


@NATIVE_ONLY
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weights", ["float32", "int4"])
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_run_natively(kind: str, weights: Any, family: str, tmp_path: Path) -> None:
    """Except adapters trained over weights of other bits, which run in PyTorch."""
    model = language_model(**SIZES, **FAMILIES[family])
    ids = torch.randint(0, model.tokenizer.vocab_size, (80,)).tolist()
    adapter = adapter_for(model.transformer, tmp_path / kind, 1, **KINDS[kind])
    adapters = {"a": with_adapter(model.transformer, adapter)}
    engine = Engine(model.transformer, tier="native", weights=weights, adapters=adapters)
    assert engine.runner.can_verify("a") == (kind != "int4" or weights == "int4")
    actual = engine.score(ids, "a")
    if weights == "int4" and kind != "int4":  # compare with 4-bit base weights, so that only inputs are rounded
        for module in model.transformer.modules():
            if isinstance(module, Linear) and module is not model.transformer.lm_head:
                module.weight.data = quantize_groups(module.weight.data).dequantize()
        adapters["a"] = with_adapter(model.transformer, adapter)
    with torch.inference_mode():
        expected = adapters["a"](torch.tensor([ids]))[0]
    if not engine.runner.can_verify("a") or weights == "float32":
        torch.testing.assert_close(actual, expected, atol=2e-4, rtol=1e-4)
    else:
        assert (actual - expected).square().mean() < 0.01 * expected.square().mean()
    assert not torch.allclose(engine.score(ids), actual, atol=0.1)


@NATIVE_ONLY
@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
def test_rows_with_adapters_depend_on_neither_the_batch_nor_the_threads(weights: Any, tmp_path: Path) -> None:
    network = tiny_model(max_position_embeddings=256)
    adapters = {name: with_adapter(network, adapter_for(network, tmp_path / name, n)) for n, name in enumerate("ab")}
    requests = [request_for(length, name) for length in (3, 40) for name in ("", "a", "b")]
    alone = [texts(Engine(network, tier="native", weights=weights, adapters=adapters), [one])[0] for one in requests]
    assert alone[:1] == texts(Engine(network, tier="native", weights=weights), requests[:1])
    together = Engine(network, tier="native", weights=weights, adapters=adapters)
    assert together.tier == "native"
    assert texts(together, requests) == alone
    pool = BlockPool(network.config, num_tokens=64, dtype=torch.float32)
    blocks = torch.tensor([0], dtype=torch.int32), torch.tensor([1], dtype=torch.int32)
    decoder = NativeDecoder(network, pool, weights, max_threads=3, adapters=adapters)
    rows = [DecodeRow(5, 0, blocks[0], adapter="a"), DecodeRow(5, 0, blocks[1])]
    one, three = (decoder.step(rows, threads).logits.clone() for threads in (1, 3))
    assert torch.equal(one, three) and not torch.equal(one[0], one[1])


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("tokens", [0, 160])
def test_a_batch_of_several_adapters_equals_each_merged_model_alone(tier: Any, tokens: int, tmp_path: Path) -> None:
    """In a small pool too, where sequences are preempted; prefixes are cached in the second round."""
    model = language_model(**SIZES)
    read = {name: adapter_for(model.transformer, tmp_path / name, n, **KINDS[name]) for n, name in enumerate(KINDS)}
    models = {
        "": model.transformer,
        **{name: build_merged_model(model, adapter, tmp_path) for name, adapter in read.items()},
    }
    engine = Engine(
        model.transformer,
        tier=tier,
        cache_tokens=tokens,
        adapters={name: with_adapter(model.transformer, adapter) for name, adapter in read.items()},
    )
    requests = [request_for(length, name) for length in (3, 40, 70) for name in ("", *read)]
    plain = texts(Engine(model.transformer, tier=tier), [one for one in requests if not one.adapter])
    for _ in range(2):
        actual = texts(engine, requests)
        for one, text in zip(requests, actual, strict=True):
            alone = [token.id for token in generate(models[one.adapter], one.prompt_ids, one.config)]
            assert text == [*one.prompt_ids, *alone], one.adapter
        assert [text for one, text in zip(requests, actual, strict=True) if not one.adapter] == plain


def test_prefixes_are_shared_within_an_adapter_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_model(max_position_embeddings=256)
    adapters = {name: with_adapter(network, adapter_for(network, tmp_path / name, 1)) for name in ("a", "b")}
    engine = Engine(network, tier="eager", adapters=adapters)
    lengths: list[int] = []
    prefill = engine.runner.prefill
    monkeypatch.setattr(
        engine.runner, "prefill", lambda chunks: lengths.extend(len(c.ids) for c in chunks) or prefill(chunks)
    )
    for adapter, expected in (("", [32, 32, 6]), ("a", [32, 32, 6]), ("a", [6]), ("b", [32, 32, 6]), ("", [6])):
        lengths.clear()
        texts(engine, [request_for(70, adapter, max_new_tokens=1)])
        assert lengths == expected
    together: Mapping[str, str] = {"owner": "a", "adapter": ""}
    swapped: Mapping[str, str] = {"owner": "", "adapter": "a"}
    salts = [engine.submit(Request(prompt_ids=(1,), **names)).salt for names in (together, swapped)]
    assert salts[0] != salts[1]


@NATIVE_ONLY
def test_speculation_changes_no_text_with_an_adapter(tmp_path: Path) -> None:
    network = tiny_model(max_position_embeddings=256)
    adapters = {"a": with_adapter(network, adapter_for(network, tmp_path / "a", 1))}
    requests = [request_for(40, name, max_new_tokens=100) for name in ("a", "")]
    plain = [texts(Engine(network, tier="native", prompt_lookup=False, adapters=adapters), [one]) for one in requests]
    speculative = Engine(network, tier="native", draft=network, adapters=adapters)
    assert [texts(speculative, [one]) for one in requests] == plain


@pytest.mark.parametrize("tier", TIERS)
def test_every_method_takes_an_adapter(tier: Any, tmp_path: Path) -> None:
    """With structured output, beams and several samples too."""
    made = language_model(**SIZES)
    adapter = adapter_for(made.transformer, tmp_path / "pirate", 3)
    other = LanguageModel(build_merged_model(made, adapter, tmp_path), made.tokenizer, tier=tier)
    model = lmcraft.load(tmp_path / "base", tier=tier, adapters={"pirate": tmp_path / "pirate"})
    settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}
    assert model.complete("Once", **settings) == made.complete("Once", **settings)
    for more in ({}, {"num_beams": 3}, {"regex": "[a-z ]{8}"}, {"num_return_sequences": 2, "do_sample": True, "seed": 1}):
        options = {**settings, **more}
        actual = model.generate([5, 6, 7], adapter="pirate", **options)
        assert actual == other.generate([5, 6, 7], **options) != made.generate([5, 6, 7], **options)
    assert model.complete("Once", adapter="pirate", **settings) == other.complete("Once", **settings)
    for more in ({}, {"num_beams": 2}):
        with pytest.raises(UserError, match="no adapter 'parrot'; loaded adapters: 'pirate'"):
            model.complete("Once", adapter="parrot", **settings, **more)
    with pytest.raises(UserError, match="loaded adapters: none"):
        made.complete("Once", adapter="pirate")


def test_the_command_takes_an_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = language_model(**SIZES)
    folder = str(
        build_merged_model(made, adapter_for(made.transformer, tmp_path / "pirate", 3), tmp_path) and tmp_path / "pirate"
    )
    texts = []
    for arguments in ([folder], [str(tmp_path / "base"), "--adapter", folder], [str(tmp_path / "base")]):
        assert main(["generate", arguments[0], "Once", *arguments[1:], "--no-do-sample", "--max-new-tokens", "9"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("q_proj.lora_B", (30, 3), "do not belong together"),
        ("q_proj.lora_A", (3, 16), "do not belong together"),
        ("q_proj.lora_A", (2, 32), "do not belong together"),
        ("strange.lora_A", (2, 32), "strange"),
        ("q_norm.lora_A", (2, 32), "q_norm"),
        ("q_proj", (32, 32), "q_proj"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(name: str, shape: tuple[int, ...], words: str, tmp_path: Path) -> None:
    network = tiny_model()
    adapter = adapter_for(network, tmp_path, 1)
    tensors = {**adapter.tensors, f"model.layers.1.self_attn.{name}.weight": torch.zeros(shape)}
    with pytest.raises(UserError, match=words):
        with_adapter(network, Adapter(tmp_path, adapter.config, tensors))


def test_a_folder_without_adapter_is_refused(tmp_path: Path) -> None:
    language_model().save(tmp_path)
    with pytest.raises(UserError, match="is not an adapter"):
        lmcraft.load(tmp_path, adapters={"a": tmp_path})
