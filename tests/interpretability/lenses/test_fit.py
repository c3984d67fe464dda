import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft import LanguageModel
from lmcraft.errors import InterruptedRunError, RunError, UserError
from lmcraft.interpretability.lenses import FitSettings, Prompts, fit_jacobian_lens
from lmcraft.interpretability.lenses.estimator import jacobian_rows
from lmcraft.interpretability.lenses.fit import _Fit
from lmcraft.model.transformer import copy_sharing_weights
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT, tiny_model

SETTINGS = FitSettings(prompts=16, prompt_tokens=16, directions=8)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel(tiny_model(vocab_size=300), train_bpe([TEXT], vocab_size=300))


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    generator = torch.Generator().manual_seed(1)
    return Prompts([torch.randint(300, (16,), generator=generator).tolist() for _ in range(16)], "random tokens")


def test_an_exact_fit_is_the_mean_of_all_prompts(model: LanguageModel, prompts: Prompts) -> None:
    lens = fit_jacobian_lens(model, prompts, FitSettings(prompt_tokens=16, directions=32))
    assert lens.record.is_exact
    network = copy_sharing_weights(model.transformer)
    rows = jacobian_rows(network, prompts.ids, torch.eye(32).repeat(16, 1, 1), 4)
    torch.testing.assert_close(lens.matrices, rows.mean(1), atol=1e-5, rtol=1e-4)


def test_sketches_converge_and_know_their_error(model: LanguageModel, prompts: Prompts) -> None:
    exact = fit_jacobian_lens(model, prompts, FitSettings(prompt_tokens=16, directions=32)).matrices
    errors = {}
    for directions in (2, 8):  # one sweep for each half, and two
        lenses = [fit_jacobian_lens(model, prompts, FitSettings(16, 16, directions, seed)) for seed in range(12)]
        differences = torch.stack([lens.matrices - exact for lens in lenses])
        errors[directions] = differences.flatten(2).norm(dim=2).square().mean().sqrt()
        mean = differences.mean(0).flatten(1).norm(dim=1)
        assert (mean < 2.5 * errors[directions] / 12**0.5).all(), "it is biased"
    assert errors[8] < 0.8 * errors[2]


def test_the_error_is_that_of_other_prompts_and_directions() -> None:
    """The standard error from two halves is near the spread of independent fits."""
    model = LanguageModel(tiny_model(vocab_size=300), train_bpe([TEXT], vocab_size=300))
    generator = torch.Generator().manual_seed(2)
    matrices, errors = [], []
    for seed in range(8):
        ids = [torch.randint(300, (16,), generator=generator).tolist() for _ in range(16)]
        lens = fit_jacobian_lens(model, Prompts(ids, ""), FitSettings(16, 16, 8, seed))
        matrices.append(lens.matrices)
        errors.append(lens.record.errors[0])
    stacked = torch.stack(matrices)[:, 0]
    spread = (stacked - stacked.mean(0)).flatten(1).square().sum().div(7).sqrt() / stacked.mean(0).norm()
    assert 0.5 < sum(errors) / 8 / spread < 2


def test_a_stopped_fit_goes_on_and_ends_with_the_same_numbers(
    model: LanguageModel, prompts: Prompts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit_jacobian_lens(model, prompts, SETTINGS)
    state, calls, add = tmp_path / "state.safetensors", [], _Fit.add

    def add_and_stop(fit: _Fit, batch: Any) -> None:
        add(fit, batch)
        calls.append(batch)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(_Fit, "add", add_and_stop)
    with pytest.raises(InterruptedRunError, match="stopped after 64 of 128 directions: they are kept"):
        fit_jacobian_lens(model, prompts, SETTINGS, state=state)
    reports: list[tuple[int, int]] = []
    lens = fit_jacobian_lens(model, prompts, SETTINGS, state=state, report=lambda *done: reports.append(done))
    assert reports == [(64, 128), (96, 128), (128, 128)]
    assert torch.equal(lens.matrices, whole.matrices)
    assert lens.record == whole.record
    assert not state.exists()


@pytest.mark.parametrize("contents", [b"", b"\0" * 100, b"{}"])
def test_a_damaged_or_another_state_is_not_used(
    model: LanguageModel, prompts: Prompts, tmp_path: Path, contents: bytes
) -> None:
    state = tmp_path / "state.safetensors"
    state.write_bytes(contents)
    fit = _Fit(model.transformer, prompts.ids, SETTINGS)
    assert fit.load(state, fit.key("")) == 0
    fit.save(state, fit.key("other weights"), 2)
    assert fit.load(state, fit.key("")) == 0
    assert fit.load(state, fit.key("other weights")) == 2


def test_what_cannot_be_fitted_is_refused(model: LanguageModel, prompts: Prompts) -> None:
    with pytest.raises(UserError, match="only 1 of at least 2 prompts with more than 5 tokens: give longer texts"):
        fit_jacobian_lens(model, Prompts(prompts.ids[:1], ""), SETTINGS)
    with pytest.raises(UserError, match="directions=0 is too small: set at least 1"):
        fit_jacobian_lens(model, prompts, FitSettings(directions=0))
    shallow = LanguageModel(tiny_model(vocab_size=300, num_hidden_layers=1), model.tokenizer)
    with pytest.raises(UserError, match="a model with one layer has no Jacobian lens"):
        fit_jacobian_lens(shallow, prompts, SETTINGS)
    damaged = LanguageModel(tiny_model(vocab_size=300), model.tokenizer)
    with torch.no_grad():
        damaged.transformer.layers[1].feed_forward.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(RunError, match="not numbers"):
        fit_jacobian_lens(damaged, prompts, SETTINGS)


def test_the_model_is_left_as_it_was(model: LanguageModel, prompts: Prompts) -> None:
    grads = [parameter.requires_grad for parameter in model.transformer.parameters()]
    fit_jacobian_lens(model, prompts, SETTINGS)
    assert [parameter.requires_grad for parameter in model.transformer.parameters()] == grads
    assert all(parameter.grad is None for parameter in model.transformer.parameters())
