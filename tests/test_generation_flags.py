"""Command-line flags of the generation settings."""

from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from lmcraft.errors import UserError
from lmcraft.generation_flags import ConversationFlags, GenerationFlags
from lmcraft.inference.generation_settings import SETTINGS, GenerationSettings

LOADING_FLAGS = {"device", "precision", "weights", "draft", "steer_toward", "steer_away", "steer_strength", "steer_top_p"}


def test_there_is_a_flag_for_every_setting() -> None:
    flag_types, setting_types = get_type_hints(GenerationFlags), get_type_hints(GenerationSettings)
    for name, value_type in setting_types.items():
        if name != "logit_bias":  # whose keys are strings on a command line
            assert flag_types[name] == value_type | None, name
        assert getattr(GenerationFlags(), name) is None
    assert {f.name for f in fields(GenerationFlags)} == SETTINGS.keys() | LOADING_FLAGS


def test_a_conversation_has_no_beam_search() -> None:
    beams = {"num_beams", "length_penalty", "early_stopping", "num_return_sequences"}
    assert {f.name for f in fields(ConversationFlags)} == (SETTINGS.keys() | LOADING_FLAGS) - beams


def test_settings_given_on_the_command_line(tmp_path: Path) -> None:
    assert GenerationFlags().settings() == {}
    (tmp_path / "grammar.lark").write_text("start: 'a'")
    flags = GenerationFlags(
        stop=("\\n", "a\\tb"),
        dry_sequence_breakers=("\\n",),
        temperature=0.0,
        regex="@a",
        grammar=f"@{tmp_path / 'grammar.lark'}",
    )
    assert flags.settings() == {
        "temperature": 0.0,
        "stop": ("\n", "a\tb"),
        "dry_sequence_breakers": ("\n",),
        "regex": "@a",
        "grammar": "start: 'a'",
    }
    (tmp_path / "schema.json").write_bytes(b'\xef\xbb\xbf{"type": "null"}')
    assert GenerationFlags(json_schema=f"@{tmp_path / 'schema.json'}").settings() == {"json_schema": '{"type": "null"}'}
    (tmp_path / "empty").touch()
    with pytest.raises(UserError, match="json_schema is empty"):
        GenerationFlags(json_schema=f"@{tmp_path / 'empty'}").check_settings()
    (tmp_path / "wide").write_text("start: 'ü'", encoding="utf-16")
    assert GenerationFlags(grammar=f"@{tmp_path / 'wide'}").settings() == {"grammar": "start: 'ü'"}
    (tmp_path / "latin").write_text("start: 'ü'", encoding="latin-1")
    with pytest.raises(UserError, match=r"grammar='@.*latin' is not UTF-8: convert it first"):
        GenerationFlags(grammar=f"@{tmp_path / 'latin'}").settings()
    with pytest.raises(UserError, match="json_schema='@nowhere' cannot be read"):
        GenerationFlags(json_schema="@nowhere").settings()


def test_impossible_settings_are_reported() -> None:
    with pytest.raises(UserError, match=r"min_p=2\.0 must be at least 0 and at most 1"):
        GenerationFlags(min_p=2.0).check_settings()
