"""`lineage.json`, version 1: hashes of the weights, of run.toml, of the data's manifest, and of the parent's lineage."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lmcraft.folder import ModelFolder
from lmcraft.folder.names import RUN, RUN_CONFIG
from lmcraft.lineage.document import Lineage, Origin, check_path, damaged_error


def lineage_of_version_1(value: Mapping[str, Any], folder: Path) -> Lineage:
    """The lineage in a parsed file of version 1; the addresses of data and parent are those in `run.toml`.

    Raises:
        UserError: it names a file outside the folder.
    """
    file = ModelFolder(folder).lineage
    weights = value.get("weights", {})
    if not isinstance(weights, Mapping):
        raise damaged_error(file, "its weights are not an object")
    files = {str(name): str(digest) for name, digest in weights.items()}
    for name in files:
        check_path(name, file)
    if run := _text(value, "run"):
        files[f"{RUN}/{RUN_CONFIG}"] = run
    settings = _settings(folder)
    mixture = value.get("mixture")
    return Lineage(
        version=1,
        kind="finetune" if "objective" in settings else "pretrain" if settings else "",
        lmcraft=_text(value, "lmcraft"),
        source=_text(value, "source"),
        license=_text(value, "license"),
        files=MappingProxyType(files),
        parents=_origins("base", _text(value, "parent"), settings.get("model") or _text(value, "source")),
        data=_origins("training data", _text(value, "data"), settings.get("data")),
        mixture=MappingProxyType(dict(mixture) if isinstance(mixture, Mapping) else {}),
        document=MappingProxyType(dict(value)),
    )


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name, "")
    return text if isinstance(text, str) else ""


def _origins(role: str, digest: str, address: Any) -> tuple[Origin, ...]:
    if isinstance(address, list):
        address = address[0] if address else ""
    return (Origin(role, address if isinstance(address, str) else "", sha256=digest),) if digest else ()


def _settings(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(ModelFolder(folder).config_toml.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
