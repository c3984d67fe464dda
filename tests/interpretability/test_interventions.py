"""Interventions against what they say, and draws of random others."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.interpretability.interventions import (
    ablate_feed_forwards,
    ablate_heads,
    ablate_tokens,
    draw_other_sets,
    draw_others,
    list_heads,
    replace_activations,
)
from tests.tiny import GPT2, tiny_config, tiny_model

IDS = torch.arange(24).view(2, 12)


@torch.no_grad()
def test_ablated_heads_read_nothing_or_the_mean_or_another_text() -> None:
    model = tiny_model()
    name = "blocks.1.attn.hook_z"
    _, other = model.run_with_cache(IDS.flip(1), name)
    _, z = model.run_with_cache(IDS, name)
    expected = {"zero": torch.zeros(2, 12, 8), "mean": z[name][:, :, 2].mean(1, keepdim=True), "other": other[name][:, :, 2]}
    for kind, values in expected.items():
        source = other if kind == "other" else kind
        seen: dict[str, torch.Tensor] = {}
        hooks = ablate_heads([(1, 2)], source)
        model.run_with_hooks(IDS, [*hooks, (name, lambda value, point, seen=seen: seen.update(z=value))])
        torch.testing.assert_close(seen["z"][:, :, 2], values.expand(2, 12, 8))
        assert torch.equal(seen["z"][:, :, [0, 1, 3]], z[name][:, :, [0, 1, 3]])


@torch.no_grad()
def test_ablating_all_attention_and_feed_forwards_leaves_the_embedding() -> None:
    model = tiny_model()
    hooks = ablate_heads(list_heads(model.config), "zero") + ablate_feed_forwards(range(2), "zero")
    torch.testing.assert_close(model.run_with_hooks(IDS, hooks), model.logits(model.norm(model.embed(IDS))))


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, GPT2], ids=["rotary", "learned"])
def test_patched_tokens_give_the_other_prompt_its_answer(settings: dict[str, object]) -> None:
    model, other_ids = tiny_model(**settings), IDS.clone()
    other_ids[:, 3] = 90
    logits, cache = model.run_with_cache(other_ids)
    for name in ("hook_embed", "blocks.0.hook_resid_pre"):
        hooks = replace_activations(name, cache, tokens=[3])
        torch.testing.assert_close(model.run_with_hooks(IDS, hooks), logits)
    assert torch.equal(model.run_with_hooks(IDS, replace_activations("hook_embed", cache, tokens=[])), model(IDS))
    single = {"hook_embed": cache["hook_embed"][:1, 3:4]}
    torch.testing.assert_close(model.run_with_hooks(IDS, ablate_tokens([-9], single)), logits)


@torch.no_grad()
def test_a_pattern_of_zeros_stops_a_query() -> None:
    model, names = tiny_model(), ["blocks.0.attn.hook_pattern", "blocks.0.attn.hook_z"]
    hooks = replace_activations(names[0], "zero", tokens=[5], heads=[1])
    seen: dict[str, torch.Tensor] = {}
    model.run_with_hooks(IDS, [*hooks, (names[1], lambda value, point: seen.update(z=value))])
    assert not seen["z"][:, 5, 1].any()
    assert seen["z"][:, 5, 0].any() and seen["z"][:, 4, 1].any()


def test_gradients_pass_what_stays() -> None:
    model, embedded = tiny_model(), []
    hooks = [("hook_embed", lambda value, point: embedded.append(value) or value.retain_grad()), *ablate_tokens([4])]
    model.run_with_hooks(IDS, hooks).square().sum().backward()
    gradient = embedded[0].grad
    assert not gradient[:, 4].any() and gradient[:, [3, 5]].any(-1).all()


def test_errors_name_the_remedy() -> None:
    model = tiny_model()
    _, short = model.run_with_cache(IDS[:, :5])
    with pytest.raises(UserError, match=r"no head at blocks.1.attn.hook_z with the number 4: use 0 to 3"):
        model.run_with_hooks(IDS, ablate_heads([(1, 4)]))
    with pytest.raises(UserError, match="no position at hook_embed with the number 12: use 0 to 11"):
        model.run_with_hooks(IDS, ablate_tokens([12]))
    with pytest.raises(UserError, match="two texts with the same number of tokens"):
        model.run_with_hooks(IDS, ablate_heads([(0, 0)], short))
    with pytest.raises(UserError, match=r"no hook point 'blocks.7.attn.hook_z'"):
        model.run_with_hooks(IDS, ablate_heads([(7, 0)]))
    with pytest.raises(UserError, match=r"kept no blocks.0.attn.hook_result: add it to its names_filter"):
        replace_activations("blocks.0.attn.hook_result", short)
    with pytest.raises(UserError, match="source='zeros' is not supported: use 'mean', 'zero' or the cache of another run"):
        ablate_tokens([0], "zeros")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="hook_embed has no heads"):
        replace_activations("hook_embed", "zero", heads=[0])
    with pytest.raises(UserError, match="attend to later ones"):
        replace_activations("blocks.0.attn.hook_pattern", "mean")


def test_others_are_different_and_never_the_subject() -> None:
    heads = list_heads(tiny_config())
    others = draw_others((0, 1), heads, 5, seed=1)
    assert len(set(others)) == 5 and (0, 1) not in others and others == draw_others((0, 1), heads, 5, seed=1)
    assert sorted(draw_others((0, 1), heads, 19, seed=1)) == sorted(set(heads) - {(0, 1)})
    sets = draw_other_sets([(0, 1), (1, 1)], heads, 14, seed=1)
    assert len(set(sets)) == 14 and all(len(set(pair)) == 2 and not {(0, 1), (1, 1)} & set(pair) for pair in sets)
    assert len(draw_other_sets([(0, 1), (1, 1)], heads, 19, seed=1)) == 15
