"""The GGUF container: metadata and tensors, read through a memory map.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Files are untrusted: every length, count,
type and offset is checked against the file's size before it is used to read or allocate.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.dependency import gguf_package
from lmcraft.gguf.metadata import Metadata

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 2**16
MAX_ARRAY_DEPTH = 4
MAX_DIMENSIONS = 4
MAX_NAME_CHARS = 1024

# Numeric metadata types: type number and little-endian NumPy type.
NUMBERS = {0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 10: "<u8", 11: "<i8", 12: "<f8"}
BOOL, TEXT, ARRAY = 7, 8, 9
# Minimum bytes of an array element: a string has its length, an array its type and length.
MIN_ELEMENT_BYTES = {kind: int(code[-1]) for kind, code in NUMBERS.items()} | {BOOL: 1, TEXT: 8, ARRAY: 12}


@dataclass(frozen=True)
class TensorType:
    """A ggml tensor type: blocks of `block` numbers stored in `size` bytes."""

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
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    16: TensorType("IQ2_XXS", 256, 66),
    17: TensorType("IQ2_XS", 256, 74),
    18: TensorType("IQ3_XXS", 256, 98),
    19: TensorType("IQ1_S", 256, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", 256, 110),
    22: TensorType("IQ2_S", 256, 82),
    23: TensorType("IQ4_XS", 256, 136),
    29: TensorType("IQ1_M", 256, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", 256, 54),
    35: TensorType("TQ2_0", 256, 66),
    39: TensorType("MXFP4", 32, 17),
}
# Types that torch has too, and how NumPy reads them (NumPy has no bfloat16).
UNQUANTIZED = {"F32": ("<f4", torch.float32), "F16": ("<f2", torch.float16), "BF16": ("<i2", torch.bfloat16)}
unpack_u64 = struct.Struct("<Q").unpack_from
NUMBERS_PER_CHUNK = 2**18  # dequantized at once: chunks that fit in the cache are twice as fast as whole tensors


@dataclass(frozen=True)
class TensorEntry:
    """Shape, type and position of a tensor."""

    shape: tuple[int, ...]
    """In torch's order, the last dimension contiguous; the file stores the reverse order."""
    type: TensorType
    start: int
    """Offset of its data in the file, in bytes."""

    @property
    def bytes(self) -> int:
        """Size of its data in the file."""
        return math.prod(self.shape) // self.type.block * self.type.size


