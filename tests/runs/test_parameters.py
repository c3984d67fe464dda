from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lmcraft.folder import ModelFolder
from lmcraft.runs.parameters import count_parameters


def test_the_parameters_are_those_of_the_model_or_of_a_checkpoint(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    assert count_parameters(folder) is None
    (folder.checkpoints / "step-000003").mkdir(parents=True)
    save_file({"a": np.zeros((3, 4)), "b": np.zeros(5)}, folder.checkpoints / "step-000003" / "model.safetensors")
    assert count_parameters(folder) == 17
    save_file({"a": np.zeros((3, 4))}, tmp_path / "model.safetensors")
    assert count_parameters(folder) == 12


@pytest.mark.parametrize("header", [b"", b"{", b"[]", b'{"a": {}}', b'{"a": {"shape": "x"}}', b'{"a": {"shape": ["x"]}}'])
def test_a_damaged_file_says_nothing(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert count_parameters(ModelFolder(tmp_path)) is None
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    assert count_parameters(ModelFolder(tmp_path)) is None
