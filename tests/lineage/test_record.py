"""The lineage of a model folder."""

import json
from pathlib import Path

from lmcraft.folder import ModelFolder, sha256_of
from lmcraft.lineage.record import write_lineage


def test_lineage_records_hashes_and_leaves_out_unknown_values(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    write_lineage(folder, source="hf:a/b@c", license="mit")
    lineage = json.loads(folder.lineage.read_text())
    assert lineage["weights"] == {"model.safetensors": sha256_of(tmp_path / "model.safetensors")}
    assert lineage["source"] == "hf:a/b@c" and not {"parent", "data", "run"} & lineage.keys()
