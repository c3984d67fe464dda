"""`lmcraft quantize`: the integers that it writes, and its errors."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.cli import main
from lmcraft.conversion import quantization, quantized_folder
from lmcraft.conversion.model_description import describe_model
from lmcraft.inference.engine import Engine
from lmcraft.inference.native.decoder import unsupported_reason
from lmcraft.inference.native.weight_packing import ModelPacker
from lmcraft.language_model import LanguageModel, load
from lmcraft.model.linear import Linear, quantized_form
from lmcraft.model.quantized_matrix import Bits, quantize_groups, quantize_groups_gptq, quantize_rows, stored_bits
from lmcraft.model.storage import load_model
from lmcraft.model.transformer import Transformer
from tests.inference.helpers import TEXT, language_model, tokenizer
from tests.parity.cases import build, saved
from tests.tiny import GPT2


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("quantize")
    language_model(intermediate_size=64).save(home / "model")
    (home / "text.txt").write_text(TEXT * 200)
    return home


def command(home: Path, out: Path, *options: str) -> list[str]:
    return [
        "quantize",
        str(home / "model"),
        "--out",
        str(out),
        "--text",
        str(home / "text.txt"),
        "--tokens",
        "1100",
        *options,
    ]


def matrices(model: Transformer) -> dict[str, Linear]:
    return {name: layer for name, layer in model.layers.named_modules() if isinstance(layer, Linear)}


@pytest.mark.parametrize("bits", [8, 4])
def test_a_quantized_folder_holds_the_integers_and_the_quality_loss(
    home: Path, tmp_path: Path, bits: Bits, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(command(home, out, "--bits", str(bits), "--method", "nearest")) == 0
    assert "perplexity" in capsys.readouterr().out
    quality = json.loads((out / "lmcraft/quantization.json").read_text())
    assert quality["bits"] == bits
    assert describe_model(out)["architecture"]["quantization"] == "compressed-tensors (pack-quantized)"
    assert quality["perplexity_after"] == pytest.approx(quality["perplexity_before"], rel=0.02 if bits == 8 else 0.5)
    assert 0 < quality["kl_divergence"] < (0.01 if bits == 8 else 1)
    before, after = load(home / "model"), load(out)
    stored = matrices(after.transformer)
    for name, layer in matrices(before.transformer).items():
        expected = (quantize_rows if bits == 8 else quantize_groups)(layer.weight.float())
        quantized = stored[name].quantized
        assert quantized is not None and torch.equal(quantized.numbers, expected.numbers), name
        torch.testing.assert_close(quantized.scales, expected.scales, rtol=1e-3, atol=0)
        assert torch.equal(ModelPacker._quantize(stored[name], layer.weight.shape[1], bits).numbers, quantized.numbers)
    after.save(tmp_path / "again")
    for name, layer in matrices(load(tmp_path / "again").transformer).items():
        assert layer.quantized is not None and stored[name].quantized is not None
        assert torch.equal(layer.quantized.numbers, stored[name].quantized.numbers)
        assert torch.equal(layer.quantized.scales, stored[name].quantized.scales)


def test_the_stored_integers_are_decoded(home: Path, tmp_path: Path) -> None:
    assert main(command(home, tmp_path / "out", "--bits", "4")) == 0
    model = load(tmp_path / "out")
    if reason := unsupported_reason(model.transformer):
        pytest.skip(reason)
    assert model.engine.tier == "native" and model.engine.weights == "int4"
    assert main(["generate", str(tmp_path / "out"), "Once", "--max-new-tokens", "4"]) == 0


@pytest.mark.parametrize("bits", [8, 4])
def test_a_weight_that_was_changed_is_not_decoded_or_saved_from_its_integers(home: Path, tmp_path: Path, bits: int) -> None:
    assert main(command(home, tmp_path / "out", "--bits", str(bits))) == 0
    model = load(tmp_path / "out")
    layer: Any = model.transformer.layers[0]
    before = model.generate([5, 6, 7], do_sample=False, max_new_tokens=8)
    changed, unchanged = layer.feed_forward.down_proj, layer.feed_forward.up_proj
    changed.weight.data.mul_(-20)
    assert model.generate([5, 6, 7], do_sample=False, max_new_tokens=8) != before
    model.save(tmp_path / "changed")
    again: Any = load(tmp_path / "changed").transformer.layers[0]
    assert again.feed_forward.down_proj.quantized is None and torch.equal(
        again.feed_forward.down_proj.weight, changed.weight
    )
    assert again.feed_forward.up_proj.quantized is not None and unchanged.quantized is not None


def test_a_model_has_no_quality_loss_against_itself() -> None:
    engine = Engine(language_model().transformer)
    loss = quantization.measure_quality_loss(engine, engine, torch.randint(0, 200, (2, 50)))
    assert (loss.kl_divergence, loss.agreement, loss.tokens) == (0, 1, 98)
    assert loss.perplexity_before == loss.perplexity_after


@pytest.mark.parametrize("bits", ["8", "4"])
def test_our_layout_holds_the_vocabulary_and_shifts(home: Path, tmp_path: Path, bits: str) -> None:
    assert main(command(home, tmp_path / "out", "--bits", bits, "--layout", "lmcraft", "--average-bits", "6")) == 0
    assert json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]["format"] == "lmcraft"
    model, forms = load(tmp_path / "out"), {}
    for name, layer in model.transformer.named_modules():
        if (form := quantized_form(layer)) is not None:
            forms[name] = form
            dense = layer.weight.float()  # type: ignore[union-attr, operator]
            torch.testing.assert_close(dense, form.dequantize(), rtol=1e-2, atol=1e-3)
    assert forms.keys() == {"embed_tokens", *(f"layers.{name}" for name in matrices(model.transformer))}
    assert any(form.shifts is not None for form in forms.values()) == (bits == "4")
    model.save(tmp_path / "again")
    again = dict(load(tmp_path / "again").transformer.named_modules())
    for name, form in forms.items():
        stored = quantized_form(again[name])
        assert stored is not None and torch.equal(stored.dequantize(), form.dequantize()), name
    assert main(["export", str(tmp_path / "out"), "--out", str(tmp_path / "dense"), "--dtype", "float32"]) == 0
    assert load(tmp_path / "dense").transformer.embed_tokens.quantized is None


def test_transformers_refuses_our_layout(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    import transformers

    assert main(command(home, tmp_path / "out", "--layout", "lmcraft")) == 0
    with pytest.raises(ValueError, match="only lmcraft opens this folder"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")


def test_the_matrices_that_matter_most_get_8_bits_within_the_average() -> None:
    shares = []
    for average in (4.5, 6, 9.5):
        model: Any = language_model(intermediate_size=64).transformer
        for block in model.layers:
            block.attention.v_proj.weight.data *= 30
        quantization.quantize_model(model, 4, torch.randint(0, 200, (4, 60)), average_bits=average)
        layers = list(matrices(model).values())
        size = sum(stored_bits(layer.weight.shape, layer.quantized.bits) for layer in layers if layer.quantized)
        assert size <= average * sum(layer.weight.numel() for layer in layers)
        shares.append([layer.quantized.bits for layer in layers if layer.quantized].count(8))
        for block in model.layers:  # one matrix for vLLM and for the decode step
            attention = block.attention
            assert len({part.quantized.bits for part in (attention.q_proj, attention.k_proj, attention.v_proj)}) == 1
    assert 0 == shares[0] < shares[1] < shares[2] == len(layers)


def test_gptq_is_nearer_than_rounding_on_inputs_that_depend_on_one_another() -> None:
    torch.manual_seed(0)
    weight, inputs = torch.randn(48, 64), torch.randn(500, 8) @ torch.randn(8, 64) + 0.1 * torch.randn(500, 64)

    def output_error(dense: torch.Tensor) -> float:
        return float((inputs @ (dense - weight).T).norm())

    assert output_error(quantize_groups_gptq(weight, inputs.T @ inputs).dequantize()) < 0.7 * output_error(
        quantize_groups(weight).dequantize()
    )


@pytest.mark.parametrize("bits", ["8", "4"])
def test_transformers_opens_the_folder(home: Path, tmp_path: Path, bits: str) -> None:
    pytest.importorskip("compressed_tensors")
    import transformers

    assert main(command(home, tmp_path / "out", "--bits", bits)) == 0
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.no_grad():
        expected = load(tmp_path / "out", dtype=torch.float32).transformer(ids)
        torch.testing.assert_close(reference(ids).logits, expected, rtol=1e-3, atol=1e-3)


def test_routers_stay_unquantized_and_transformers_computes_the_same(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    import transformers

    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    language_model(intermediate_size=64, **experts).save(tmp_path / "model")
    text = ["--text", str(home / "text.txt"), "--tokens", "1100"]
    assert main(["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "out"), *text]) == 0
    routers = [f"model.layers.{layer}.mlp.gate" for layer in range(2)]
    assert json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]["ignore"] == ["lm_head", *routers]
    reference, loading = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", dtype=torch.float32, output_loading_info=True
    )
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.no_grad():
        expected = load(tmp_path / "out", dtype=torch.float32).transformer(ids)
        torch.testing.assert_close(reference(ids).logits, expected, rtol=1e-3, atol=1e-3)
    assert main(["export", str(tmp_path / "out"), str(tmp_path / "again")]) == 0
    assert load(tmp_path / "again").transformer.layers[0].attention.o_proj.quantized is not None


@pytest.mark.parametrize("command_name", ["export", "pull"])
def test_another_dtype_dequantizes(
    home: Path, tmp_path: Path, command_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(home, tmp_path / "int8")) == 0
    out = tmp_path / "out"
    assert main([command_name, str(tmp_path / "int8"), "--out", str(out), "--dtype", "float32"]) == 0
    assert ("dequantized the matrices to float32" in capsys.readouterr().out) == (command_name == "export")
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    expected, actual = load(tmp_path / "int8", dtype=torch.float32), load(out)
    assert actual.transformer.layers[0].attention.o_proj.weight.dtype == torch.float32
    assert torch.equal(actual.compute_logits([1, 2, 3]), expected.compute_logits([1, 2, 3]))


def test_invalid_input_is_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def assert_refused(model: Path, text: Path, *options: str, expected: str) -> None:
        assert main(["quantize", str(model), "--out", str(tmp_path / "out"), "--text", str(text), *options]) == 2
        error = capsys.readouterr().err
        assert expected in error and "Traceback" not in error
        assert list(tmp_path.glob("*out*")) == []

    (tmp_path / "short.txt").write_text(TEXT)
    language_model(intermediate_size=48).save(tmp_path / "48")
    language_model(intermediate_size=64, **GPT2).save(tmp_path / "gpt2")
    model, text = home / "model", home / "text.txt"
    assert_refused(model, tmp_path / "none.txt", expected="none.txt' does not exist")
    assert_refused(model, tmp_path / "short.txt", expected="give a text of at least")
    assert_refused(model, text, "--average-bits", "4", expected="average_bits=4 must be at least 4.5")
    assert_refused(model, text, "--tokens", "10", expected="tokens=10 must be at least 1024")
    assert_refused(tmp_path / "48", text, "--bits", "4", expected="has 48: use bits=8")
    remedy = "not support: `lmcraft export --format gguf --dtype q4_k_m` writes a GGUF file in 4 bits"
    assert_refused(tmp_path / "gpt2", text, expected=remedy)
    language_model(intermediate_size=64).save(tmp_path / "there")
    assert main(command(home, tmp_path / "there")) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("gpt_oss", "--format gguf --dtype q4_k_m` writes a GGUF file"),
        ("llama4_text", "--dtype bfloat16` writes the smallest"),
    ],
)
def test_stacked_experts_are_refused_with_a_remedy_that_exists(
    name: str, remedy: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LanguageModel(load_model(saved(build(name, vocab_size=tokenizer().vocab_size), tmp_path / "hf")), tokenizer()).save(
        tmp_path / "model"
    )
    text = ["--text", str(home / "text.txt"), "--tokens", "1100"]
    assert main(["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "out"), *text]) == 2
    assert f"folders does not support: `lmcraft export {remedy}" in capsys.readouterr().err


def test_an_interrupt_leaves_nothing(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(quantized_folder, "write_lineage", interrupted)
    assert main(command(home, tmp_path / "out")) == 130
    assert list(tmp_path.iterdir()) == []
