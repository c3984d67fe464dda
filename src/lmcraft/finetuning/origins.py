"""What a fine-tuned model is made from, for its lineage: the model, its data, and what its objective uses."""

from collections.abc import Iterator
from pathlib import Path

from lmcraft.data.pipes import find_contents
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.lineage.document import Origin
from lmcraft.lineage.record import file_origin, input_origin
from lmcraft.model_source import ModelSource


def parent_origins(source: ModelSource, config: FinetuneConfig) -> list[Origin]:
    """The base model, and the teacher if there is one."""
    return [source.origin("base"), *config.build_objective().parent_origins()]


def data_origins(config: FinetuneConfig) -> list[Origin]:
    """The files and dataset folders that a run reads."""
    return [*_data_origins(config), *config.build_objective().data_origins()]


def _data_origins(config: FinetuneConfig) -> Iterator[Origin]:
    for name, role in (("data", "training data"), ("validation_data", "validation data")):
        for path in dict.fromkeys(getattr(config, name)):
            yield input_origin(role, path, find_contents(path, name))
    if Path(config.chat_template).is_file():
        yield file_origin("chat template", Path(config.chat_template))
