"""The pool: whatever requests do, no block is lost or used twice, and all are free in the end."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from lmcraft.inference.block_pool import BlockPool, BlockTable
from tests.tiny import tiny_config

SIZE, COUNT = 4, 12
TEXTS = st.lists(st.integers(0, 1), min_size=1, max_size=40)


class Pool(RuleBasedStateMachine):
    """Texts of two different tokens, so that prefixes often match."""

    growing = Bundle("growing")

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(tiny_config(), num_tokens=SIZE * COUNT, block_tokens=SIZE)
        self.held: dict[int, tuple[BlockTable, list[int], bytes]] = {}
        self.contents: dict[int, tuple[bytes, tuple[int, ...]]] = {}  # of each block: its salt, its tokens and all before

    @rule(
        target=growing,
        tokens=TEXTS,
        salt=st.sampled_from([b"a", b"b"]),
        block_multiple=st.sampled_from([1, 2]),
        num_computed=st.integers(0, 40),
    )
    def begin(self, tokens: list[int], salt: bytes, block_multiple: int, num_computed: int) -> object:
        table = BlockTable()
        num_matched = self.pool.match_prefix(table, tokens, salt, block_multiple)
        assert num_matched < len(tokens) and num_matched % (block_multiple * SIZE) == 0
        for number, block in enumerate(table.blocks):  # matched blocks hold this text and this salt
            assert self.contents[block] == (salt, tuple(tokens[: (number + 1) * SIZE]))
        if not self.pool.allocate(table, len(tokens)):
            self.pool.free(table)
            return multiple()
        for number in range(num_matched // SIZE, len(tokens) // SIZE):
            self.contents[table.blocks[number]] = (salt, tuple(tokens[: (number + 1) * SIZE]))
        self.pool.publish(table, tokens[: max(num_matched, num_computed)], salt)
        self.held[id(table)] = table, tokens, salt
        return table

    @rule(table=growing, block_multiple=st.sampled_from([1, 2]))
    def go_on(self, table: BlockTable, block_multiple: int) -> None:
        """Blocks that others have published since replace those that are not computed yet."""
        if id(table) not in self.held:
            return
        _, tokens, salt = self.held[id(table)]
        num_blocks, num_published = len(table.blocks), len(table.hashes)
        num_matched = self.pool.match_prefix(table, tokens, salt, block_multiple)
        assert len(table.blocks) == num_blocks and num_matched == len(table.hashes) * SIZE < len(tokens) + SIZE
        assert len(table.hashes) == num_published or num_matched % (block_multiple * SIZE) == 0
        for number, block in enumerate(table.blocks[: len(tokens) // SIZE]):
            self.contents.setdefault(block, (salt, tuple(tokens[: (number + 1) * SIZE])))
            assert self.contents[block] == (salt, tuple(tokens[: (number + 1) * SIZE]))

    @rule(table=growing, more=st.integers(1, 9))
    def grow(self, table: BlockTable, more: int) -> None:
        if id(table) not in self.held:
            return
        _, tokens, _ = self.held[id(table)]
        before, free = list(table.blocks), self.pool.num_free_blocks
        if not self.pool.allocate(table, len(tokens) + more):
            assert (table.blocks, self.pool.num_free_blocks) == (before, free)

    @rule(table=consumes(growing))
    def end(self, table: BlockTable) -> None:
        self.held.pop(id(table))
        self.pool.free(table)
        assert not table.blocks

    @invariant()
    def bookkeeping_is_consistent(self) -> None:
        self.pool.check([table for table, _, _ in self.held.values()])

    def teardown(self) -> None:
        for table, _, _ in self.held.values():
            self.pool.free(table)
        self.pool.check([])
        assert self.pool.num_free_blocks == COUNT


Pool.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPool = Pool.TestCase
