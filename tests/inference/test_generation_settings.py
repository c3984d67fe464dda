"""The table of generation settings, and the interfaces that follow it."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig, generation_config_json, read_generation_config
from lmcraft.inference.generation_settings import SETTINGS, GenerationSettings, markdown_table, panel_settings, to_request
from lmcraft.inference.setting import Setting

DOCS = Path(__file__).parents[2] / "docs"


def other_value(setting: Setting) -> Any:
    """A valid value that is not the default."""
    if isinstance(setting.default, bool):
        return not setting.default
    if isinstance(setting.default, dict):
        return {3: -2.5}
    if isinstance(setting.default, tuple):
        return ("stop", "\n\n") if str in get_args(setting.type) else (3, 0)
    if isinstance(setting.default, str):
        return "text"
    if isinstance(setting.default, float):
        return 0.75 if setting.allows(0.75) else 1.5
    return 5


def values() -> dict[str, Any]:
    """Another value for every setting, except those of beam search, which excludes sampling."""
    return {name: other_value(setting) for name, setting in SETTINGS.items() if setting.group != "beams"}


def test_every_setting_has_a_help_text_and_a_sound_default() -> None:
    assert list(SETTINGS) == [f.name for f in fields(GenerationSettings)]
    assert [*SETTINGS, "has_own_sampling", "unsupported"] == [f.name for f in fields(GenerationConfig)]
    for setting in SETTINGS.values():
        assert setting.help.endswith("."), setting.name
        assert setting.default is None or not setting.bounds or setting.allows(setting.default), setting.name
    GenerationConfig().check()


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS.values() if setting.bounds], ids=lambda s: s.name)
def test_every_bound_is_checked(setting: Setting) -> None:
    outside = [bound - 1 for bound in (setting.minimum, setting.above) if bound is not None]
    outside += [setting.maximum + 1] if setting.maximum is not None else []
    for value in outside:
        with pytest.raises(UserError, match=f"{setting.name}=.* must be {setting.bounds.replace('*', '.')}"):
            GenerationConfig().updated({setting.name: float(value) if isinstance(setting.default, float) else int(value)})


def test_generation_config_json_keeps_every_setting(tmp_path: Path) -> None:
    config = GenerationConfig(**values())
    (tmp_path / "generation_config.json").write_text(json.dumps(generation_config_json(config, {})))
    loaded, _ = read_generation_config(tmp_path)
    differing = {name for name in SETTINGS if getattr(loaded, name) != getattr(config, name)}
    assert differing == {"seed"}


def test_requests_carry_every_setting_of_a_conversation() -> None:
    """The server understands every setting that the chat client sends."""
    pytest.importorskip("fastapi")
    from lmcraft.server.http.protocol.chat import ChatRequest

    structures = ("json_schema", "regex", "grammar")
    for structure in structures:
        settings = {name: value for name, value in values().items() if name not in structures or name == structure}
        settings = {name: value for name, value in settings.items() if SETTINGS[name].request_field}
        body = {"messages": [{"role": "user", "content": "Hi"}], **to_request(settings)}
        request = ChatRequest.model_validate_json(json.dumps(body))
        received = request.settings() | {"max_new_tokens": request.max_new_tokens}
        expected = GenerationConfig().updated(settings)
        assert GenerationConfig().updated(received) == expected


def test_requests_leave_out_absent_limits_and_structures() -> None:
    assert to_request({"max_new_tokens": 0, "max_length": 9, "regex": "", "do_sample": True}) == {}
    assert to_request({"max_new_tokens": 7, "regex": "a"}) == {"max_tokens": 7, "structured_outputs": {"regex": "a"}}


def test_the_page_has_texts_in_both_languages() -> None:
    for setting in panel_settings():
        assert all(setting[part][language] for part in ("label", "help") for language in ("en", "zh")), setting["name"]
        assert setting["kind"] == "texts" or setting["minimum"] is not None, setting["name"]
    names = {setting["name"] for setting in panel_settings()}
    for_vllm = {setting["name"] for setting in panel_settings(vllm=True)}
    assert names - for_vllm == {name for name in names if name.startswith("dry_")} | {"top_n_sigma"}


def test_the_documentation_has_the_current_table() -> None:
    page = (DOCS / "generation.md").read_text(encoding="utf-8")
    assert markdown_table() in page, "run scripts/docs-tables"
