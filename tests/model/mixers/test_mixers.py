"""What every recurrent mixer must do: the same text token by token, in chunks and at once; documents as if alone."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.inference.kv_cache import KVCache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.mixers import make_mixer
from lmcraft.model.parts import GatedDelta, Mamba, ShortConv
from tests.parity.cases import assert_close

CONFIG = TransformerConfig(
    vocab_size=99,
    max_position_embeddings=256,
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=6,
    intermediate_size=40,
    layer_types=("linear_attention", "conv", "mamba"),
    gated_delta=GatedDelta(linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=5, linear_value_head_dim=7),
    short_conv=ShortConv(kernel=3, bias=True),
    mamba=Mamba(
        num_heads=6, head_dim=5, state_size=7, n_groups=3, time_step_min=0.1, part_multipliers=(0.5, 0.6, 0.7, 0.8, 0.9)
    ),
)
MAMBA_1 = Mamba(num_heads=30, head_dim=1, state_size=7, conv_kernel=2, time_step_rank=3, part_norm="rmsnorm")
# The configuration and the layer of each mixer.
MIXERS = {name: (CONFIG, layer) for layer, name in enumerate(CONFIG.layer_types)}
MIXERS["mamba-1"] = replace(CONFIG, mamba=MAMBA_1), 2
T = 150


def mixer_of(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    mixer = make_mixer(*MIXERS[name])
    for parameter in mixer.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return mixer


@pytest.mark.parametrize("name", MIXERS)
@torch.inference_mode()
def test_pieces_of_any_size_equal_the_text_at_once(name: str) -> None:
    (config, layer), mixer, x_BTC = MIXERS[name], mixer_of(name), torch.randn(2, T, 24)
    whole = KVCache(config)
    expected = mixer(x_BTC, None, whole)
    torch.testing.assert_close(mixer(x_BTC, None, None), expected, atol=0, rtol=0)
    for sizes in ([1] * T, [1, 2, 7, 64, 1, 75], [100, 50]):
        cache, bounds = KVCache(config), [sum(sizes[:n]) for n in range(len(sizes) + 1)]
        y_BTC = torch.cat([mixer(x_BTC[:, start:stop], None, cache) for start, stop in pairwise(bounds)], dim=1)
        assert_close(y_BTC, expected, 1e-5)
        state, after = cache.state(layer), whole.state(layer)
        assert state is not None and after is not None and cache.length == T
        for part, other, shape in zip(state, after, config.state_shapes(layer), strict=True):
            assert part.shape == (2, *shape) and part.dtype == torch.float32
            assert_close(part, other, 1e-5)


@pytest.mark.parametrize("name", MIXERS)
@torch.inference_mode()
def test_packed_documents_equal_the_documents_alone(name: str) -> None:
    (config, layer), mixer, x_BTC = MIXERS[name], mixer_of(name), torch.randn(1, T, 24)
    bounds = [0, 1, 3, 4, 40, 64, 149, 150]
    begins = torch.zeros(1, T, dtype=torch.bool)
    begins[:, bounds[:-1]] = True
    cache, last = KVCache(config), KVCache(config)
    packed = mixer(x_BTC, begins, cache)
    for start, stop in pairwise(bounds):
        alone = mixer(x_BTC[:, start:stop], None, last if stop == T else None)
        assert_close(packed[:, start:stop], alone, 1e-5)
    state, expected = cache.state(layer), last.state(layer)
    assert state is not None and expected is not None
    for part, other in zip(state, expected, strict=True):
        assert_close(part, other, 1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"gated_delta": GatedDelta(linear_num_key_heads=2)},
            "model.gated_delta.linear_num_value_heads=0 must be at least 1",
        ),
        (
            {"gated_delta": replace(CONFIG.gated_delta, linear_num_key_heads=3)},
            "model.gated_delta.linear_num_key_heads=3 does not divide model.gated_delta.linear_num_value_heads=4",
        ),
        ({"mamba": replace(CONFIG.mamba, time_step_min=0.1, time_step_max=0.05)}, "model.mamba.time_step_min=0.1 must be"),
        ({"mamba": replace(MAMBA_1, head_dim=2)}, "model.mamba.time_step_rank=3 needs heads of width 1"),
        ({"short_conv": ShortConv(kernel=0)}, "model.short_conv.kernel=0 must be at least 1"),
    ],
)
def test_sizes_that_do_not_fit_name_the_setting(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(CONFIG, **settings).check()
