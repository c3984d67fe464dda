"""Layers that share keys and values, layers of two head widths, and embeddings per layer."""

import pytest
import torch
from torch import Tensor

from lmcraft.conversion.quantization import quantize_model
from lmcraft.errors import UserError
from lmcraft.inference.kv_cache import KVCache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import hook_names
from lmcraft.model.token_tree import TokenTree
from lmcraft.model.transformer import Transformer
from lmcraft.model.uneven_layers import FullLayers, KeySharing, PerLayerEmbedding

CONFIG = TransformerConfig(
    vocab_size=40,
    max_position_embeddings=64,
    hidden_size=32,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    intermediate_size=32,
    sliding_window=6,
    layer_types=("sliding_attention", "full_attention") * 2,
    rope_local_theta=100.0,
    value_norm=True,
    layer_scale=True,
    full_layers=FullLayers(head_dim=16, num_key_value_heads=1, keys_as_values=True),
    key_sharing=KeySharing(num_layers=2, wide_feed_forward=True),
    per_layer_embedding=PerLayerEmbedding(width=32, vocab_size=40),
)


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(CONFIG).eval()
    for block in model.layers:
        block.get_buffer("layer_scale").fill_(0.7)
    return model


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return torch.randint(0, CONFIG.vocab_size, (2, 20), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_the_cache_has_what_layers_of_their_own_keep(model: Transformer, ids: Tensor) -> None:
    cache = KVCache(CONFIG)
    logits = torch.cat([model(chunk, cache=cache) for chunk in torch.split(ids, [9, 1, 1, 9], dim=1)], dim=1)
    torch.testing.assert_close(logits, model(ids))
    assert [CONFIG.cache_shape(layer) for layer in range(4)] == [(2, 8, 8), (1, 16, 16), None, None]
    assert [CONFIG.key_layer(layer) for layer in range(4)] == [0, 1, 0, 1]
    assert cache._layers.keys() == {0, 1}


def test_gradients_are_the_same_with_checkpointing(model: Transformer, ids: Tensor) -> None:
    gradients = []
    for checkpointing in (False, True):
        model.checkpointing = checkpointing
        model(ids).logsumexp(-1).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
        model.zero_grad()
    model.checkpointing = False
    for name, gradient in gradients[0].items():
        assert gradient is not None
        assert gradient.any(), name
        torch.testing.assert_close(gradients[1][name], gradient)


@torch.no_grad()
def test_a_tree_gives_the_states_of_its_text(model: Transformer, ids: Tensor) -> None:
    tree = TokenTree.build(ids[0].tolist(), [n - 1 for n in range(ids.shape[1])])
    torch.testing.assert_close(model.tree_hidden_states(tree), model.hidden_states(ids[:1])[0])


@torch.no_grad()
def test_quantizes_block_by_block(ids: Tensor) -> None:
    torch.manual_seed(0)
    network = Transformer(CONFIG).eval()
    before = network(ids)
    quantize_model(network, 4, ids)
    assert torch.cosine_similarity(before.flatten(), network(ids).flatten(), dim=0) > 0.95


@torch.no_grad()
def test_hooks_have_the_points_of_each_layer(model: Transformer, ids: Tensor) -> None:
    logits, activations = model.run_with_cache(ids)
    torch.testing.assert_close(logits, model(ids))
    assert activations.keys() == {name for name in hook_names(CONFIG) if not name.endswith("hook_result")}
    assert "blocks.2.attn.hook_k" not in activations


def test_a_block_alone_is_refused(model: Transformer, ids: Tensor) -> None:
    x, inputs = model.embed(ids), model.layer_inputs(ids.shape[1])
    with pytest.raises(UserError, match="the blocks of this model have embeddings of the tokens"):
        model.layers[0](x, *inputs[0], None)
    with pytest.raises(UserError, match="layer 3 attends to the keys of layer 1, so it cannot be computed alone"):
        model.layers[3](x, *inputs[3], None)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"key_sharing": KeySharing(num_layers=4)}, "model.key_sharing.num_layers=4 must be less than"),
        ({"key_sharing": KeySharing(num_layers=3)}, "leaves no layer of type full_attention whose keys could be shared"),
        ({"full_layers": FullLayers(num_key_value_heads=3)}, "model.full_layers.num_key_value_heads=3 does not divide"),
        ({"full_layers": FullLayers(head_dim=15)}, "model.full_layers.head_dim=15 must be even"),
        ({"rope_local_theta": 0.0}, "model.full_layers.head_dim is set, but model.rope_local_theta=0"),
        ({"vocab_size": 41}, "model.per_layer_embedding.vocab_size=40 must be at least model.vocab_size=41"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, object], error: str) -> None:
    with pytest.raises(UserError, match=error):
        TransformerConfig(**vars(CONFIG) | change).check()
