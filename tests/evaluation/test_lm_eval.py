"""The bridge to the evaluation harness: what its requests are answered with, if it is installed."""

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.lm_eval import register
from lmcraft.language_model import LanguageModel


def request(*arguments: Any) -> SimpleNamespace:
    return SimpleNamespace(args=arguments)


def test_the_harness_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.sys.modules, "lm_eval", None)  # type: ignore[attr-defined]
    monkeypatch.setitem(importlib.sys.modules, "lm_eval.api.model", None)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="this bridge needs the package 'lm_eval': pip install"):
        register()


def test_requests_are_answered_as_by_the_model(language_model: LanguageModel, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    register()
    registry = importlib.import_module("lm_eval.api.registry")
    language_model.save(tmp_path)
    model = registry.get_model("lmcraft")(pretrained=str(tmp_path), dtype="float32")
    [(total, _), (empty, _)] = model.loglikelihood([request("the quick", " brown"), request("", "the")])
    ids = model.tok_encode("the quick brown")
    logprobs = language_model.compute_logits(ids).log_softmax(-1)
    assert total == pytest.approx(sum(float(logprobs[n - 1, ids[n]]) for n in range(len("the quick"), len(ids))), abs=1e-4)
    assert empty < 0
    [rolling] = model.loglikelihood_rolling([request("the quick brown fox " * 30)])
    assert rolling < 0
    [text] = model.generate_until([request("the quick", {"until": ["\n"], "max_gen_toks": 5})])
    assert text == language_model.complete("the quick", do_sample=False, max_new_tokens=5, stop=("\n",))
