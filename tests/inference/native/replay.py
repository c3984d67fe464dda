"""A model, its cache and decode steps as a file that replay.cpp runs, so that a program for another processor can run them.

The file holds every tensor and structure that the steps read, and where the pointers among them are.
"""

import ctypes
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lmcraft.inference.block_pool import BlockPool, BlockTable
from lmcraft.inference.native.structs import Row
from lmcraft.inference.native.weight_packing import ModelPacker, Weights
from lmcraft.model.transformer import Transformer

ALIGNMENT = 64
POINTER_TYPES = (ctypes.c_void_p, ctypes._Pointer)


class Memory:
    """Copies of pieces of this process's memory, one after another."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.pieces: list[tuple[int, int, int]] = []  # address, bytes, offset
        self.pointers: list[tuple[int, int]] = []  # offset, the address that it holds

    def add(self, item: Any) -> int:
        """Copy a tensor, structure or array of structures; returns its offset, which is aligned as its address is."""
        if isinstance(item, torch.Tensor):
            storage = item.untyped_storage()
            address, size = storage.data_ptr(), storage.nbytes()
        else:
            address, size = ctypes.addressof(item), ctypes.sizeof(item)
        self.content += bytes(-len(self.content) % ALIGNMENT + address % ALIGNMENT)
        offset = len(self.content)
        self.content += ctypes.string_at(address, size)
        self.pieces.append((address, size, offset))
        if not isinstance(item, torch.Tensor):
            self._note_pointers(item, offset)
        return offset

    def _note_pointers(self, item: Any, offset: int) -> None:
        if isinstance(item, ctypes.Array):
            size = ctypes.sizeof(item._type_)
            for number in range(len(item)):
                self._note_field(item._type_, offset + number * size)
        else:
            for name, kind in item._fields_:
                self._note_field(kind, offset + getattr(type(item), name).offset)

    def _note_field(self, kind: Any, offset: int) -> None:
        if issubclass(kind, POINTER_TYPES):
            self.pointers.append((offset, int.from_bytes(self.content[offset : offset + 8], "little")))
        elif issubclass(kind, ctypes.Structure | ctypes.Array):
            self._note_pointers(kind.from_buffer_copy(self.content, offset), offset)

    def relocations(self) -> list[tuple[int, int]]:
        """The offset of each pointer, and the offset that it points to."""
        found = []
        for pointer, address in self.pointers:
            targets = [offset + address - start for start, size, offset in self.pieces if start <= address < start + size]
            assert targets or not address, hex(address)
            found += [(pointer, targets[0])] if address else []
        return found


def write_steps(file: Path, model: Transformer, weights: Weights, ids: Sequence[int], rows_per_step: int) -> None:
    """Write the steps that compute `ids`, `rows_per_step` tokens at a time; every row has logits."""
    dtype = torch.float32 if weights == "float32" else torch.float16
    pool = BlockPool(model.config, num_tokens=2 * len(ids) + 32, dtype=dtype, block_tokens=16)
    for tensor in (*pool.keys, *pool.values):
        tensor.zero_()
    other, table = BlockTable(), BlockTable()
    pool.allocate(other, 9)  # so that the blocks are not the first ones
    pool.allocate(table, len(ids))
    packer = ModelPacker(weights)
    layout = packer.pack_model(model, pool, max_threads=2)
    blocks = torch.tensor(table.blocks, dtype=torch.int32)
    logits = torch.zeros(len(ids), model.config.vocab_size)
    rows = (Row * len(ids))()
    for position, token in enumerate(ids):
        rows[position] = Row(token, position, blocks.data_ptr(), logits[position].data_ptr())
    memory = Memory()
    for item in packer._owned:
        if isinstance(item, torch.Tensor | ctypes.Array):
            memory.add(item)
    for item in (*pool.keys, *pool.values, blocks):
        memory.add(item)
    offsets = [memory.add(item) for item in (layout, logits, rows)]
    steps = [
        (offsets[2] + start * ctypes.sizeof(Row), min(rows_per_step, len(ids) - start))
        for start in range(0, len(ids), rows_per_step)
    ]
    relocations = memory.relocations()
    header = (len(memory.content), len(relocations), len(steps), *offsets[:2], logits.nbytes)
    numbers = [number for pair in (*relocations, *steps) for number in pair]
    file.write_bytes(struct.pack("<6q", *header) + memory.content + struct.pack(f"<{len(numbers)}q", *numbers))