class GGUFFile:
    """An open GGUF file; it stays mapped as long as it, or a tensor that views it, is in use."""

    def __init__(self, path: str | Path) -> None:
        """Read everything but the tensors' data.

        Raises:
            UserError: the file does not exist, is not GGUF version 2 or 3, is damaged or truncated, or has a tensor of an
                unsupported type.
        """
        self.path = Path(path)
        self._map = _map_file(self.path)
        cursor = _Cursor(self.path, self._map)
        tensors, keys = _read_header(cursor)
        self.metadata = Metadata(self.path, _read_metadata(cursor, keys))
        self.tensors = _read_entries(cursor, tensors, _alignment(self.metadata))

    def tensor(self, name: str, part: int | None = None) -> Tensor:
        """Read a tensor, or the `part`-th slice of its first dimension.

        F32, F16 and BF16 keep their dtype and view the memory map; other types are dequantized to float32.

        Raises:
            UserError: the tensor or slice does not exist.
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
        if entry.type.name in UNQUANTIZED:
            stored, dtype = UNQUANTIZED[entry.type.name]
            return (
                torch.from_numpy(np.frombuffer(self._map, np.dtype(stored), math.prod(shape), start))
                .view(dtype)
                .reshape(shape)
            )
        blocks = np.frombuffer(self._map, np.uint8, length, start).reshape(-1, entry.type.size)
        return torch.from_numpy(_dequantize(blocks, entry.type)).reshape(shape)


def _dequantize(blocks: NDArray[np.uint8], kind: TensorType) -> NDArray[np.float32]:
    """The numbers of blocks, (number of blocks, numbers per block)."""
    quantization = getattr(gguf_package().quants, kind.name)
    quantization.init_grid()  # the table of codes of the IQ types
    numbers = np.empty((len(blocks), kind.block), np.float32)
    step = NUMBERS_PER_CHUNK // kind.block
    with np.errstate(all="ignore"):  # scales of a damaged file may be infinite
        for start in range(0, len(blocks), step):
            numbers[start : start + step] = quantization.dequantize_blocks(blocks[start : start + step])
    return numbers


def _map_file(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            # A private mapping: torch requires writable memory, and writes never reach the file.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError as error:
        raise UserError(f"there is no file '{path}'") from error
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise UserError(f"'{path}' cannot be read as GGUF ({error}); use a complete .gguf file") from error


class _Cursor:
    """Reads values sequentially, never past the end."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.size = len(data)
        self.position = 0

    def damaged(self, problem: str) -> UserError:
        return UserError(f"'{self.path}' is a damaged GGUF file: {problem}; download it again")

    def claim(self, length: int, description: str) -> int:
        """Advance by `length` bytes; returns where they start."""
        start = self.position
        if length > self.size - start:
            raise self.damaged(f"{description} at byte {start} needs {length} bytes, but the file has only {self.size}")
        self.position += length
        return start

    def u32(self, description: str) -> int:
        return int(struct.unpack_from("<I", self.data, self.claim(4, description))[0])

    def u64(self, description: str) -> int:
        return int(unpack_u64(self.data, self.claim(8, description))[0])

    def name(self, description: str) -> str:
        name = self.text(description)
        if len(name) > MAX_NAME_CHARS:
            raise self.damaged(f"{description} has {len(name)} characters; the maximum is {MAX_NAME_CHARS}")
        return name

    def text(self, description: str) -> str:
        return self.texts(1, description)[0]

    def texts(self, count: int, description: str) -> list[str]:
        """Read strings. A vocabulary and its merges are 100,000 of them and more, so the loop calls no other method."""
        data, size, start, texts = self.data, self.size, self.position, []
        for _ in range(count):
            start += 8  # of the length
            end = start + unpack_u64(data, start - 8)[0] if start <= size else start
            if end > size:
                self.position = start - 8
                self.claim(self.u64(description), description)
            try:
                texts.append(data[start:end].decode())
            except UnicodeDecodeError as error:
                raise self.damaged(f"{description} at byte {start} is not UTF-8 ({error.reason})") from error
            start = end
        self.position = start
        return texts

    def value(self, kind: int, key: str, depth: int = 0) -> Any:
        """Read a metadata value; 32-bit floats stay np.float32 (see `Metadata.number`)."""
        description = f"the value of '{key}'"
        if kind in NUMBERS:
            value = self.numbers(kind, 1, description)[0]
            return value if kind == 6 else value.item()
        if kind == BOOL:
            byte = self.data[self.claim(1, description)]
            if byte > 1:
                raise self.damaged(f"{description} is {byte} instead of true (1) or false (0)")
            return bool(byte)
        if kind == TEXT:
            return self.text(description)
        if kind == ARRAY:
            return self.array(key, depth + 1)
        raise self.damaged(f"{description} is of type {kind}, which GGUF does not have")

    def array(self, key: str, depth: int) -> Any:
        description = f"the array '{key}'"
        if depth > MAX_ARRAY_DEPTH:
            raise self.damaged(f"{description} is nested more than {MAX_ARRAY_DEPTH} deep")
        kind, count = self.u32(description), self.u64(description)
        if kind not in MIN_ELEMENT_BYTES:
            raise self.damaged(f"{description} holds values of type {kind}, which GGUF does not have")
        if count * MIN_ELEMENT_BYTES[kind] > self.size - self.position:
            raise self.damaged(f"{description} claims {count} values, more than fit in the file")
        if kind in NUMBERS:
            return self.numbers(kind, count, description)
        if kind == BOOL:
            flags = self.bytes(count, description)
            if (flags > 1).any():
                raise self.damaged(f"{description} holds a value that is neither true (1) nor false (0)")
            return flags.astype(bool)
        if kind == TEXT:
            return self.texts(count, description)
        return [self.array(key, depth + 1) for _ in range(count)]

    def numbers(self, kind: int, count: int, description: str) -> np.ndarray[Any, Any]:
        dtype = np.dtype(NUMBERS[kind])
        start = self.claim(count * dtype.itemsize, description)
        return np.frombuffer(self.data, dtype, count, start)

    def bytes(self, count: int, description: str) -> np.ndarray[Any, Any]:
        return np.frombuffer(self.data, np.uint8, count, self.claim(count, description))


