"""Where a worker says which document it reads: a few bytes of memory that it shares with its parent."""

import mmap
import struct

from lmcraft.preparation.contracts import DocumentId

POSITION = struct.Struct("<q??4q")  # changes so far; whether there is a document, and a limit of time; the document


class SharedPosition:
    """The place where a worker says which document it reads.

    Args:
        descriptor: of a file of at least `POSITION.size` bytes.
        skipped: as in `Position`.
    """

    def __init__(self, descriptor: int, skipped: frozenset[DocumentId] = frozenset()) -> None:
        self.skipped, self.is_timed = skipped, True
        self._memory = mmap.mmap(descriptor, POSITION.size)
        self._changes = 0

    def at(self, document: DocumentId | None) -> None:
        """The worker begins a document, or something else."""
        self._changes += 1
        is_timed = self.is_timed and document is not None
        self._memory[:] = POSITION.pack(self._changes, document is not None, is_timed, *(document or (0, 0, 0, 0)))

    def read(self) -> tuple[int, DocumentId | None, bool]:
        """The number of changes so far, the document that the worker reads, and whether its time is limited."""
        changes, is_document, is_timed, *document = POSITION.unpack(self._memory[:])
        return changes, DocumentId(*document) if is_document else None, is_timed

    def close(self) -> None:
        """Release the memory."""
        self._memory.close()
