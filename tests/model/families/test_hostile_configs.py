"""Damaged config.json files: one sentence, never a model that computes something else."""

from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.model.families import family_of
from lmcraft.model.language_part import language_config
from tests.parity.cases import configuration

FAMILIES = ["gpt_oss", "gemma2", "cohere2", "olmo3", "exaone4", "gemma3", "gemma4_text", "qwen3_next", "lfm2"]
TYPES: list[Any] = ["x", 7, True, {"a": {}}, [1], [None] * 3, ["full_attention"], ["Full_Attention"] * 3]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24, "rope_theta": 10000.0}


def read(model_type: str, **changes: Any) -> Any:
    hf_config = configuration(model_type).to_dict() | changes
    return family_of(hf_config).read_config(hf_config)


@pytest.mark.parametrize("types", TYPES, ids=str)
@pytest.mark.parametrize("model_type", FAMILIES)
def test_types_of_layers_fit_the_model(model_type: str, types: Any) -> None:
    with pytest.raises(UserError, match=r"layer_types|damaged"):
        read(model_type, layer_types=types)


@pytest.mark.parametrize("layers", ["x", [1], ["yes"] * 3, [None] * 3], ids=str)
def test_layers_without_rotary_positions_fit_the_model(layers: Any) -> None:
    with pytest.raises(UserError, match="no_rope_layers must have 3 entries, one per layer, each of 0, 1"):
        read("smollm3", no_rope_layers=layers, num_hidden_layers=3)


def test_sliding_layers_need_a_window() -> None:
    with pytest.raises(UserError, match="layer_types has sliding layers, but sliding_window=None; set the window"):
        read("gpt_oss", sliding_window=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_type": None}, "rotary scaling type None is not supported"),
        ({"rope_type": ""}, "rotary scaling type '' is not supported"),
        ({"factor": None}, "factor=0.0 must be at least 1"),
        ({"beta_fast": 0}, "beta_fast=0 must be more than 0"),
        ({"beta_slow": -1.0}, "beta_slow=-1.0 must be more than 0"),
        ({"rope_theta": 1}, "rope_theta=1 must be more than 1 with yarn"),
    ],
)
def test_a_scaling_without_its_settings_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read("llama", rope_parameters=YARN | changes, rope_scaling=None)


def test_a_null_for_truncate_is_false_as_in_transformers() -> None:
    assert read("llama", rope_parameters=YARN, rope_scaling=None).rope_scaling.truncate
    assert not read("llama", rope_parameters=YARN | {"truncate": None}, rope_scaling=None).rope_scaling.truncate


@pytest.mark.parametrize("model_type", [["gpt_oss"], {}, 7, None], ids=str)
def test_a_model_type_that_is_no_text_is_refused(model_type: Any) -> None:
    hf_config = {"model_type": model_type, "text_config": {}}
    with pytest.raises(UserError, match="model_type"):
        family_of(language_config(hf_config, []))


def test_an_output_projection_that_is_missing_is_not_tied_against_the_configuration() -> None:
    text = {"model_type": "llama"}
    assert language_config({"model_type": "llava", "text_config": text}, [])["tie_word_embeddings"]
    untied = language_config({"model_type": "llava", "text_config": text, "tie_word_embeddings": False}, [])
    assert not untied["tie_word_embeddings"]
