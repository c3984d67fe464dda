"""Files that are not text, and texts that begin like them."""

import gzip
import io
import json
import pickle
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from lmcraft.data.binary_files import is_binary, looks_random
from lmcraft.data.encodings import BINARY_CHECK_BYTES, NotTextError, find_encoding
from lmcraft.tokenizer import train_bpe
from tests.data.test_encodings import CHINESE, FRENCH, TAIWANESE
from tests.tiny import TEXT

LETTERS = np.arange(0x61, 0x7B, dtype=np.uint16)  # as UTF-16: a to z


def written_by(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def write_zip(file: io.BytesIO, names: tuple[str, ...] = ("a.txt",)) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "text")


def write_tar(file: io.BytesIO) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())


def write_database(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE chat (id)")
    connection.commit()
    connection.close()
    return path.read_bytes()


BINARY = {
    "weights.npy": written_by(lambda file: np.save(file, LETTERS)),
    "version 2.npy": written_by(lambda file: np.lib.format.write_array(file, LETTERS, version=(2, 0))),
    "arrays.npz": written_by(lambda file: np.savez(file, LETTERS)),
    "model.pt": written_by(lambda file: torch.save(torch.from_numpy(LETTERS.astype("i2")), file)),
    "old.pt": written_by(lambda file: torch.save(torch.zeros(9), file, _use_new_zipfile_serialization=False)),
    "object.pkl": pickle.dumps({"text": "words"}),
    "old.pkl": pickle.dumps({"text": "words"}, protocol=2),
    "model.safetensors": save({"weights": LETTERS}),
    "model.gguf": b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + LETTERS.tobytes(),
    "package.whl": written_by(write_zip),
    "empty.zip": written_by(lambda file: write_zip(file, ())),
    "texts.tar": written_by(write_tar),
    "text.gz": gzip.compress(b"text", mtime=0),
    "picture.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + LETTERS.tobytes(),
    "picture.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + LETTERS.tobytes(),
    "picture.gif": b"GIF89a\x0a\0\x0a\0" + LETTERS.tobytes(),
    "picture.bmp": b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0" + LETTERS.tobytes(),
    "picture.webp": b"RIFF\x24\0\0\0WEBPVP8 " + LETTERS.tobytes(),
    "picture.tiff": b"II*\0\x08\0\0\0" + LETTERS.tobytes(),
    "icon.ico": b"\0\0\1\0\1\0\x10\x10" + LETTERS.tobytes(),
    "program": b"\x7fELF\2\1\1\0" + LETTERS.tobytes(),
    "program.exe": b"MZ\x90\0\3\0" + LETTERS.tobytes(),
    "module.wasm": b"\0asm\1\0\0\0" + LETTERS.tobytes(),
    "film.mp4": b"\0\0\0\x20ftypisom" + LETTERS.tobytes(),
    "table.parquet": b"PAR1\x15\0" + LETTERS.tobytes(),
    "font.ttf": b"\0\1\0\0\0\x0f" + LETTERS.tobytes(),
}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("encoding", [None, "utf-16-le", "latin-1"])
def test_binary_files_are_no_text_in_any_encoding(name: str, encoding: str | None) -> None:
    with pytest.raises(NotTextError, match="not text"):
        find_encoding(lambda: io.BytesIO(BINARY[name]), encoding)


def test_a_database_is_no_text(tmp_path: Path) -> None:
    assert is_binary(write_database(tmp_path / "chats.sqlite"))


@pytest.mark.parametrize("vocab_size", [300, 400, 1000])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<u4", "<i8"])
@pytest.mark.parametrize("count", [200, 2000, 20000])
def test_arrays_of_tokens_without_a_header_are_no_text(vocab_size: int, dtype: str, count: int) -> None:
    text = TEXT + "".join(f"{json.dumps(line.upper())} MUSIC {n}\n" for n, line in enumerate(TEXT.split("\n")))
    tokens = np.array(train_bpe([text], vocab_size=vocab_size).encode(text) * 99)[:count].astype(dtype).tobytes()
    with pytest.raises(NotTextError, match="not text"):
        find_encoding(lambda: io.BytesIO(tokens))


TEXTS = {
    "Chinese": CHINESE * 9,
    "Taiwanese": TAIWANESE * 9,
    "French": FRENCH * 9,
    "camel case": "def test(self): return someValue.getItem(indexOfItem, lastIndex) # Größe der iPhone-Hülle\n" * 9,
    "Chinese and English": "用T恤换iPhone，A股和B股，用GPU训练LLM模型。\n" * 9,
    "Japanese": "Tシャツを着たＡさんとＢさんは、ﾃﾚﾋﾞでYouTubeを見る。\n" * 9,
    "Korean": "K팝을 듣고 AI를 배우는 사람들이 PC방에 간다.\n" * 9,
    "Russian": "Это обычный русский текст, в котором есть слова API и HTTP.\n" * 9,
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-8"])
def test_texts_are_not_taken_for_binary(name: str, encoding: str) -> None:
    assert not looks_random(TEXTS[name]) and not is_binary(TEXTS[name].encode(encoding)[:BINARY_CHECK_BYTES])
    detected = find_encoding(lambda: io.BytesIO(TEXTS[name].encode(encoding)))
    assert TEXTS[name].encode(encoding).decode(detected) == TEXTS[name]


@pytest.mark.parametrize(
    "text", ["GIF89a is a format", "RIFF, OggS and fLaC", "BM25", "MZ", "ID3 tags", "OTTO: Hallo\a", "II* ", ""]
)
def test_a_text_may_begin_like_a_binary_file(text: str) -> None:
    assert find_encoding(lambda: io.BytesIO(text.encode())) == "utf-8"
