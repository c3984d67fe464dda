from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft import LanguageModel, PretrainConfig, pretrain
from lmcraft.errors import UserError
from lmcraft.folder.lock import lock_folder
from lmcraft.interpretability.lenses import FitSettings, fit_folder, load_jacobian_lens
from lmcraft.interpretability.lenses.folder import LOCK, PROMPTS, STATE
from lmcraft.interpretability.lenses.prompts import cut_prompts, load_prompts, save_prompts
from lmcraft.model.config import TransformerConfig
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT, tiny_dataset, tiny_model

SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2)
RUN: dict[str, Any] = {
    "depth": 2,
    "model": SIZES,
    "sequence_length": 32,
    "batch_size": 8,
    "precision": "fp32",
    "max_steps": 2,
}
SETTINGS = FitSettings(prompts=6, prompt_tokens=16, directions=6)


@pytest.fixture
def model() -> LanguageModel:
    return LanguageModel(tiny_model(vocab_size=300), train_bpe([TEXT], vocab_size=300))


def test_the_lens_of_a_folder_is_fitted_on_what_the_model_writes(model: LanguageModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    lens = fit_folder(model, tmp_path / "model", settings=SETTINGS)
    loaded = load_jacobian_lens(tmp_path / "model")
    assert loaded is not None
    assert loaded.record == lens.record
    assert (lens.record.texts, lens.record.prompts) == ("texts that the model wrote", 6)
    assert [file.name for file in (tmp_path / "model" / "lmcraft").iterdir()] == ["jacobian_lens.safetensors"]
    assert torch.equal(fit_folder(model, tmp_path / "model", settings=SETTINGS).matrices, lens.matrices)


def test_texts_are_cut_into_prompts(model: LanguageModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    (tmp_path / "text.txt").write_bytes(TEXT.encode() + b"\0\xff\xfe")
    lens = fit_folder(model, tmp_path / "model", files=[str(tmp_path / "text.txt")], settings=SETTINGS)
    assert lens.record.texts == str(tmp_path / "text.txt")
    assert lens.record.tokens == 6 * 16
    prompts = cut_prompts(model, [TEXT, "short", ""], SETTINGS)
    assert all(model.tokenizer.decode(ids) in TEXT for ids in prompts.ids)
    assert prompts == cut_prompts(model, [TEXT, "short", ""], SETTINGS)


@pytest.mark.parametrize("contents", [b"", b"short"])
def test_texts_that_are_too_short_are_refused(model: LanguageModel, tmp_path: Path, contents: bytes) -> None:
    model.save(tmp_path / "model")
    (tmp_path / "text.txt").write_bytes(contents)
    with pytest.raises(UserError):
        fit_folder(model, tmp_path / "model", files=[str(tmp_path / "text.txt")], settings=SETTINGS)
    assert load_jacobian_lens(tmp_path / "model") is None


def test_a_run_has_its_validation_data(tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path)
    folder = pretrain(PretrainConfig(data, out=tmp_path / "run", **RUN))
    model = LanguageModel.load(folder)
    lens = fit_folder(model, folder, settings=SETTINGS)
    assert lens.record.texts == f"validation data of '{data}'"
    (data / "manifest.json").write_text("{}")
    assert fit_folder(model, folder, settings=SETTINGS).record.texts == "texts that the model wrote"


def test_one_process_fits_at_a_time(model: LanguageModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    (tmp_path / "model" / "lmcraft").mkdir()
    with (
        lock_folder(tmp_path / "model" / "lmcraft", wait=False, name=LOCK),
        pytest.raises(UserError, match="is in use by process"),
    ):
        fit_folder(model, tmp_path / "model", settings=SETTINGS)


def test_prompts_that_were_written_are_kept_for_the_same_fit(model: LanguageModel, tmp_path: Path) -> None:
    prompts, path = cut_prompts(model, [TEXT], SETTINGS), tmp_path / PROMPTS
    assert load_prompts(path, "a", SETTINGS) is None
    save_prompts(prompts, path, "a", SETTINGS)
    assert load_prompts(path, "a", SETTINGS) == prompts
    assert load_prompts(path, "b", SETTINGS) is None
    assert load_prompts(path, "a", FitSettings()) is None
    for contents in ("", "[]", '{"weights": "a"}'):
        path.write_text(contents)
        assert load_prompts(path, "a", SETTINGS) is None


def test_files_that_are_no_folders_are_refused(model: LanguageModel, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("")
    with pytest.raises(UserError, match="is not a folder, and a Jacobian lens is kept in its model's folder"):
        fit_folder(model, tmp_path / "model.gguf", settings=SETTINGS)
    assert STATE.endswith(".safetensors")
