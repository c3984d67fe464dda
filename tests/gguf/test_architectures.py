"""The table of architectures."""

import pytest

from lmcraft.errors import UserError
from lmcraft.gguf.architectures import ARCHITECTURES, architecture_for
from lmcraft.model.families import FAMILIES


def test_every_architecture_is_a_family_and_is_chosen_by_its_model_types() -> None:
    for architecture in ARCHITECTURES:
        for model_type in architecture.model_types:
            assert model_type in FAMILIES
            assert architecture_for({"model_type": model_type, "num_local_experts": 4}).name == architecture.name
        assert architecture.hf("block_count") == architecture.layers


def test_other_model_types_cannot_be_exported() -> None:
    with pytest.raises(UserError, match="model_type='opt' cannot be exported to GGUF; supported: llama, mistral"):
        architecture_for({"model_type": "opt"})
