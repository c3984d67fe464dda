"""A model whose outputs are not numbers is an error, not a text."""

from pathlib import Path

import pytest
import torch

from lmcraft.cli import main
from lmcraft.errors import RunError
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.inference.runner import Tier
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import NATIVE_ONLY, TEXT, TIERS, language_model


def damaged_model(value: float) -> LanguageModel:
    """A model with one row of the output projection that is not a number; the other logits are."""
    model = language_model(hidden_size=64, tie_word_embeddings=False)
    assert model.transformer.lm_head is not None
    with torch.no_grad():
        model.transformer.lm_head.weight[7] = value
    return model


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("token_id", [0, 7, 20])
def test_one_logit_that_is_not_a_number_is_enough(tier: Tier, token_id: int) -> None:
    model = language_model(hidden_size=64, tie_word_embeddings=False)
    assert model.transformer.lm_head is not None
    with torch.no_grad():
        model.transformer.lm_head.weight[token_id, 3] = float("nan")
    model._tier = tier
    for settings in ({}, {"do_sample": True}, {"temperature": 0.8, "top_p": 0.9, "min_p": 0.05}):
        with pytest.raises(RunError, match="computes values that are not numbers"):
            model.complete("Once", max_new_tokens=2, **settings)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("tier", TIERS)
def test_a_damaged_model_generates_nothing(tmp_path: Path, tier: Tier, value: float) -> None:
    damaged_model(value).save(tmp_path / "damaged")
    model = LanguageModel.load(tmp_path / "damaged", tier=tier)
    for settings in ({}, {"do_sample": True}, {"num_beams": 2}):
        with pytest.raises(RunError, match=r"damaged' computes values that are not numbers"):
            model.complete("Once", max_new_tokens=2, **settings)
    with pytest.raises(RunError, match="not numbers"):
        model.engine.score([1, 2, 3])


@NATIVE_ONLY
@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_quantizing_does_not_hide_the_damage(tmp_path: Path, weights: Weights) -> None:
    damaged_model(float("nan")).save(tmp_path / "damaged")
    with pytest.raises(RunError, match="not numbers"):
        LanguageModel.load(tmp_path / "damaged", weights=weights).complete("Once", max_new_tokens=2)


def test_commands_that_copy_refuse_a_damaged_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged_model(float("nan")).save(tmp_path / "damaged")
    (tmp_path / "text.txt").write_text(TEXT * 200)
    text = ["--text", str(tmp_path / "text.txt"), "--tokens", "1100", "--bits", "4"]
    for command, options in (("export", []), ("pull", []), ("quantize", text)):
        assert main([command, str(tmp_path / "damaged"), "--out", str(tmp_path / "out"), *options]) == 1
        assert "not numbers" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
