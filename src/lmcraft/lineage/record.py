"""What a model was made from: `lineage.json`."""

from collections.abc import Mapping
from importlib.metadata import version

from lmcraft.folder import DatasetFolder, ModelFolder, sha256_of, write_json


def write_lineage(
    folder: ModelFolder,
    *,
    parent: str = "",
    data: DatasetFolder | None = None,
    mixture: Mapping[str, Mapping[str, float]] | None = None,
    source: str = "",
    license: str = "",
) -> None:
    """Write `lineage.json`: what the model was made from, as hashes where possible.

    Args:
        folder: the model folder; its weights are already written, and its run.toml if a run produced it.
        parent: hash of the lineage or the weights of the parent model.
        data: the training data.
        mixture: the share of the run and the number of epochs of each source of the data.
        source: the address that the model was downloaded from.
        license: license of the weights.
    """
    lineage = {
        "lmcraft": version("lmcraft"),
        "source": source,
        "license": license,
        "parent": parent,
        "data": sha256_of(data.manifest_file) if data else "",
        "mixture": mixture,
        "run": sha256_of(folder.config_toml) if folder.config_toml.is_file() else "",
        "weights": {file.name: sha256_of(file) for file in sorted(folder.path.glob("*.safetensors"))},
    }
    write_json(folder.lineage, {name: value for name, value in lineage.items() if value})
