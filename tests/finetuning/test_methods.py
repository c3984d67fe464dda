"""The weights that each method trains, and their learning rates."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig, FinetuneOptimizerConfig, MethodConfig
from lmcraft.finetuning.head import add_head
from lmcraft.finetuning.methods import set_trainable_weights, trained_groups, trained_state
from lmcraft.model.transformer import Transformer
from lmcraft.training.optimizer import Optimizer
from tests.tiny import tiny_model

BLOCKS = 4
CONFIG = FinetuneConfig("base", (), optimizer=FinetuneOptimizerConfig(learning_rate=0.1)).resolved()


def build_model(*, head: bool = False, **settings: Any) -> Transformer:
    model = tiny_model(num_hidden_layers=BLOCKS, **settings)
    if head:
        add_head(model, 3)
    return model


def trained_names(model: Transformer, **settings: Any) -> set[str]:
    set_trainable_weights(model, MethodConfig(**settings))
    return {name for name, p in model.named_parameters() if p.requires_grad}


EXPECTED: dict[str, Callable[[str], bool]] = {
    "full": lambda name: True,
    "last": lambda name: name.startswith(("layers.2.", "layers.3.", "norm.")),
    "head": lambda name: name == "lm_head.weight",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_method_trains_its_weights(name: str) -> None:
    model = build_model(tie_word_embeddings=False)
    everything = {key for key, _ in model.named_parameters()}
    assert trained_names(model, name=name) == {key for key in everything if EXPECTED[name](key)}
    assert trained_state(model).keys() == {key for key in everything if EXPECTED[name](key)}


@pytest.mark.parametrize("name", ["lora", "dora", "last", "head", "full"])
def test_a_classifiers_head_is_trained_by_every_method(name: str) -> None:
    model = build_model(head=True)
    names = trained_names(model, name=name, rank=2)
    assert "score.weight" in names and "score.lora_A" not in names
    assert name != "head" or names == {"score.weight"}
    assert name not in ("lora", "dora") or all("lora_" in key or "magnitude" in key for key in names - {"score.weight"})


def test_only_the_target_modules_are_adapted() -> None:
    names = trained_names(build_model(), target_modules=("q_proj", "down_proj"), rank=2)
    assert {name.split(".")[3] for name in names} == {"q_proj", "down_proj"} and len(names) == 2 * 2 * BLOCKS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "head"}, "method.name=head: this model has no separate head"),
        ({"name": "last", "last_layers": 5}, "method.last_layers=5 is more than the model's 4 blocks"),
        ({"name": "last", "last_layers": 0}, "method.last_layers=0"),
        ({"rank": 0}, "method.rank=0"),
        ({"layer_decay": 0.0}, "method.layer_decay=0"),
        ({"layer_decay": 1.5}, "method.layer_decay=1.5"),
        ({"name": "full", "base_weights": "int4"}, "method.base_weights=int4 needs frozen weights"),
    ],
)
def test_impossible_methods_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        set_trainable_weights(build_model(), MethodConfig(**settings))


def rates(model: Transformer, method: MethodConfig) -> dict[str, float]:
    groups = trained_groups(model, CONFIG.optimizer, method)
    rate_of = {id(p): group.lr for group in groups for p in group.params}
    return {name: rate_of[id(p)] for name, p in model.named_parameters() if id(p) in rate_of}


def test_rates_decay_from_the_top_block_by_block() -> None:
    model, method = build_model(head=True, tie_word_embeddings=False), MethodConfig(name="full", layer_decay=0.5)
    set_trainable_weights(model, method)
    rates_by_name = rates(model, method)
    assert rates_by_name.keys() == {name for name, _ in model.named_parameters()} - {"lm_head.weight"}  # no loss needs it
    distances = {"score": 0, "norm": 0, "embed_tokens": BLOCKS + 1}
    for name, rate in rates_by_name.items():
        part, _, suffix = name.partition(".")
        distance = BLOCKS - int(suffix.partition(".")[0]) if part == "layers" else distances[part]
        assert rate == pytest.approx(0.1 * 0.5**distance), name


def test_without_decay_every_weight_has_the_same_rate() -> None:
    for name in ("lora", "full", "last"):
        model, method = build_model(), MethodConfig(name=name, rank=2)  # type: ignore[arg-type]
        set_trainable_weights(model, method)
        rates_by_name = rates(model, method)
        assert set(rates_by_name.values()) == {0.1}
        assert rates_by_name.keys() == {key for key, p in model.named_parameters() if p.requires_grad}


def test_a_step_changes_trained_weights_only() -> None:
    for name in ("lora", "dora", "full", "last", "head"):
        model, method = build_model(tie_word_embeddings=False), MethodConfig(name=name, rank=2)  # type: ignore[arg-type]
        set_trainable_weights(model, method)
        before = {key: p.detach().clone() for key, p in model.named_parameters()}
        optimizer = Optimizer(model, CONFIG.optimizer, torch.float32, trained_groups(model, CONFIG.optimizer, method))
        for _ in range(2):
            model(torch.randint(0, 96, (2, 8))).square().sum().backward()
            optimizer.step(1.0)
        for key, p in model.named_parameters():
            assert torch.equal(p, before[key]) != p.requires_grad, (name, key)


def test_a_method_has_its_usual_rate_and_one_for_all_groups() -> None:
    for name, rate in (("lora", 2e-4), ("full", 2e-5), ("last", 5e-5), ("head", 1e-3)):
        method = MethodConfig(name=name)  # type: ignore[arg-type]
        rates_by_name = replace(CONFIG, optimizer=FinetuneOptimizerConfig(), method=method).resolved().optimizer
        assert (
            rates_by_name.learning_rate
            == rates_by_name.embedding_learning_rate
            == rates_by_name.scalar_learning_rate
            == rate
        )
        explicit = replace(CONFIG, optimizer=FinetuneOptimizerConfig(learning_rate=0.5), method=method).resolved().optimizer
        assert explicit.learning_rate == explicit.head_learning_rate == 0.5
