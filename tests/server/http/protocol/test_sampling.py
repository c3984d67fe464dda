"""The fields that all generation requests share."""

from typing import Any

import pytest
from pydantic import ValidationError

from lmcraft.inference.generation_settings import SETTINGS
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.sampling import SAMPLING_SETTINGS, Sampling


@pytest.mark.parametrize("setting", SAMPLING_SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_a_documented_optional_field(setting: Any) -> None:
    description = Sampling.model_json_schema()["properties"][setting.name]
    assert description["description"] == setting.help and description["default"] is None
    assert setting.name not in Sampling().settings()
    assert setting.name not in Sampling(**{setting.name: None}).settings()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1),
        ("temperature", 101),
        ("temperature", float("nan")),
        ("top_p", 0),
        ("top_k", -2),
        ("top_n_sigma", -2),
        ("min_p", 1.5),
        ("presence_penalty", 3),
        ("dry_multiplier", -0.1),
        ("dry_base", 0.5),
        ("dry_allowed_length", 0),
        ("dry_penalty_last_n", -2),
        ("dry_sequence_breakers", ["a"] * 17),
        ("dry_sequence_breakers", [""]),
        ("stop", ["a"] * 17),
        ("logit_bias", {"3": 101}),
        ("n", 0),
        ("seed", 2**63),
        ("temprature", 1),
    ],
)
def test_values_out_of_bounds_are_rejected(field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Sampling(**{field: value})


def test_minus_one_turns_a_sampler_off_as_in_vllm_and_llama_cpp() -> None:
    settings = Sampling(top_k=-1, top_n_sigma=-1, dry_penalty_last_n=-1).settings()  # type: ignore[call-arg]
    assert (settings["top_k"], settings["top_n_sigma"], settings["dry_penalty_last_n"]) == (0, 0, -1)


def test_seeds_stay_and_negative_ones_are_wrapped() -> None:
    for seed, expected in ((0, 0), (7, 7), (2**62 - 1, 2**62 - 1), (-2, 2**62 - 2)):
        assert Sampling(seed=seed).settings()["seed"] == expected  # type: ignore[call-arg]


def test_minus_one_is_another_seed_each_time_as_in_llama_cpp() -> None:
    assert "seed" not in Sampling(seed=-1).settings()  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["regex", "grammar"])
def test_an_empty_structure_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        Sampling(structured_outputs={name: ""})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_object", "schema": {"minProperties": 1}}},
            {"json_schema": '{"type": "object", "minProperties": 1}'},
        ),
        ({"response_format": {"type": "json_object"}}, {"json_schema": '{"type": "object"}'}),
        ({"structured_outputs": {"regex": "a+"}}, {"regex": "a+"}),
        ({"structured_outputs": {"json": {"type": "null"}}}, {"json_schema": '{"type": "null"}'}),
        ({"structured_outputs": {"choice": ["a.b", "c"]}}, {"regex": "a\\.b|c"}),
        ({"structured_outputs": {"grammar": "start: 'a'"}}, {"grammar": "start: 'a'"}),
    ],
)
def test_structured_output(fields: dict[str, Any], expected: dict[str, str]) -> None:
    structures = {name for name, setting in SETTINGS.items() if setting.group == "structure"}
    settings = Sampling(**fields).settings()
    assert {name: value for name, value in settings.items() if name in structures} == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"structured_outputs": {"regex": "a", "grammar": "b"}}, "it has 2 of json, regex, choice and grammar"),
        ({"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}}, "it excludes response_format"),
        ({"response_format": {"type": "json_schema"}}, "it is missing"),
    ],
)
def test_contradictions_are_reported(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        Sampling(**fields).settings()
    with pytest.raises(ApiError, match="it needs stream=true"):
        _ = Sampling(stream_options={}).includes_usage  # type: ignore[arg-type]
