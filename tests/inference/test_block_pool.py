"""The pool: whatever sequences do, nothing overlaps, nothing leaks, and it ends empty."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from lmcraft.inference.block_pool import BlockPool, Holding
from tests.tiny import tiny_config

SIZE, COUNT = 4, 12
TEXTS = st.lists(st.integers(0, 1), min_size=1, max_size=40)


class Pool(RuleBasedStateMachine):
    """Sequences of few different tokens, so that they often begin alike."""

    growing = Bundle("growing")

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(tiny_config(), tokens=SIZE * COUNT, block_size=SIZE)
        self.held: dict[int, tuple[Holding, list[int], bytes]] = {}
        self.truth: dict[int, tuple[bytes, tuple[int, ...]]] = {}  # what was written into each block, and before it

    @rule(target=growing, tokens=TEXTS, salt=st.sampled_from([b"a", b"b"]), unit=st.sampled_from([1, 2]))
    def begin(self, tokens: list[int], salt: bytes, unit: int) -> object:
        holding = Holding()
        found = self.pool.find(holding, tokens, salt, unit)
        assert found < len(tokens) and found % (unit * SIZE) == 0
        for number, block in enumerate(holding.blocks):  # it holds what this text says, for this owner
            assert self.truth[block] == (salt, tuple(tokens[: (number + 1) * SIZE]))
        if not self.pool.extend(holding, len(tokens)):
            self.pool.release(holding)
            return multiple()
        for number in range(found // SIZE, len(tokens) // SIZE):
            self.truth[holding.blocks[number]] = (salt, tuple(tokens[: (number + 1) * SIZE]))
        self.pool.publish(holding, tokens, salt)
        self.held[id(holding)] = holding, tokens, salt
        return holding

    @rule(holding=growing, more=st.integers(1, 9))
    def grow(self, holding: Holding, more: int) -> None:
        if id(holding) not in self.held:
            return
        _, tokens, _ = self.held[id(holding)]
        before, free = list(holding.blocks), self.pool.available
        if not self.pool.extend(holding, len(tokens) + more):
            assert (holding.blocks, self.pool.available) == (before, free)

    @rule(holding=consumes(growing))
    def end(self, holding: Holding) -> None:
        self.held.pop(id(holding))
        self.pool.release(holding)
        assert not holding.blocks

    @invariant()
    def the_books_are_right(self) -> None:
        self.pool.check([holding for holding, _, _ in self.held.values()])

    def teardown(self) -> None:
        for holding, _, _ in self.held.values():
            self.pool.release(holding)
        self.pool.check([])
        assert self.pool.available == COUNT


Pool.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPool = Pool.TestCase
