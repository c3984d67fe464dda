import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.lenses import load_jacobian_lens, save_jacobian_lens
from lmcraft.interpretability.lenses.file import MATRICES, RECORD, hash_weights
from tests.interpretability.lenses.lens import lens_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"weight": torch.randn(3)}, tmp_path / "model.safetensors")
    return tmp_path


def test_a_lens_is_kept_with_its_record(folder: Path) -> None:
    assert load_jacobian_lens(folder) is None
    lens = lens_of(torch.randn(2, 8, 8), hash_weights(folder))
    assert save_jacobian_lens(lens, folder) == folder / "lmcraft" / "jacobian_lens.safetensors"
    loaded = load_jacobian_lens(folder)
    assert loaded is not None
    assert loaded.record == lens.record
    assert loaded.matrices.dtype == torch.float16
    torch.testing.assert_close(loaded.matrices.float(), lens.matrices, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("size", [1e6, 1e-9])
def test_what_float16_cannot_hold_is_kept_in_float32(folder: Path, size: float) -> None:
    lens = lens_of(size * torch.randn(2, 8, 8), hash_weights(folder))
    save_jacobian_lens(lens, folder)
    loaded = load_jacobian_lens(folder)
    assert loaded is not None
    assert torch.equal(loaded.matrices, lens.matrices)


def test_a_lens_of_other_weights_is_refused(folder: Path) -> None:
    save_jacobian_lens(lens_of(torch.randn(2, 8, 8), hash_weights(folder)), folder)
    save_file({"weight": torch.randn(3)}, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"'.*' was fitted on other weights than the folder now has: fit it again with"):
        load_jacobian_lens(folder)


def test_a_damaged_lens_is_refused(folder: Path) -> None:
    path = save_jacobian_lens(lens_of(torch.randn(2, 8, 8), hash_weights(folder)), folder)
    whole = path.read_bytes()
    with safe_open(path, framework="pt") as file:
        metadata, matrices = file.metadata(), file.get_tensor(MATRICES)
    record = json.loads(metadata[RECORD])
    damaged = [b"", whole[:-1], whole[:9], b"\xff" * 50, whole.replace(b"jacobians", b"jacobianz")]
    for contents in damaged:
        path.write_bytes(contents)
        with pytest.raises(UserError, match=r"is damaged \(.*\): fit it again"):
            load_jacobian_lens(folder)
    for text in (
        "",
        "null",
        "[]",
        "{}",
        "{" * 10**5,
        json.dumps({**record, "more": 1}),
        json.dumps({**record, "errors": [[]]}),
    ):
        save_file({MATRICES: matrices}, path, {RECORD: text})
        with pytest.raises(UserError, match=r"is damaged \(.*\): fit it again"):
            load_jacobian_lens(folder)
    for other in (matrices[0], matrices[:1], matrices[:, :4], matrices.int(), matrices / 0):
        save_file({MATRICES: other.contiguous()}, path, {RECORD: metadata[RECORD]})
        with pytest.raises(UserError, match=r"is damaged \(its matrices are not those of a lens\): fit it again"):
            load_jacobian_lens(folder)


def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    lens = lens_of(torch.randn(2, 8, 8))
    (folder / "lmcraft").write_text("")
    with pytest.raises(UserError, match="lmcraft"):
        save_jacobian_lens(lens, folder)


def test_texts_of_any_kind_are_kept_in_the_record(folder: Path) -> None:
    lens = lens_of(torch.randn(1, 4, 4), hash_weights(folder))
    lens = replace(lens, record=replace(lens.record, texts="语料 \u202e\ud800"))
    save_jacobian_lens(lens, folder)
    loaded = load_jacobian_lens(folder)
    assert loaded is not None
    assert loaded.record.texts == lens.record.texts
    assert ModelFolder(folder).jacobian_lens.is_file()