def _read_header(cursor: _Cursor) -> tuple[int, int]:
    """Number of tensors and number of keys."""
    start = cursor.claim(4, "the first word")
    if cursor.data[start : start + 4] != MAGIC:
        raise UserError(f"'{cursor.path}' is not a GGUF file: it does not begin with {MAGIC.decode()}")
    version = cursor.u32("the version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        kind = "big-endian GGUF" if swapped in (1, *VERSIONS) else f"GGUF version {version}"
        raise UserError(
            f"'{cursor.path}' is {kind}, but only little-endian versions 2 and 3 are supported; convert the model again"
        )
    tensors, keys = cursor.u64("the number of tensors"), cursor.u64("the number of keys")
    # Minimum bytes of a tensor entry (name length, dimensions, type, offset) and of a key (name length, type, value).
    if tensors * 32 + keys * 13 > cursor.size - cursor.position:
        raise cursor.damaged(f"it claims {tensors} tensors and {keys} keys, more than fit in it")
    return tensors, keys


def _read_metadata(cursor: _Cursor, count: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number in range(count):
        key = cursor.name(f"the name of key {number}")
        if key in values:
            raise cursor.damaged(f"the key '{key}' appears twice")
        values[key] = cursor.value(cursor.u32(f"the type of '{key}'"), key)
    return values


def _alignment(metadata: Metadata) -> int:
    key = "general.alignment"
    alignment = metadata.count(key)
    if alignment is None:
        return DEFAULT_ALIGNMENT
    if not 8 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise metadata.invalid(key, f"{alignment} is not a power of two from 8 to {MAX_ALIGNMENT}")
    return alignment


def _read_entries(cursor: _Cursor, count: int, alignment: int) -> dict[str, TensorEntry]:
    """Read the tensor entries; their offsets count from the end of all entries, rounded up to the alignment."""
    relative: dict[str, TensorEntry] = {}
    for number in range(count):
        name = cursor.name(f"the name of tensor {number}")
        if name in relative:
            raise cursor.damaged(f"the tensor '{name}' appears twice")
        relative[name] = _read_entry(cursor, name, alignment)
    data = -(-cursor.position // alignment) * alignment
    entries = {}
    for name, entry in relative.items():
        start = data + entry.start
        if entry.bytes > cursor.size - start:
            raise cursor.damaged(
                f"the tensor '{name}' needs {entry.bytes} bytes at byte {start}, but the file has only {cursor.size}"
            )
        entries[name] = TensorEntry(entry.shape, entry.type, start)
    return entries


def _read_entry(cursor: _Cursor, name: str, alignment: int) -> TensorEntry:
    description = f"the tensor '{name}'"
    dimensions = cursor.u32(description)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise cursor.damaged(f"{description} has {dimensions} dimensions instead of 1 to {MAX_DIMENSIONS}")
    shape = tuple(cursor.u64(description) for _ in range(dimensions))[::-1]
    number, offset = cursor.u32(description), cursor.u64(description)
    if number not in TYPES:
        raise UserError(
            f"'{cursor.path}': the tensor '{name}' is of type {_type_name(number)}, which is not supported "
            f"({', '.join(kind.name for kind in TYPES.values())} are); use another quantization of the model"
        )
    kind = TYPES[number]
    if min(shape) < 1 or math.prod(shape) > 2**62 or shape[-1] % kind.block:
        raise cursor.damaged(f"{description} of type {kind.name} has the impossible shape {shape}")
    if offset % alignment:
        raise cursor.damaged(f"{description} starts at offset {offset}, not a multiple of the alignment {alignment}")
    return TensorEntry(shape, kind, offset)


def _type_name(number: int) -> str:
    try:
        name: str = gguf_package().GGMLQuantizationType(number).name
    except (ValueError, UserError):
        return f"number {number}"
    return name
