"""Multi-head latent attention: the cache of latents, absorbed projections, rows with several documents."""

import pytest
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.kv_cache import KVCache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.latent_attention import LatentAttention
from lmcraft.model.parts import LatentAttention as Settings
from lmcraft.model.transformer import Transformer

CONFIG = TransformerConfig(
    vocab_size=61,
    max_position_embeddings=64,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    num_key_value_heads=3,
    head_dim=14,
    intermediate_size=32,
    qk_norm=False,
    latent_attention=Settings(kv_lora_rank=20, q_lora_rank=16, qk_nope_head_dim=6, qk_rope_head_dim=8, v_head_dim=5),
)


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(CONFIG).eval()


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return torch.randint(0, CONFIG.vocab_size, (2, 40), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_chunks_with_absorbed_and_expanded_projections_give_the_logits_of_the_whole_text(
    model: Transformer, ids: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    absorbed = []
    is_absorbed = LatentAttention._is_absorbed

    def record(*args: object) -> bool:
        absorbed.append(is_absorbed(*args))  # type: ignore[arg-type]
        return absorbed[-1]

    monkeypatch.setattr(LatentAttention, "_is_absorbed", record)
    cache = KVCache(CONFIG)
    logits = torch.cat([model(chunk, cache=cache) for chunk in torch.split(ids, [20, 1, 1, 18], dim=1)], dim=1)
    assert absorbed[::2] == [False, True, True, False]
    torch.testing.assert_close(logits, model(ids))


def test_cache_keeps_one_latent_of_each_token(model: Transformer, ids: Tensor) -> None:
    cache = KVCache(CONFIG)
    with torch.no_grad():
        model(ids, cache=cache)
    keys, values = cache._layers[0]
    assert CONFIG.cache_shape(0) == (1, 28, 0)
    assert (keys.shape[1], keys.shape[3], values.shape[3]) == CONFIG.cache_shape(0)


@torch.no_grad()
def test_tokens_attend_within_their_document(model: Transformer, ids: Tensor) -> None:
    document_ids = (torch.arange(40) >= 15).long()[None]
    packed = model(ids[:1], document_ids=document_ids)
    torch.testing.assert_close(packed[:, :15], model(ids[:1, :15]))


def test_gradients_reach_every_weight(model: Transformer, ids: Tensor) -> None:
    model(ids).float().logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    model.zero_grad()


@torch.no_grad()
def test_hooks_see_the_heads(model: Transformer, ids: Tensor) -> None:
    logits, activations = model.run_with_cache(ids)
    torch.testing.assert_close(logits, model(ids))
    shapes = {name.rpartition("_")[2]: x.shape[1:] for name, x in activations.items() if name.startswith("blocks.0.attn")}
    assert shapes["q"] == shapes["k"] == (40, 3, 14)
    assert shapes["v"] == shapes["z"] == (40, 3, 5)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"head_dim": 16}, r"model.head_dim=16 must be .*, 14: set it"),
        ({"num_key_value_heads": 1}, r"model.num_key_value_heads=1 must be model.num_attention_heads=3"),
        ({"latent_attention": Settings(kv_lora_rank=20)}, r"model.latent_attention.qk_nope_head_dim=0 must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, object], error: str) -> None:
    with pytest.raises(UserError, match=error):
        TransformerConfig(**vars(CONFIG) | change).check()
