import torch

from lmcraft.inference.block_pool import BlockPool, BlockTable
from lmcraft.inference.paged_cache import PagedCache
from tests.tiny import tiny_config


def test_it_holds_the_tokens_of_blocks_in_any_order() -> None:
    """Against plain concatenation, for a table whose blocks are not consecutive; other tables keep their tokens."""
    pool = BlockPool(tiny_config(), num_tokens=96, dtype=torch.float32, block_tokens=16)
    other, table = BlockTable(), BlockTable()
    for num_tokens in (16, 32, 48):
        assert pool.allocate(other, num_tokens) and pool.allocate(table, num_tokens)
    assert table.blocks != sorted(range(min(table.blocks), min(table.blocks) + 3))
    expected: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {"other": [], "table": []}
    length = 0
    for num_new in (5, 30, 1, 12):
        for name, blocks in (("other", other), ("table", table)):
            cache = PagedCache(pool, blocks, length, num_new)
            k_1KTD, v_1KTD = torch.randn(2, 1, 2, num_new, 8).unbind()
            expected[name].append((k_1KTD, v_1KTD))
            held = cache.update(1, k_1KTD, v_1KTD)
            for tensor, parts in zip(held, zip(*expected[name], strict=True), strict=True):
                assert torch.equal(tensor, torch.cat(parts, dim=2))
        length += num_new
