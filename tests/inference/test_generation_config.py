import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig, generation_config_json, read_generation_config
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import language_model


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": -0.1}, r"temperature=-0\.1"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"temperature": "hot"}, "temperature='hot' is not a number"),
        ({"top_p": 0}, r"top_p=0\.0"),
        ({"top_p": 1.01}, r"top_p=1\.01"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_k": 2.5}, r"top_k=2\.5 is not a whole number"),
        ({"min_p": 2}, r"min_p=2\.0"),
        ({"repetition_penalty": 0}, r"repetition_penalty=0\.0"),
        ({"max_new_tokens": True}, "max_new_tokens=True is not a whole number"),
        ({"do_sample": 1}, "do_sample=1 is not true or false"),
        ({"seed": -1}, "seed=-1"),
        ({"stop": ["a", ""]}, "stop=''"),
        ({"stop": 3}, "stop=3"),
        ({"logit_bias": {"a": 1}}, "logit_bias="),
        ({"logit_bias": {3: float("nan")}}, "logit_bias={3: nan} is not finite"),
        ({"logit_bias": {3: -float("inf")}}, "-100 rules a token out"),
        ({"presence_penalty": float("nan")}, "presence_penalty=nan is not a finite number"),
        ({"temperature": float("inf")}, "temperature=inf is not a finite number"),
        ({"regex": ""}, "regex is empty"),
        ({"grammar": ""}, "grammar is empty"),
        ({"json_schema": ""}, "json_schema is empty"),
        ({"suppress_tokens": 3}, "suppress_tokens=3 is not a list of token ids"),
        ({"suppress_tokens": ["a"]}, "is not a list of token ids"),
        ({"begin_suppress_tokens": [True]}, "is not a list of token ids"),
        ({"min_new_tokens": -1}, "min_new_tokens=-1"),
        ({"num_beams": 2, "do_sample": True}, "num_beams=2 and do_sample=true exclude each other"),
        ({"num_beams": 2, "num_return_sequences": 3}, "raise num_beams"),
        ({"temprature": 1}, "nearest is 'temperature'"),
    ],
)
def test_an_invalid_setting_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        GenerationConfig().updated(settings)


def test_values_take_their_type() -> None:
    config = GenerationConfig().updated({"temperature": 1, "stop": "a", "logit_bias": {"3": -5}, "early_stopping": "never"})
    assert (config.temperature, config.stop, config.logit_bias) == (1.0, ("a",), {3: -5.0})
    assert isinstance(config.temperature, float) and config.early_stopping == "never"


def test_a_length_limit_given_alone_replaces_the_other() -> None:
    def limits(**settings: int) -> tuple[int, int]:
        config = GenerationConfig(max_length=50).updated(settings)
        return config.max_new_tokens, config.max_length

    assert limits() == (128, 50)
    assert limits(max_length=500) == (0, 500)
    assert limits(max_new_tokens=7) == (7, 0)
    assert limits(max_new_tokens=7, max_length=9) == (7, 9)


def test_a_setting_turns_sampling_on_or_off() -> None:
    greedy = GenerationConfig(do_sample=False)
    assert GenerationConfig().updated({"num_beams": 2}).greedy
    assert not greedy.updated({"temperature": 0.5}).greedy
    assert greedy.updated({"temperature": 0.5, "do_sample": False}).greedy
    assert greedy.updated({"seed": 1}).greedy
    assert GenerationConfig(do_sample=False, num_beams=2).updated({"temperature": 0}).greedy


def test_importing_a_command_does_not_import_torch() -> None:
    modules = "lmcraft.generation_flags, lmcraft.commands.generate, lmcraft.commands.chat"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("stored", "has_own"),
    [
        ({}, False),
        ({"do_sample": True}, False),
        ({"do_sample": True, "top_k": 0, "eos_token_id": 2}, False),  # as `LanguageModel.save` writes it
        ({"max_new_tokens": 9, "repetition_penalty": 1.1}, False),
        ({"do_sample": True, "temperature": 1.0}, True),
        ({"top_p": 0.9}, True),
        ({"do_sample": False}, True),  # greedy decoding
        ({"top_n_sigma": 1.0}, True),
    ],
)
def test_chats_have_defaults_where_a_model_brings_no_sampling(stored: dict[str, Any], has_own: bool, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(stored))
    for _ in range(2):
        config, _ = read_generation_config(tmp_path)
        assert config.chat_defaults == ({} if has_own else {"temperature": 0.8, "top_p": 0.95, "min_p": 0.05})
        assert bool(config.describe_chat_defaults()) == (not has_own)
        (tmp_path / "generation_config.json").write_text(json.dumps(generation_config_json(config, {})))


@pytest.mark.parametrize(
    ("stored", "unsupported"),
    [
        ({"typical_p": 0.2, "forced_eos_token_id": 7, "sequence_bias": [[[9], -1.0]]},
         "forced_eos_token_id, sequence_bias, typical_p"),
        ({"bad_words_ids": [[9], [3, 4]]}, "bad_words_ids"),
        ({"forced_bos_token_id": 0}, "forced_bos_token_id"),
        ({"typical_p": 1.0, "epsilon_cutoff": 0.0, "guidance_scale": 1, "sequence_bias": None, "num_beam_groups": 1}, ""),
        ({"bad_words_ids": [[9], [2]], "chat_format": "chatml", "use_cache": False, "assistant_lookbehind": 3}, ""),
    ],
)  # fmt: skip
def test_settings_that_are_not_applied_are_named_and_kept(stored: dict[str, Any], unsupported: str, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(stored | {"eos_token_id": 2}))
    config, _ = read_generation_config(tmp_path)
    sentence = f"sets {unsupported}, which lmcraft does not apply" if unsupported else ""
    assert sentence in config.describe_unsupported() and bool(config.describe_unsupported()) == bool(unsupported)
    kept = generation_config_json(config, {})
    assert {name: kept[name] for name in unsupported.split(", ") if name} == config.unsupported


def test_opening_a_model_names_the_settings_that_are_not_applied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    language_model().save(tmp_path)
    LanguageModel.load(tmp_path)
    assert not caplog.messages
    (tmp_path / "generation_config.json").write_text(json.dumps({"typical_p": 0.2}))
    LanguageModel.load(tmp_path)
    assert "generation_config.json sets typical_p, which lmcraft does not apply" in caplog.messages[0]
    assert len(caplog.messages) == 1


def test_bad_words_of_one_token_are_suppressed(tmp_path: Path) -> None:
    """The end token stays, as in transformers."""
    stored = {"bad_words_ids": [[9], [2], [4]], "suppress_tokens": [4, 5], "eos_token_id": 2}
    (tmp_path / "generation_config.json").write_text(json.dumps(stored))
    assert read_generation_config(tmp_path)[0].suppress_tokens == (4, 5, 9)
    (tmp_path / "generation_config.json").write_text(json.dumps({"bad_words_ids": [[9], [3, 4], 5, "x", [True]]}))
    assert read_generation_config(tmp_path)[0].suppress_tokens == (9,)
