"""Tokenizers from strangers: those that run away are refused, the others are tried once."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.tokenizer import Tokenizer, trial
from tests.finetuning.chat import chat_tokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMCRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder: Path, **parts: Any) -> Path:
    file = folder / "tokenizer.json"
    file.write_text(json.dumps({**chat_tokenizer().to_json(), **parts}))
    return file


def replacement(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


DOUBLE = replacement({"String": "a"}, "aa")
RUNAWAYS: dict[str, dict[str, Any]] = {
    "a regular expression that backtracks": {"pre_tokenizer": split("(x+x+)+y")},
    "a regular expression that backtracks on letters": {"pre_tokenizer": split("^(([a-z])+.)+[A-Z]([a-z])+$")},
    "a pattern of nothing": {"normalizer": replacement({"String": ""}, "abc")},
    "a normalizer that doubles": {"normalizer": {"type": "Sequence", "normalizers": [DOUBLE] * 6}},
    "a decoder that doubles": {"decoder": {"type": "Sequence", "decoders": [DOUBLE] * 6}},
    "a token around texts that does not exist": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    },
    "an unknown token that does not exist": {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "x"}},
    "a long replacement": {"normalizer": replacement({"String": "q"}, "x" * 3000)},
}


@pytest.mark.parametrize("name", RUNAWAYS)
def test_a_runaway_tokenizer_is_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path, **RUNAWAYS[name])
    with pytest.raises(UserError, match=r"is not safe to use: it .*; use another release of the model"):
        Tokenizer.load(tmp_path)


def test_a_tokenizer_that_takes_too_much_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MAX_SECONDS", 1)
    write(tmp_path, normalizer={"type": "Sequence", "normalizers": [DOUBLE] * 40})
    with pytest.raises(UserError, match=r"needs more than 1 seconds or 2\.0 GiB, or aborts"):
        Tokenizer.load(tmp_path)


def test_a_tokenizer_is_tried_once_and_ours_never(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    run = trial.subprocess.run
    monkeypatch.setattr(trial.subprocess, "run", lambda *args, **settings: tried.append(args) or run(*args, **settings))
    file = write(tmp_path)
    text = chat_tokenizer().encode("some text")
    for _ in range(2):
        assert Tokenizer.load(file).encode("some text") == text
    assert len(tried) == 1
    Tokenizer.load(file).save(tmp_path / "saved")
    Tokenizer.load(tmp_path / "saved")
    assert len(tried) == 1


def test_without_a_cache_folder_it_is_tried_again(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file")
    assert Tokenizer.load(write(tmp_path)).vocab_size == chat_tokenizer().vocab_size
