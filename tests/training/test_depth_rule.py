"""The depth rule: sizes, rates and lengths that follow from the depth."""

from dataclasses import replace
from typing import Literal

import pytest
import torch

from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer
from lmcraft.training import depth_rule
from lmcraft.training.config import OptimizerConfig, TrainConfig


@pytest.mark.parametrize(
    ("depth", "width", "heads", "kv_heads", "inner", "length"),
    [(1, 64, 1, 1, 192, 256), (4, 256, 4, 4, 704, 256), (12, 768, 12, 6, 2048, 1024), (40, 2560, 40, 20, 6848, 2048)],
)
def test_sizes_follow_from_the_depth(depth: int, width: int, heads: int, kv_heads: int, inner: int, length: int) -> None:
    assert depth_rule.sequence_length_for(depth) == length
    model = depth_rule.resolve_model(TransformerConfig(), depth, 1000, length)
    assert (model.num_hidden_layers, model.hidden_size, model.head_dim) == (depth, width, 64)
    assert (model.num_attention_heads, model.num_key_value_heads, model.intermediate_size) == (heads, kv_heads, inner)
    assert (model.vocab_size, model.max_position_embeddings) == (1000, length)
    model.check()


def test_explicit_sizes_are_kept() -> None:
    sizes = TransformerConfig(hidden_size=96, num_attention_heads=3, intermediate_size=100, vocab_size=2000)
    model = depth_rule.resolve_model(sizes, 2, 1000, 64)
    assert (model.hidden_size, model.num_attention_heads, model.head_dim) == (96, 3, 32)
    assert (model.intermediate_size, model.vocab_size) == (100, 2000)


def test_a_wide_model_has_the_proportions_of_its_base_width() -> None:
    base, wide = (depth_rule.resolve_model(TransformerConfig(hidden_size=width), 2, 1000, 64, 32) for width in (32, 256))
    assert (base.head_dim, base.num_attention_heads, base.intermediate_size) == (32, 1, 128)
    assert (wide.head_dim, wide.num_attention_heads, wide.intermediate_size) == (32, 8, 1024)
    sizes = TransformerConfig(hidden_size=256, num_attention_heads=4, intermediate_size=100)
    explicit = depth_rule.resolve_model(sizes, 2, 1000, 64, 32)
    assert (explicit.head_dim, explicit.intermediate_size) == (64, 100)


@pytest.mark.parametrize("width", [8, 32, 64, 96, 130, 191, 200, 511, 640, 1000, 1280, 6463])
@pytest.mark.parametrize("feed_forward", ["swiglu", "gelu"])
def test_sizes_at_the_base_width_are_those_without_one(width: int, feed_forward: Literal["swiglu", "gelu"]) -> None:
    sizes = TransformerConfig(hidden_size=width, feed_forward=feed_forward)
    assert depth_rule.resolve_model(sizes, 2, 9, 8, width) == depth_rule.resolve_model(sizes, 2, 9, 8)


def test_adam_rates_fall_with_width_and_muon_rates_do_not() -> None:
    narrow, wide = (depth_rule.resolve_optimizer(OptimizerConfig(), width) for width in (256, 1024))
    assert narrow.learning_rate == wide.learning_rate == 0.02
    assert wide.embedding_learning_rate == pytest.approx(narrow.embedding_learning_rate / 2)
    assert depth_rule.resolve_optimizer(OptimizerConfig(name="sgd"), 256).scalar_learning_rate == 0.1
    single = depth_rule.resolve_optimizer(OptimizerConfig(name="adamw", learning_rate=0.5), 1024)
    assert single.learning_rate == single.embedding_learning_rate == single.head_learning_rate == 0.5
    assert depth_rule.resolve_optimizer(OptimizerConfig(head_learning_rate=0.7), 256).head_learning_rate == 0.7


@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": False}, {"feed_forward": "gelu"}])
def test_parameters_are_counted_from_the_sizes(settings: dict[str, object]) -> None:
    config = depth_rule.resolve_model(replace(TransformerConfig(), **settings), 3, 500, 64)  # type: ignore[arg-type]
    with torch.device("meta"):
        model = Transformer(config)
    assert depth_rule.count_parameters(config) == sum(p.numel() for p in model.parameters() if p.ndim == 2)
    assert depth_rule.optimal_tokens(config) == 20 * depth_rule.count_parameters(config)


def test_batch_steps_and_intervals_follow_from_the_tokens() -> None:
    config = depth_rule.resolve_length(TrainConfig(), 256, 2**20)
    assert config.batch_size == 2**12 // 256 and config.max_steps == 2**20 // 2**12
    assert (config.eval_every, config.save_every, config.sample_every) == (13, 13, 52)
    assert config.eval_tokens == max(depth_rule.MIN_EVAL_TOKENS, int(0.15 * 13 * 2**12))
    fixed = TrainConfig(batch_size=3, max_steps=7, eval_every=2, eval_tokens=5, save_every=4, sample_every=6)
    assert depth_rule.resolve_length(fixed, 256, 2**20) == fixed
    assert depth_rule.resolve_length(TrainConfig(), 256, 1).max_steps == 1
