"""Token ids as callers have them: a list, a tensor or an array."""

from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

from lmcraft.errors import UserError

MAX_SHOWN_CHARACTERS = 60


def list_token_ids(ids: Iterable[Any]) -> list[int]:
    """The ids of one text, from a sequence of integers, or a tensor or an array of one dimension.

    Raises:
        UserError: these are not integers, or have several dimensions.
    """
    values: Any = ids.tolist() if hasattr(ids, "tolist") else ids
    try:
        if isinstance(values, str | bytes):
            raise TypeError
        return list(map(index, values))
    except TypeError as error:
        shown = f"shape {tuple(ids.shape)}" if hasattr(ids, "shape") else repr(ids)[:MAX_SHOWN_CHARACTERS]
        raise UserError(f"token ids must be the integers of one text, not {shown}: pass one row of integers") from error


def list_rows(ids: Iterable[Any]) -> list[list[int]]:
    """The ids of one text or of several, as rows.

    Raises:
        UserError: as in `list_token_ids`.
    """
    values: Any = ids.tolist() if hasattr(ids, "tolist") else ids
    first: Any = values[0] if isinstance(values, Sequence) and not isinstance(values, str | bytes) and values else None
    if isinstance(first, Sequence) or (hasattr(first, "ndim") and first.ndim):
        return [list_token_ids(row) for row in values]
    return [list_token_ids(ids)]
