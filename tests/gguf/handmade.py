"""Builds GGUF files byte by byte, so that each byte can be wrong."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NUMBERS = {"u8": (0, "<B"), "u32": (4, "<I"), "i32": (5, "<i"), "f32": (6, "<f"), "bool": (7, "<B"), "u64": (10, "<Q")}


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def value(kind: str, content: Any) -> bytes:
    """A type and a value; "[u32]" is an array."""
    if kind.startswith("["):
        inner = [value(kind[1:-1], entry) for entry in content]
        number = struct.unpack("<I", value(kind[1:-1], content[0] if content else _empty(kind[1:-1]))[:4])[0]
        return struct.pack("<IIQ", 9, number, len(inner)) + b"".join(entry[4:] for entry in inner)
    if kind == "text":
        return struct.pack("<I", 8) + text(content)
    number, code = NUMBERS[kind]
    return struct.pack("<I", number) + struct.pack(code, content)


def _empty(kind: str) -> Any:
    return [] if kind.startswith("[") else "" if kind == "text" else 0


def tensor(name: str, dimensions: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    """A tensor's entry; dimensions in the file's order, the contiguous one first."""
    sizes = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


def container(
    keys: Mapping[str, bytes] | Sequence[tuple[str, bytes]] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    counts: tuple[int, int] | None = None,
    magic: bytes = b"GGUF",
) -> bytes:
    pairs = list(keys.items()) if isinstance(keys, Mapping) else list(keys)
    head = magic + struct.pack("<IQQ", version, *(counts or (len(tensors), len(pairs))))
    head += b"".join(text(key) + content for key, content in pairs) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


def file(folder: Path, content: bytes) -> Path:
    path = folder / "made.gguf"
    path.write_bytes(content)
    return path
