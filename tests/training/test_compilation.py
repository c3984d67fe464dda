"""When blocks are compiled, and that compiled blocks give the same results."""

from typing import Literal

import pytest
import torch

from lmcraft.training import compilation
from lmcraft.training.compilation import choose_compile, compile_blocks
from tests.tiny import tiny_model

CPU = torch.device("cpu")


def test_only_long_runs_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "missing_compiler", lambda device: "")
    compiles, why = choose_compile("auto", 60, CPU)
    assert not compiles and "takes about 60.0 s, and compiling pays off from 20 minutes" in why
    compiles, why = choose_compile("auto", 3600, CPU)
    assert compiles and "takes about 60.0 min" in why
    assert "the time of this run is over, and compiling pays off" in choose_compile("auto", -8.2, CPU)[1]
    assert choose_compile("on", 60, CPU) == (True, "")
    assert choose_compile("off", 3600, CPU) == (False, "")


@pytest.mark.parametrize("requested", ["auto", "on"])
def test_without_a_compiler_nothing_is_compiled_and_the_reason_is_given(
    requested: Literal["auto", "on"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "missing_compiler", lambda device: "there is no C++ compiler")
    assert choose_compile(requested, 3600, CPU) == (False, "blocks are not compiled: there is no C++ compiler")


def test_blocks_are_compiled_only_when_gradients_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def fake_compile(function: object, *, dynamic: bool) -> object:
        def compiled(*arguments: object) -> object:
            calls.append("compiled")
            return function(*arguments)  # type: ignore[operator]

        return compiled

    monkeypatch.setattr(torch, "compile", fake_compile)
    model, ids = tiny_model(), torch.randint(0, 96, (2, 8))
    expected = model(ids)
    compile_blocks(model)
    with torch.no_grad():
        assert torch.equal(model(ids), expected) and not calls
    assert torch.equal(model(ids), expected) and calls == ["compiled"] * len(model.layers)
