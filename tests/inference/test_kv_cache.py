import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.inference.kv_cache import INITIAL_CAPACITY_TOKENS, KVCache
from tests.tiny import tiny_config


@given(
    st.lists(st.one_of(st.integers(1, 90), st.lists(st.integers(0, 5), min_size=1, max_size=4)), max_size=8),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_it_returns_all_keys_and_values(steps: list[int | list[int]], seed: int) -> None:
    """Against plain concatenation, under any mix of appending (a number) and reordering (a list)."""
    config = tiny_config(max_position_embeddings=800)
    generator = torch.Generator().manual_seed(seed)
    cache = KVCache(config)
    plain = [(torch.empty(2, 2, 0, 8), torch.empty(2, 2, 0, 8)) for _ in range(2)]
    for step in steps:
        B = len(plain[0][0])
        if isinstance(step, list):
            rows = torch.tensor(step) % B
            cache.reorder(rows)
            plain = [(k[rows], v[rows]) for k, v in plain]
            continue
        before = cache.length
        for layer in range(2):
            k, v = torch.randn(2, B, 2, step, 8, generator=generator).unbind()
            plain[layer] = torch.cat((plain[layer][0], k), 2), torch.cat((plain[layer][1], v), 2)
            for held, expected in zip(cache.update(layer, k, v), plain[layer], strict=True):
                assert torch.equal(held, expected)
        assert cache.length == before + step


def test_memory_grows_with_the_text_up_to_the_context() -> None:
    cache = KVCache(tiny_config(max_position_embeddings=200))

    def put(tokens: int) -> int:
        for layer in range(2):
            keys, _ = cache.update(layer, torch.zeros(1, 2, tokens, 8), torch.zeros(1, 2, tokens, 8))
        return keys.untyped_storage().nbytes() // (4 * 2 * 8)

    assert [put(10), put(54), put(1), put(100)] == [
        INITIAL_CAPACITY_TOKENS,
        INITIAL_CAPACITY_TOKENS,
        2 * INITIAL_CAPACITY_TOKENS,
        200,
    ]
