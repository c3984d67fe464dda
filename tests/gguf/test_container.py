"""The container: its contents, and checks of every value before use."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.gguf.container import TYPES, GGUFFile
from tests.gguf.handmade import container, file, tensor, value

gguf = pytest.importorskip("gguf")


def write_and_open(folder: Path, *parts: Any, **options: Any) -> GGUFFile:
    return GGUFFile(file(folder, container(*parts, **options)))


def test_values_of_every_type(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 2**32 - 1)
    writer.add_int32("i32", -(2**31))
    writer.add_uint64("u64", 2**64 - 1)
    writer.add_int64("i64", -(2**63))
    writer.add_float32("f32", 1e-5)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)
    writer.add_string("text", "天地 🙂")
    writer.add_array("texts", ["a", "", "玄黄"])
    writer.add_array("flags", [True, False])
    writer.add_array("numbers", [1.5, -2.0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    metadata = GGUFFile(tmp_path / "a.gguf").metadata
    plain = {"u8": 200, "i8": -100, "u16": 60000, "i16": -30000, "u32": 2**32 - 1, "i32": -(2**31), "u64": 2**64 - 1}
    plain |= {"i64": -(2**63), "f64": 0.1, "yes": True, "text": "天地 🙂", "texts": ["a", "", "玄黄"]}
    assert {key: metadata[key] for key in plain} == plain
    assert metadata.number("f32") == 1e-5 and metadata.numbers("numbers").tolist() == [1.5, -2.0]  # type: ignore[union-attr]
    assert metadata["flags"].tolist() == [True, False]
    assert metadata.text("no such key") is None and metadata.count("no such key") is None


@pytest.mark.parametrize("version", [2, 3])
def test_versions_2_and_3_and_alignment(version: int, tmp_path: Path) -> None:
    keys = {"general.alignment": value("u32", 64)}
    content = container(keys, [tensor("a", [2, 3]), tensor("b", [4], 1, 64)], version=version)
    content += bytes(-len(content) % 64) + np.arange(6, dtype="<f4").tobytes() + bytes(40) + np.ones(4, "<f2").tobytes()
    gguf_file = GGUFFile(file(tmp_path, content))
    assert gguf_file.tensor("a").tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert gguf_file.tensor("b").tolist() == [1.0] * 4 and gguf_file.tensor("b").dtype == torch.float16


@pytest.mark.parametrize("kind", [kind.name for kind in TYPES.values()])
def test_tensors_match_the_gguf_package(kind: str, tmp_path: Path) -> None:
    number = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[number]
    assert (TYPES[number.value].block, TYPES[number.value].size) == (block, size)
    rng = np.random.default_rng(0)
    if kind in ("F32", "F16", "BF16"):
        data = gguf.quantize(rng.standard_normal((2, 3, 512), dtype=np.float32), number)
    else:  # any bytes are some numbers; the package cannot make all types itself
        data = rng.integers(0, 256, (2, 3, 512 // block * size), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_tensor("x", data, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    gguf_file = GGUFFile(tmp_path / "a.gguf")
    expected = torch.from_numpy(np.asarray(gguf.dequantize(data, number)).reshape(2, 3, 512).copy())
    torch.testing.assert_close(gguf_file.tensor("x").float(), expected, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(gguf_file.tensor("x", 1).float(), expected[1], rtol=0, atol=0, equal_nan=True)
    dtypes = {"F16": torch.float16, "BF16": torch.bfloat16}
    assert gguf_file.tensor("x").dtype == dtypes.get(kind, torch.float32)


def test_unquantized_tensors_view_the_map_and_never_change_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, container({}, [tensor("a", [4])], np.arange(4, dtype="<f4").tobytes()))
    gguf_file = GGUFFile(path)
    view, again = gguf_file.tensor("a"), gguf_file.tensor("a")
    view += 1
    assert again.tolist() == [1.0, 2.0, 3.0, 4.0]
    del gguf_file
    assert view.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert GGUFFile(path).tensor("a").tolist() == [0.0, 1.0, 2.0, 3.0]


HUGE = 2**63
ARRAY = struct.pack("<I", 9)
NESTED = ARRAY + struct.pack("<IQ", 9, 1) * 5 + struct.pack("<IQ", 0, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "use a complete .gguf file"),
        (b"GG", "the first word at byte 0 needs 4 bytes"),
        (b"PK\x03\x04" + bytes(40), "does not begin with GGUF"),
        (container(version=1), "GGUF version 1, but only"),
        (container(version=3 << 24), "big-endian GGUF"),
        (container(counts=(HUGE, 0)), "more than fit in it"),
        (container(counts=(0, HUGE)), "more than fit in it"),
        (container(counts=(2**60, 2**60)), "more than fit in it"),
        (container([("a", struct.pack("<IQ", 8, HUGE))]), "needs 9223372036854775808 bytes"),
        (container([("a", value("text", b"\xff\xfe"))]), "not UTF-8"),
        (container([("a", struct.pack("<I", 77))]), "type 77"),
        (container([("a", value("u8", 1)), ("a", value("u8", 1))]), "key 'a' appears twice"),
        (container([("a" * 5000, value("u8", 1))]), "5000 characters"),
        (container([("a", struct.pack("<IB", 7, 2))]), "2 instead of true .1. or false"),
        (container([("a", ARRAY + struct.pack("<IQ", 4, HUGE))]), "9223372036854775808 values"),
        (container([("a", ARRAY + struct.pack("<IQ", 8, 2**40))]), "1099511627776 values"),
        (container([("a", ARRAY + struct.pack("<IQ", 50, 1))]), "values of type 50"),
        (container([("a", ARRAY + struct.pack("<IQBB", 7, 2, 1, 3))]), "neither true"),
        (container([("a", NESTED)]), "nested more than 4 deep"),
        (container({"general.alignment": value("u32", 33)}), "33 is not a power of two"),
        (container({"general.alignment": value("u32", 0)}), "0 is not a power of two"),
        (container({"general.alignment": value("u32", 2**31)}), "2147483648 is not between"),
        (container({"general.alignment": value("text", "32")}), "'32' is not a whole number"),
        (container({}, [tensor("a", [1]), tensor("a", [1])], bytes(32)), "tensor 'a' appears twice"),
        (container({}, [tensor("a", [])], bytes(64)), "0 dimensions"),
        (container({}, [tensor("a", [1] * 5)], bytes(64)), "5 dimensions"),
        (container({}, [tensor("a", [0])], bytes(64)), r"impossible shape \(0,\)"),
        (container({}, [tensor("a", [2**40] * 4)], bytes(64)), "impossible shape"),
        (container({}, [tensor("a", [33], 8)], bytes(64)), "impossible shape"),
        (container({}, [tensor("a", [16])], bytes(60)), "needs 64 bytes"),
        (container({}, [tensor("a", [1], 0, 2**62)], bytes(64)), "needs 4 bytes at byte"),
        (container({}, [tensor("a", [1], 0, 4)], bytes(64)), "not a multiple of the alignment"),
        (container({}, [tensor("a", [256], 15)], bytes(640)), "'a' is of type Q8_K, which is not supported"),
        (container({}, [tensor("a", [256], 99)], bytes(640)), "'a' is of type number 99"),
    ],
)
def test_damaged_files_are_errors(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        GGUFFile(file(tmp_path, content))
    assert "made.gguf" in str(error.value) and "\n" not in str(error.value)


def test_every_truncation_is_detected(tmp_path: Path) -> None:
    keys = {"general.architecture": value("text", "llama"), "list": value("[text]", ["a", "b"]), "x": value("f32", 1.0)}
    whole = container(keys, [tensor("a", [8, 2]), tensor("b", [32], 8, 64)], bytes(64 + 34))
    assert GGUFFile(file(tmp_path, whole)).tensor("b").shape == (32,)
    for length in range(len(whole)):
        with pytest.raises(UserError):
            GGUFFile(file(tmp_path, whole[:length]))


def test_missing_files_tensors_and_slices_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file"):
        GGUFFile(tmp_path / "none.gguf")
    with pytest.raises(UserError, match="cannot be read as GGUF"):
        GGUFFile(tmp_path)
    gguf_file = write_and_open(tmp_path, {}, [tensor("a", [4])], bytes(16))
    with pytest.raises(UserError, match="no tensor 'b'"):
        gguf_file.tensor("b")
    with pytest.raises(UserError, match="no slice 0"):
        gguf_file.tensor("a", 0)
