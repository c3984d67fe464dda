"""What a run is about to learn, token by token: the faults of training data that no loss curve shows."""

from collections.abc import Sequence

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.errors import UserError
from lmcraft.finetuning.packing import Piece
from lmcraft.tokenizer.tokenizer import Tokenizer


def check_pieces(pieces: Sequence[Piece], longest: int, *, skip: bool) -> tuple[list[Piece], int]:
    """The pieces that fit in a row, and how many do not.

    Raises:
        UserError: one does not fit and none may be skipped, or nothing is left; or nothing is to be learned of any.
    """
    fitting = [piece for piece in pieces if len(piece) <= longest]
    left_out = len(pieces) - len(fitting)
    if left_out and not skip:
        most = max(map(len, pieces))
        raise UserError(
            f"{left_out} of {len(pieces)} samples are longer than sequence_length={longest} (the longest has {most} tokens) "
            f"and would be cut: add --sequence-length {most}, or --too-long skip to leave them out"
        )
    if not fitting:
        raise UserError(f"all {len(pieces)} samples are longer than sequence_length={longest}: raise it")
    return fitting, left_out


def check_learned(pieces: Sequence[Piece]) -> None:
    """Raise UserError where a sample has no token that is learned."""
    nothing = next((n for n, piece in enumerate(pieces) if not (piece.targets != IGNORE_INDEX).any()), None)
    if nothing is not None:
        raise UserError(f"sample {nothing + 1} has no token to learn: its answer is empty; take it out of the data")


def show_batch(batch: Batch, tokenizer: Tokenizer, *, of_texts: bool = True) -> str:
    """Each document of a batch, its tokens in quotes; those that are learned have a star.

    Args:
        batch: rows of tokens.
        tokenizer: spells them.
        of_texts: targets are tokens; else they are what is found at a document's end, and are shown as numbers.
    """
    lines = []
    rows = zip(batch.input_ids, batch.targets, batch.document_ids, strict=True)
    for number, (ids, targets, documents) in enumerate(rows, start=1):
        for document in range(documents[-1] + 1):
            places = (documents == document).nonzero()[0]
            learned = targets[places] != IGNORE_INDEX
            if document == documents[-1] > 0 and not learned.any():
                lines.append(f"row {number}: {len(places)} positions are padding")
                continue
            lines.append(
                f"row {number}, document {document + 1}: {len(places)} tokens, of which {int(learned.sum())} are learned"
            )
            if of_texts:
                # What is learned at a place is the token after it.
                stars = [False, *learned[:-1].tolist()]
                tail = [(targets[places[-1]], True)] if learned[-1] else []
                shown = [*zip(ids[places].tolist(), stars, strict=True), *tail]
                lines.append(" ".join(f"{'*' if star else ''}{_spelled(tokenizer, token)}" for token, star in shown))
            else:
                lines.append(" ".join(_spelled(tokenizer, token) for token in ids[places].tolist()))
                lines.append(f"  -> {targets[places][learned].tolist()}")
    return "\n".join(lines)


def _spelled(tokenizer: Tokenizer, token: int) -> str:
    data = tokenizer.token_bytes(int(token))
    try:
        return repr(data.decode("utf-8"))
    except UnicodeDecodeError:  # a part of a character
        return repr(data)
