"""The container of a GGUF file: its metadata and its tensors, read through a memory map.

The format is described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Such files come from strangers: every
length, count, type and offset is checked against the file's size before anything is read or allocated by it.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.dependency import gguf_package
from lmcraft.gguf.metadata import Metadata

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
LARGEST_ALIGNMENT = 2**16
DEEPEST_ARRAY = 4
MOST_DIMENSIONS = 4
LONGEST_NAME = 1024

# Types of metadata: number and how it is packed, little endian.
NUMBERS = {0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 10: "<u8", 11: "<i8", 12: "<f8"}
BOOL, TEXT, ARRAY = 7, 8, 9
# The fewest bytes that one element of an array takes: a text its length, an array its type and length.
SMALLEST = {kind: int(code[-1]) for kind, code in NUMBERS.items()} | {BOOL: 1, TEXT: 8, ARRAY: 12}


@dataclass(frozen=True)
class TensorType:
    """How ggml stores numbers: in blocks of `block` of them that take `size` bytes."""

    name: str
    block: int
    size: int


TYPES = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    30: TensorType("BF16", 1, 2),
}
# How NumPy reads the types that torch has too; it knows no bfloat16.
PLAIN = {"F32": ("<f4", torch.float32), "F16": ("<f2", torch.float16), "BF16": ("<i2", torch.bfloat16)}


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies and what it is."""

    shape: tuple[int, ...]
    """As torch counts: the last dimension is contiguous. The file counts the other way round."""
    type: TensorType
    start: int
    """Of its bytes in the file."""

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) // self.type.block * self.type.size


class GGUFFile:
    """An open GGUF file; it stays mapped as long as it, or a tensor that looks into it, is in use."""

    def __init__(self, path: str | Path) -> None:
        """Read everything but the tensors' data.

        Raises:
            UserError: there is no such file, it is not GGUF version 2 or 3, is damaged or cut off, or holds a tensor of a
                type that cannot be read.
        """
        self.path = Path(path)
        self._map = _mapped(self.path)
        cursor = _Cursor(self.path, self._map)
        tensors, keys = _read_header(cursor)
        self.metadata = Metadata(self.path, _read_metadata(cursor, keys))
        self.tensors = _read_entries(cursor, tensors, _alignment(self.metadata))

    def tensor(self, name: str, part: int | None = None) -> Tensor:
        """The numbers of a tensor, or of the `part`-th slice along its first dimension.

        F32, F16 and BF16 keep their type and look into the file's memory map; the others become float32.

        Raises:
            UserError: there is no such tensor or slice.
        """
        entry = self.tensors.get(name)
        if entry is None:
            raise UserError(f"'{self.path}' has no tensor '{name}'")
        shape, start, length = entry.shape, entry.start, entry.bytes
        if part is not None:
            if len(shape) < 2 or not 0 <= part < shape[0]:
                raise UserError(f"'{self.path}': the tensor '{name}' of shape {shape} has no slice {part}")
            length //= shape[0]
            start += part * length
            shape = shape[1:]
        if entry.type.name in PLAIN:
            stored, dtype = PLAIN[entry.type.name]
            return (
                torch.from_numpy(np.frombuffer(self._map, np.dtype(stored), math.prod(shape), start))
                .view(dtype)
                .reshape(shape)
            )
        package = gguf_package()
        rows = np.frombuffer(self._map, np.uint8, length, start).reshape(*shape[:-1], -1)
        with np.errstate(all="ignore"):  # a damaged file's scales may be infinite
            return torch.from_numpy(package.dequantize(rows, package.GGMLQuantizationType[entry.type.name]).reshape(shape))


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            # Private: torch wants memory that could be written to, and nothing that is written reaches the file.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError as error:
        raise UserError(f"there is no file '{path}'") from error
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise UserError(f"'{path}' cannot be read as GGUF ({error}): name a whole .gguf file") from error


