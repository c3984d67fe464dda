"""What the model said of preferences before it was tuned: computed once, and kept beside the run."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from lmcraft.data.loader import IGNORE_INDEX, LENGTH_MULTIPLE, Batch
from lmcraft.finetuning.packing import Piece
from lmcraft.finetuning.preference import document_log_probs
from lmcraft.folder import ModelFolder, atomic_write
from lmcraft.model.transformer import Transformer
from lmcraft.training.loop import to_device


def with_reference(
    splits: Sequence[Sequence[Piece]], start: Callable[[], Transformer], fingerprint: str, folder: ModelFolder
) -> list[list[Piece]]:
    """The same pieces with the log-probabilities of both their documents.

    Args:
        splits: pieces of two documents each.
        start: makes the model as it was.
        fingerprint: of that model.
        folder: keeps the numbers, so that a resumed run does not compute them again.
    """
    pieces = [piece for some in splits for piece in some]
    digest = hashlib.blake2b(fingerprint.encode(), digest_size=8)
    for piece in pieces:
        for array in (piece.input_ids, piece.targets):
            digest.update(array.tobytes())
    file = folder.run / f"reference-{digest.hexdigest()}.npy"
    if file.is_file():
        found = np.load(file, allow_pickle=False)
    else:
        found = _log_probs(start(), pieces)
        with atomic_write(file) as temporary, temporary.open("wb") as handle:
            np.save(handle, found)
    numbered = iter(found)
    return [[_known(piece, next(numbered)) for piece in some] for some in splits]


@torch.no_grad()
def _log_probs(model: Transformer, pieces: Sequence[Piece]) -> NDArray[np.float32]:
    """(pieces, 2)."""
    found = np.zeros((len(pieces), 2), np.float32)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        for number in progress.track(range(len(pieces)), description="what the model says before"):
            log_probs, _ = document_log_probs(model, to_device(_alone(pieces[number]), model.device))
            found[number] = log_probs[0].cpu().numpy()
    return found


def _alone(piece: Piece) -> Batch:
    """A batch of one piece."""
    assert piece.document_ids is not None
    room = -len(piece) % LENGTH_MULTIPLE
    return Batch(
        np.pad(piece.input_ids, (0, room))[None],
        np.pad(piece.targets, (0, room), constant_values=IGNORE_INDEX)[None],
        np.pad(piece.document_ids, (0, room), constant_values=piece.documents)[None],
    )


def _known(piece: Piece, log_probs: NDArray[np.float32]) -> Piece:
    assert piece.values is not None
    return replace(piece, values=np.concatenate([log_probs, piece.values[2:]]))
