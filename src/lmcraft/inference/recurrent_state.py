"""What recurrent layers keep of a sequence, and copies of it at the ends of prompt chunks, from which later requests go on.

A state cannot be cut back to an earlier token, so a prefix is reused only up to a token after which its state was kept.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class RecurrentState:
    """The states of all recurrent layers after the first `num_tokens` tokens of a sequence; nobody changes the tensors."""

    num_tokens: int
    layers: Mapping[int, tuple[Tensor, ...]]
    """By the number of the layer, (1, ...) each."""

    @property
    def num_bytes(self) -> int:
        """The memory that it takes."""
        return sum(part.nbytes for parts in self.layers.values() for part in parts)


class StateSnapshots:
    """States by the hash of the text before them; the one that was used longest ago makes room for a new one.

    Args:
        max_bytes: memory for all of them.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._states: OrderedDict[bytes, RecurrentState] = OrderedDict()

    def __contains__(self, text_hash: bytes) -> bool:
        return text_hash in self._states

    def __len__(self) -> int:
        return len(self._states)

    def get(self, text_hash: bytes) -> RecurrentState:
        """The state after a text that is here; it counts as used now."""
        self._states.move_to_end(text_hash)
        return self._states[text_hash]

    def put(self, text_hash: bytes, state: RecurrentState) -> None:
        """Keep a state, unless it is larger than all the memory."""
        self.drop(text_hash)
        if state.num_bytes > self._max_bytes:
            return
        self._states[text_hash] = state
        self._num_bytes += state.num_bytes
        while self._num_bytes > self._max_bytes:
            self.drop(next(iter(self._states)))

    def drop(self, text_hash: bytes) -> None:
        """Forget the state after a text, if it is here."""
        state = self._states.pop(text_hash, None)
        self._num_bytes -= state.num_bytes if state is not None else 0
