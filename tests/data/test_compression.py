"""Compressed files: whole ones are read whole, and no damage goes unseen."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from lmcraft.data.compression import COMPRESSED
from lmcraft.data.documents import ReadStats
from lmcraft.data.sources import read_documents, read_table
from lmcraft.errors import UserError

ROWS = [{"text": f"row {number}: {number * 7919 % 10007}"} for number in range(3000)]
LINES = [json.dumps(row).encode() + b"\n" for row in ROWS]
SKIPPED_FRAME = b"\x5a\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd}


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("upper", [False, True])
def test_several_parts_are_read_as_one(suffix: str, upper: bool, tmp_path: Path) -> None:
    compress = COMPRESS[suffix]
    parts = compress(b"".join(LINES[:1000])) + compress(b"") + compress(b"".join(LINES[1000:]))
    file = tmp_path / ("ROWS.JSONL" + suffix.upper() if upper else "rows.jsonl" + suffix)
    file.write_bytes(SKIPPED_FRAME + parts + SKIPPED_FRAME if suffix == ".zst" else parts)
    assert [row for _, row in read_table(file, ReadStats())] == ROWS
    assert [document.text for document in read_documents([str(file)])] == [row["text"] for row in ROWS]


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("name", ["rows.jsonl", "text.txt", "page.html", "table.csv", "list.json"])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.9, -1, -5, -9])
def test_a_file_that_is_cut_short_is_refused(suffix: str, name: str, kept: float, tmp_path: Path) -> None:
    compressed = COMPRESS[suffix](b"".join(LINES))
    file = tmp_path / (name + suffix)
    file.write_bytes(compressed[: int(kept * len(compressed))] if kept > 0 else compressed[: int(kept)])
    with pytest.raises(UserError, match=r"is damaged \(.* end.*download it again") as raised:
        list(read_documents([str(file)]))
    assert "malformed" not in str(raised.value)


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_a_second_part_that_is_cut_short_is_refused(suffix: str, tmp_path: Path) -> None:
    first, second = (COMPRESS[suffix](b"".join(lines)) for lines in (LINES[:9], LINES[9:12]))
    file = tmp_path / ("rows.jsonl" + suffix)
    file.write_bytes(first + second[:-3])
    with pytest.raises(UserError, match="is damaged"):
        list(read_table(file, ReadStats()))


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_changed_bytes_are_found(suffix: str, tmp_path: Path) -> None:
    compressed = bytearray(COMPRESS[suffix](b"".join(LINES)))
    compressed[-6 if suffix == ".gz" else -2] ^= 1  # in the checksum
    file = tmp_path / ("rows.jsonl" + suffix)
    file.write_bytes(compressed)
    with pytest.raises(UserError, match="is damaged"):
        list(read_table(file, ReadStats()))


@pytest.mark.parametrize(
    ("name", "contents", "words"),
    [
        ("a.txt.zst", gzip.compress(b"text"), "compressed as .gz, though its name ends in '.zst': rename it"),
        ("a.txt.gz", zstd(b"text"), "compressed as .zst, though its name ends in '.gz': rename it"),
        ("a.txt.GZ", b"text", "not compressed, though its name ends in '.GZ': rename it"),
    ],
)
def test_a_wrong_name_is_pointed_out(name: str, contents: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(UserError, match=words):
        list(read_documents([str(tmp_path / name)]))


def test_another_encoding_inside_a_compressed_file(tmp_path: Path) -> None:
    text = "plain words\n" * 60_000 + "Köln, Zürich, Straße, Fußgänger\n" * 40
    (tmp_path / "a.txt.zst").write_bytes(zstd(text.encode("cp1252")))
    assert "".join(document.text for document in read_documents([str(tmp_path / "a.txt.zst")])) == text


def test_long_windows_are_read(tmp_path: Path) -> None:
    """As `zstd --long=31` writes them: a frame with a window of 2 GiB, and its last block, which is not compressed."""
    window, text = bytes([(31 - 10) << 3]), b"hello"
    block = (len(text) << 3 | 1).to_bytes(3, "little") + text
    (tmp_path / "a.txt.zst").write_bytes(b"\x28\xb5\x2f\xfd\0" + window + block)
    assert [document.text for document in read_documents([str(tmp_path / "a.txt.zst")])] == ["hello"]
