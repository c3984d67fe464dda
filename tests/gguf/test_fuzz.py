"""Fuzzing: reading any damaged file succeeds or fails with a UserError, quickly and in little memory."""

import os
import struct
import tracemalloc
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmcraft.errors import UserError
from lmcraft.gguf import read_gguf, write_gguf
from lmcraft.gguf.container import GGUFFile
from lmcraft.model.families import FAMILIES
from lmcraft.model.storage import build_model
from lmcraft.tokenizer import Tokenizer
from tests.gguf.test_vocabulary import sentencepiece
from tests.inference.helpers import tokenizer
from tests.tiny import tiny_model

pytest.importorskip("gguf")

EXAMPLES = int(os.environ.get("LMCRAFT_FUZZ_EXAMPLES", "150"))
SEEDS = ("llama", "gemma", "moe", "gpt2")
MAX_MEMORY_BYTES = 40_000_000  # the files have about 50,000
NUMBERS = (0, 1, 2**7, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


@cache
def seed_file(name: str) -> bytes:
    """A valid file."""
    plain = {"num_hidden_layers": 1, "qk_norm": False, "vocab_size": 300}
    gemma = {"norm": "gemma_rmsnorm", "norm_placement": "both", "feed_forward": "geglu_tanh", "scale_embeddings": True}
    experts = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    gpt2 = {"norm": "layernorm", "position": "learned", "feed_forward": "gelu_tanh", "attention_bias": "all"}
    chosen: tuple[str, dict[str, object], Tokenizer] = {
        "llama": ("llama", {**plain, "attention_bias": "all"}, tokenizer()),
        "gemma": (
            "gemma3_text",
            {**plain, **gemma, "qk_norm": True, "rope_local_theta": 1e4, "query_pre_attn_scalar": 8},
            sentencepiece(False),
        ),
        "moe": ("qwen3_moe", {**plain, **experts, "qk_norm": True}, tokenizer()),
        "gpt2": ("gpt2", {**plain, **gpt2, "mlp_bias": True, "num_key_value_heads": 4}, tokenizer()),
    }[name]
    model_type, changes, its_tokenizer = chosen
    model, family = tiny_model(**changes), FAMILIES[model_type]
    tensors = family.to_hf(model.config, model.state_dict())
    with TemporaryDirectory() as folder:
        path = Path(folder) / "seed.gguf"
        write_gguf(path, family.write_config(model.config), tensors.items(), its_tokenizer, "q8_0")
        return path.read_bytes()


def read_all(path: Path) -> None:
    """Read everything in a file."""
    try:
        container = GGUFFile(path)
        for name, entry in container.tensors.items():
            assert container.tensor(name).shape == entry.shape
    except UserError as error:
        assert "\n" not in str(error)[:80]
    try:
        file = read_gguf(path)
        assert file.config["num_hidden_layers" if "num_hidden_layers" in file.config else "n_layer"] <= len(
            file.file.tensors
        )
        build_model(file.checkpoint)
    except UserError:
        pass
    try:
        file = read_gguf(path)
        ids = file.tokenizer.encode("Once upon a time 12 从前 🙂 <|endoftext|>")
        file.tokenizer.decode(ids)
    except UserError:
        pass


def check(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.gguf"
        path.write_bytes(content)
        tracemalloc.start()
        try:
            read_all(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < MAX_MEMORY_BYTES


@pytest.mark.parametrize("name", SEEDS)
def test_valid_files_can_be_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sound.gguf"
    path.write_bytes(seed_file(name))
    file = read_gguf(path)
    model = build_model(file.checkpoint)
    assert model(torch.tensor([file.tokenizer.encode("Once")])).isfinite().all()
    assert len(seed_file(name)) < 100_000


def offsets(content: bytes) -> st.SearchStrategy[int]:
    """Mostly offsets in the header, whose numbers control the reading."""
    end = len(content) - 1
    head = min(content.rfind(b".weight") + 64, end) if b".weight" in content else end
    return st.one_of(st.integers(0, min(64, end)), st.integers(0, head), st.integers(0, head), st.integers(0, end))


@st.composite
def damaged_contents(draw: st.DrawFn) -> bytes:
    content = bytearray(seed_file(draw(st.sampled_from(SEEDS))))
    for _ in range(draw(st.integers(1, 3))):
        offset = draw(offsets(bytes(content)))
        match draw(st.sampled_from(("byte", "u32", "u64", "cut", "drop", "repeat", "float"))):
            case "byte":
                content[offset] = draw(st.integers(0, 255))
            case "u32":
                content[offset : offset + 4] = struct.pack("<I", draw(st.sampled_from(NUMBERS)) & (2**32 - 1))
            case "u64":
                content[offset : offset + 8] = struct.pack("<Q", draw(st.sampled_from(NUMBERS)))
            case "float":
                content[offset : offset + 4] = struct.pack(
                    "<f", draw(st.sampled_from((0.0, -1.0, 1e38, float("inf"), float("nan"))))
                )
            case "cut":
                del content[offset + 100 :]
            case "drop":
                del content[offset : offset + draw(st.integers(1, 16))]
            case "repeat":
                content[offset:offset] = content[offset : offset + draw(st.integers(1, 64))]
    return bytes(content)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged_contents())
def test_damaged_files(content: bytes) -> None:
    check(content)


def values_in(content: bytes) -> list[tuple[str, int, int]]:
    """All integers in the metadata of a file: key, offset and size in bytes."""
    import gguf

    with TemporaryDirectory() as folder:
        path = Path(folder) / "seed.gguf"
        path.write_bytes(content)
        reader = gguf.GGUFReader(path)
        kinds = {gguf.GGUFValueType.UINT32: 4, gguf.GGUFValueType.INT32: 4, gguf.GGUFValueType.FLOAT32: 4}
        return [
            (name, field.offset + 8 + len(name) + 4, kinds[field.types[0]])
            for name, field in reader.fields.items()
            if not name.startswith("GGUF.") and field.types[0] in kinds
        ]


@pytest.mark.parametrize("name", SEEDS)
def test_any_value_of_a_metadata_number_is_handled(name: str) -> None:
    """Head counts of 0, 2**31 layers, an infinite base: each is rejected or harmless."""
    content = seed_file(name)
    values = values_in(content)
    assert len(values) >= 10
    for _, offset, size in values:
        for number in (0, 1, 3, 2**31 - 1, 2**32 - 1, 0x7F800000, 0xBF800000):  # the last two: infinity and -1 as floats
            check(content[:offset] + struct.pack("<I", number)[:size] + content[offset + size :])


def test_more_layers_than_tensors_are_refused(tmp_path: Path) -> None:
    content = seed_file("llama")
    offset = next(offset for key, offset, _ in values_in(content) if key == "llama.block_count")
    path = tmp_path / "made.gguf"
    for number, message in (
        (2**31 - 1, "2147483647, but the file has 1 layers"),
        (2**31, "not between 1 and"),
        (0, "not between"),
    ):
        path.write_bytes(content[:offset] + struct.pack("<I", number) + content[offset + 4 :])
        with pytest.raises(UserError, match=f"llama.block_count.*{message}"):
            read_gguf(path)
