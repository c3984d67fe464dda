"""The thread that reads layers: Jacobian lenses of folders, rests, and the end of work that nobody waits for."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lmcraft.folder import ModelFolder
from lmcraft.inference.kv_cache import KVCache
from lmcraft.interpretability.lenses.file import hash_weights, save_jacobian_lens
from lmcraft.interpretability.lenses.jacobian import FitRecord, JacobianLens
from lmcraft.model.transformer import Transformer
from lmcraft.server.engine import lens_thread, token_lens
from lmcraft.server.engine.lens_thread import LensThread, Rests
from lmcraft.server.engine.registry import LoadOptions, Registry, ServedModel
from lmcraft.server.engine.token_lens import TokenLens, last_residuals
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics
from tests.finetuning.chat import chat_folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedModel]:
    registry = Registry(Limits(), Metrics(), LoadOptions())
    yield registry.open("tiny", chat_folder(tmp_path / "tiny"))
    registry.stop()


def new_lens(folder: Path, scale: float, weights_sha256: str = "") -> JacobianLens:
    record = FitRecord(1, 8, 32, True, 0, "a test", weights_sha256 or hash_weights(folder), [0.0])
    return JacobianLens(scale * torch.eye(32)[None], record)


def read(thread: LensThread, served: ServedModel) -> list[TokenLens]:
    return asyncio.run(thread.read("ada", served, [1, 2, 3], thread.rests("ada"), num_choices=3, target=5))


def test_a_jacobian_lens_is_read_as_soon_as_it_is_fitted_and_is_not_that_of_an_adapter(served: ServedModel) -> None:
    thread = LensThread(Limits(), lambda _: False)
    assert served.path is not None
    [logit] = read(thread, served)
    save_jacobian_lens(new_lens(served.path, -1.0), served.path)
    negated = read(thread, served)
    assert [lens.kind for lens in negated] == ["logit", "jacobian"] and negated[0] == logit
    assert negated[1].layers[0] != logit.layers[0] and negated[1].layers[-1] == logit.layers[-1]
    served.engine.models["tuned"] = served.engine.models[""]  # type: ignore[index]
    assert [lens.kind for lens in read(thread, replace(served, adapter="tuned"))] == ["logit"]


@pytest.mark.parametrize("problem", ["other weights", "other sizes", "damaged"])
def test_a_lens_that_does_not_fit_is_left_out_and_logged_once(
    served: ServedModel, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert served.path is not None
    lens = new_lens(served.path, 1.0, "0" * 64 if problem == "other weights" else "")
    if problem == "other sizes":
        lens = JacobianLens(torch.eye(16)[None], lens.record)
    file = save_jacobian_lens(lens, served.path)
    if problem == "damaged":
        file.write_bytes(b"{}")
    thread = LensThread(Limits(), lambda _: False)
    with caplog.at_level(logging.WARNING, "lmcraft.server"):
        assert [[lens.kind for lens in read(thread, served)] for _ in range(2)] == [["logit"]] * 2
    assert len([record for record in caplog.records if "has no Jacobian lens" in record.message]) == 1
    ModelFolder(served.path).jacobian_lens.unlink()
    assert [lens.kind for lens in read(thread, served)] == ["logit"]


def test_a_text_that_begins_as_the_last_one_is_not_computed_again_for_the_same_owner(
    served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (lens_thread, token_lens):
        monkeypatch.setattr(module, "TOKENS_PER_CHUNK", 4)
    lengths: list[int] = []

    def residuals(model: Transformer, ids: Sequence[int], cache: KVCache, rest: Rests) -> Tensor:
        lengths.append(cache.length)
        return last_residuals(model, ids, cache, rest)

    def read_by(thread: LensThread, owner: str, ids: list[int]) -> list[TokenLens]:
        return asyncio.run(thread.read(owner, served, ids, thread.rests(owner), num_choices=3, target=None))

    text = list(range(1, 12))
    texts = [text, text[:9], text[:8], [*text[:5], 50, *text[6:]], text[:3], text]
    expected = [read_by(LensThread(Limits(), lambda _: False), "ada", ids) for ids in texts]
    monkeypatch.setattr(lens_thread, "last_residuals", residuals)
    thread = LensThread(Limits(), lambda _: False)
    assert [read_by(thread, "ada", ids) for ids in texts] == expected
    assert lengths == [0, 8, 4, 4, 0, 0]
    assert read_by(thread, "bob", text) == expected[0] and lengths[-1] == 0


def test_a_computation_rests_while_others_are_served_and_ends_when_nobody_waits() -> None:
    calls: list[bool] = []

    def serves_others() -> bool:
        calls.append(True)
        return True

    rests = Rests(serves_others)
    assert not rests.has_begun
    rests()
    assert rests.has_begun and not calls
    rests()
    assert calls == [True]
    rests.cancel()
    with pytest.raises(CancelledError):
        rests()
