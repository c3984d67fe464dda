"""Settings: how metadata is translated, and which settings are rejected."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lmcraft.errors import UserError
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.hf_config import read_config
from lmcraft.gguf.metadata import Metadata

pytest.importorskip("gguf")


def with_keys(file: GGUFFile, changes: dict[str, Any]) -> GGUFFile:
    values = {**file.metadata, **changes}
    file.metadata = Metadata(file.path, {key: value for key, value in values.items() if value is not None})
    return file


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama", {"general.architecture": "mamba"}, "architecture 'mamba', which is not supported"),
        ("llama", {"general.architecture": None}, "architecture None"),
        ("llama", {"general.type": "adapter"}, "is of type 'adapter', not a model"),
        ("llama", {"split.count": 3}, "one of 3 parts"),
        ("llama", {"llama.expert_count": 8, "llama.expert_used_count": 2}, "has no experts, but the metadata 8 of them"),
        ("llama", {"llama.embedding_length": None}, r"no key 'llama\.embedding_length'"),
        ("llama", {"llama.embedding_length": 65}, "has shape"),
        ("llama", {"llama.attention.head_count": np.array([4, 4])}, "ndarray of 2 is not a whole number"),
        ("llama", {"llama.attention.head_count": 0}, "0 is not between 1"),
        ("llama", {"llama.attention.head_count": 6}, "2 does not divide|has shape|cannot be rotated"),
        ("llama", {"llama.attention.head_count_kv": 3}, "3 does not divide 4"),
        ("llama", {"llama.attention.value_length": 99}, "16 for keys and 99 for values"),
        ("llama", {"llama.feed_forward_length": 2**31 - 1}, r"\(64, 96\), but the metadata implies \(64, 2147483647\)"),
        ("llama", {"llama.context_length": 2**31 - 1}, "is more than 67108864"),
        ("llama", {"llama.block_count": 1}, "1, but the file has 2 layers"),
        ("llama", {"llama.attention.layer_norm_rms_epsilon": -1.0}, "not greater than 0"),
        ("llama", {"llama.rope.freq_base": 0.0}, "not greater than 0"),
        ("llama", {"llama.rope.dimension_count": 18}, "18 of the 16 dimensions"),
        ("llama", {"llama.rope.scaling.type": "longrope"}, "'longrope' is not a scaling type, or its factors are missing"),
        (
            "llama",
            {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.yarn_log_multiplier": 0.1},
            "the value 0.1 is not supported for YaRN",
        ),
        (
            "gemma3",
            {"gemma3.rope.scaling.type": "yarn", "gemma3.rope.scaling.factor": 2.0},
            "not supported for gemma3",
        ),
        ("gemma3", {"gemma3.attention.sliding_window_pattern": np.array([True])}, "1 entries for 7 layers"),
        ("phi3-longrope", {"phi3.rope.dimension_count": 14}, "one positive factor for each of 7"),
        ("qwen3_moe", {"qwen3moe.expert_used_count": 5}, "5 of 4"),
        ("qwen3_moe", {"qwen3moe.expert_count": 2}, "has shape"),
        ("gpt2", {"gpt2.attention.head_count": 3}, "3 heads of 21"),
    ],
)
def test_invalid_metadata_is_an_error(
    files: Callable[[str], GGUFFile], name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        read_config(with_keys(files(name), changes))
    assert "model.gguf" in str(error.value)


def test_defaults_of_keys_missing_in_older_files(files: Callable[[str], GGUFFile]) -> None:
    file = with_keys(files("llama"), dict.fromkeys(("llama.rope.freq_base", "llama.rope.dimension_count")))
    assert read_config(file)["rope_theta"] == 10000.0
    linear = read_config(with_keys(files("llama"), {"llama.rope.scale_linear": 2.0}))
    assert linear["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}
    missing = with_keys(files("gemma3"), {"gemma3.rope.freq_base_swa": None})
    assert read_config(missing)["rope_local_base_freq"] == 10000.0
    every = read_config(with_keys(files("gemma3"), {"gemma3.attention.sliding_window_pattern": 2}))
    assert every["layer_types"] == ["sliding_attention", "full_attention"] * 3 + ["sliding_attention"]
    none = read_config(with_keys(files("gemma3"), {"gemma3.attention.sliding_window": None}))
    assert (none["sliding_window"], set(none["layer_types"])) == (None, {"full_attention"})


def test_gemma_27b_scales_queries_differently() -> None:
    from lmcraft.gguf.architectures.gemma import GEMMA3_27B_LAYERS, QueryScalar

    config = {"hidden_size": 5376, "num_attention_heads": 32, "head_dim": 128}
    scalar = QueryScalar(GEMMA3_27B_LAYERS)
    assert scalar.of(config | {"num_hidden_layers": 62}) == 168
    assert scalar.of(config | {"num_hidden_layers": 48}) == 128