class _Cursor:
    """Reads one value after another and never past the end."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.size = len(data)
        self.position = 0

    def damaged(self, what: str) -> UserError:
        return UserError(f"'{self.path}' is not a sound GGUF file: {what}; fetch it again")

    def claim(self, length: int, what: str) -> int:
        """Move over `length` bytes; where they start."""
        start = self.position
        if length > self.size - start:
            raise self.damaged(f"{what} at byte {start} needs {length} bytes and the file ends after {self.size}")
        self.position += length
        return start

    def u32(self, what: str) -> int:
        return int(struct.unpack_from("<I", self.data, self.claim(4, what))[0])

    def u64(self, what: str) -> int:
        return int(struct.unpack_from("<Q", self.data, self.claim(8, what))[0])

    def name(self, what: str) -> str:
        name = self.text(what)
        if len(name) > LONGEST_NAME:
            raise self.damaged(f"{what} has {len(name)} characters, where {LONGEST_NAME} are plenty")
        return name

    def text(self, what: str) -> str:
        length = self.u64(what)
        start = self.claim(length, what)
        try:
            return self.data[start : start + length].decode()
        except UnicodeDecodeError as error:
            raise self.damaged(f"{what} at byte {start} is not UTF-8 ({error.reason})") from error

    def value(self, kind: int, key: str, depth: int = 0) -> Any:
        """A value of the metadata; the 32-bit floats remember that they are (`Metadata.number`)."""
        what = f"the value of '{key}'"
        if kind in NUMBERS:
            value = self.numbers(kind, 1, what)[0]
            return value if kind == 6 else value.item()
        if kind == BOOL:
            byte = self.data[self.claim(1, what)]
            if byte > 1:
                raise self.damaged(f"{what} is {byte} where true (1) or false (0) belongs")
            return bool(byte)
        if kind == TEXT:
            return self.text(what)
        if kind == ARRAY:
            return self.array(key, depth + 1)
        raise self.damaged(f"{what} is of type {kind}, which GGUF does not have")

    def array(self, key: str, depth: int) -> Any:
        what = f"the array '{key}'"
        if depth > DEEPEST_ARRAY:
            raise self.damaged(f"{what} is nested more than {DEEPEST_ARRAY} deep")
        kind, count = self.u32(what), self.u64(what)
        if kind not in SMALLEST:
            raise self.damaged(f"{what} holds values of type {kind}, which GGUF does not have")
        if count * SMALLEST[kind] > self.size - self.position:
            raise self.damaged(f"{what} is said to have {count} values, more than the file has room for")
        if kind in NUMBERS:
            return self.numbers(kind, count, what)
        if kind == BOOL:
            flags = self.bytes(count, what)
            if (flags > 1).any():
                raise self.damaged(f"{what} holds a value that is neither true (1) nor false (0)")
            return flags.astype(bool)
        if kind == TEXT:
            return [self.text(what) for _ in range(count)]
        return [self.array(key, depth + 1) for _ in range(count)]

    def numbers(self, kind: int, count: int, what: str) -> np.ndarray[Any, Any]:
        dtype = np.dtype(NUMBERS[kind])
        start = self.claim(count * dtype.itemsize, what)
        return np.frombuffer(self.data, dtype, count, start)

    def bytes(self, count: int, what: str) -> np.ndarray[Any, Any]:
        return np.frombuffer(self.data, np.uint8, count, self.claim(count, what))


def _read_header(cursor: _Cursor) -> tuple[int, int]:
    """The numbers of tensors and of keys."""
    start = cursor.claim(4, "the first word")
    if cursor.data[start : start + 4] != MAGIC:
        raise UserError(f"'{cursor.path}' is not a GGUF file: it does not begin with {MAGIC.decode()}")
    version = cursor.u32("the version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        what = "big-endian GGUF" if swapped in (1, *VERSIONS) else f"GGUF version {version}"
        raise UserError(
            f"'{cursor.path}' is {what}, and little-endian versions 2 and 3 can be read: convert the model again"
        )
    tensors, keys = cursor.u64("the number of tensors"), cursor.u64("the number of keys")
    # A tensor takes at least its name's length, its dimensions, type and offset; a key its name's length, type and value.
    if tensors * 32 + keys * 13 > cursor.size - cursor.position:
        raise cursor.damaged(f"it is said to have {tensors} tensors and {keys} keys, more than it has room for")
    return tensors, keys


def _read_metadata(cursor: _Cursor, count: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number in range(count):
        key = cursor.name(f"the name of key {number}")
        if key in values:
            raise cursor.damaged(f"the key '{key}' comes twice")
        values[key] = cursor.value(cursor.u32(f"the type of '{key}'"), key)
    return values


def _alignment(metadata: Metadata) -> int:
    key = "general.alignment"
    alignment = metadata.count(key)
    if alignment is None:
        return DEFAULT_ALIGNMENT
    if not 8 <= alignment <= LARGEST_ALIGNMENT or alignment & (alignment - 1):
        raise metadata.wrong(key, f"{alignment} is not a power of two from 8 to {LARGEST_ALIGNMENT}")
    return alignment


def _read_entries(cursor: _Cursor, count: int, alignment: int) -> dict[str, TensorEntry]:
    """The tensors; their offsets count from the end of these entries, rounded up to the alignment."""
    found: dict[str, TensorEntry] = {}
    for number in range(count):
        name = cursor.name(f"the name of tensor {number}")
        if name in found:
            raise cursor.damaged(f"the tensor '{name}' comes twice")
        found[name] = _read_entry(cursor, name, alignment)
    data = -(-cursor.position // alignment) * alignment
    placed = {}
    for name, entry in found.items():
        start = data + entry.start
        if entry.bytes > cursor.size - start:
            raise cursor.damaged(
                f"the tensor '{name}' needs {entry.bytes} bytes at byte {start} and the file ends after {cursor.size}"
            )
        placed[name] = TensorEntry(entry.shape, entry.type, start)
    return placed


def _read_entry(cursor: _Cursor, name: str, alignment: int) -> TensorEntry:
    what = f"the tensor '{name}'"
    dimensions = cursor.u32(what)
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise cursor.damaged(f"{what} has {dimensions} dimensions, where 1 to {MOST_DIMENSIONS} make sense")
    shape = tuple(cursor.u64(what) for _ in range(dimensions))[::-1]
    number, offset = cursor.u32(what), cursor.u64(what)
    if number not in TYPES:
        raise UserError(
            f"'{cursor.path}': the tensor '{name}' is of type {_type_name(number)}, which cannot be read here "
            f"({', '.join(kind.name for kind in TYPES.values())} can): take another quantization of the model"
        )
    kind = TYPES[number]
    if min(shape) < 1 or math.prod(shape) > 2**62 or shape[-1] % kind.block:
        raise cursor.damaged(f"{what} of type {kind.name} has the impossible shape {shape}")
    if offset % alignment:
        raise cursor.damaged(f"{what} starts at offset {offset}, which is no multiple of the alignment {alignment}")
    return TensorEntry(shape, kind, offset)


def _type_name(number: int) -> str:
    try:
        name: str = gguf_package().GGMLQuantizationType(number).name
    except (ValueError, UserError):
        return f"number {number}"
    return name
