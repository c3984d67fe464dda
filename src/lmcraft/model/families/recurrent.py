"""Entries that families with recurrent layers share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lmcraft.model.config import TransformerConfig


@dataclass(frozen=True)
class LayerTypes:
    """The type of each layer."""

    default: Callable[[Mapping[str, Any], int], list[str]]
    """Layer types if the key is missing, from config.json and the number of layers; under their names or ours."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Mapping from their names to ours; of several for one of ours, the first is written. Names that it lacks stay."""
    key: str = "layer_types"
    """Key in config.json."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        types = hf_config.get(self.key) or self.default(hf_config, read_so_far["num_hidden_layers"])
        return {"layer_types": tuple(self.names.get(name, name) for name in types)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        theirs = {ours: name for name, ours in reversed(list(self.names.items()))}
        types = [config.layer_type(layer) for layer in range(config.num_hidden_layers)]
        hf_config[self.key] = [theirs.get(name, name) for name in types]
