"""Hook points against forward hooks of torch and the formulas, for the settings of every family."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.inference.kv_cache import KVCache
from lmcraft.model.feedforward import FeedForward
from lmcraft.model.frozen_linear import FrozenLinear
from lmcraft.model.hooks import HookPoint, Hooks, hook_names
from lmcraft.model.lora_linear import LoraLinear
from lmcraft.model.transformer import Transformer
from tests.model.hook_reference import compute
from tests.tiny import GPT2, tiny_config, tiny_model

LAYERNORM = {"norm": "layernorm", "qk_norm": False, "attention_bias": "all", "mlp_bias": True, "num_key_value_heads": 4}
NEOX: dict[str, Any] = {**LAYERNORM, "parallel_residual": True, "feed_forward": "gelu", "partial_rotary_factor": 0.5}
WINDOW: dict[str, Any] = {"sliding_window": 5, "layer_types": ("sliding_attention", "full_attention")}
GEMMA3: dict[str, Any] = {**WINDOW, "norm": "gemma_rmsnorm", "norm_placement": "both", "feed_forward": "geglu_tanh"}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "mlp_only_layers": (0,)}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "gpt_neox": NEOX,
    "llama": {"qk_norm": False, "tie_word_embeddings": False},
    "mistral": {"qk_norm": False, "sliding_window": 5},
    "qwen2": {"qk_norm": False, "attention_bias": "qkv"},
    "qwen3": {},
    "qwen3_moe": EXPERTS,
    "gemma3": {**GEMMA3, "scale_embeddings": True, "query_pre_attn_scalar": 24.0, "rope_local_theta": 500.0},
    "olmo2": {"norm_placement": "after", "qk_norm_over": "projection"},
    "phi3": {"qk_norm": False, "partial_rotary_factor": 0.5, **WINDOW},
    "lmcraft": {"feed_forward": "relu2", "scale_embeddings": True, "position": "learned"},
}
IDS = torch.arange(24).view(2, 12) * 7 % 96


def clear(activation: Tensor, point: HookPoint) -> None:
    """In place."""
    activation.zero_()


each_family = pytest.mark.parametrize("family", FAMILIES)


@each_family
@torch.no_grad()
def test_activations_are_those_of_the_formulas(family: str) -> None:
    model = tiny_model(**FAMILIES[family])
    expected: dict[str, Tensor] = {}
    expected_logits = compute(model, IDS, lambda name, value: expected.setdefault(name, value))
    logits, cache = model.run_with_cache(IDS, lambda name: True)
    assert list(expected) == hook_names(model.config) or sorted(expected) == sorted(hook_names(model.config))
    assert sorted(cache) == sorted(expected)
    torch.testing.assert_close(logits, expected_logits, atol=1e-5, rtol=1e-4)
    for name, value in expected.items():
        torch.testing.assert_close(cache[name], value, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


@each_family
@torch.no_grad()
def test_replacing_at_each_point_does_what_the_formulas_say(family: str) -> None:
    model = tiny_model(**FAMILIES[family])
    logits = model(IDS)
    for name in hook_names(model.config):
        same = model.run_with_hooks(IDS, [(name, lambda value, point: value)])
        is_same_code = name.rpartition("_")[2] not in ("scores", "pattern", "result")
        torch.testing.assert_close(same, logits, rtol=0 if is_same_code else 1e-4, atol=0 if is_same_code else 1e-5)
        zeros = model.run_with_hooks(IDS, [(name, lambda value, point: torch.zeros_like(value))])
        in_place = model.run_with_hooks(IDS, [(name, clear)])
        replace = lambda at, value, name=name: torch.zeros_like(value) if at == name else value  # noqa: E731
        torch.testing.assert_close(
            zeros, compute(model, IDS, replace), atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
        assert torch.equal(in_place, zeros), name


@each_family
@torch.no_grad()
def test_points_agree_with_forward_hooks_of_torch(family: str) -> None:
    model = tiny_model(**FAMILIES[family])
    with _recorded(model) as recorded:
        logits = model(IDS)
    _, cache = model.run_with_cache(IDS)
    assert len(recorded) >= 1 + 9 * 2
    for name, value in recorded.items():
        assert torch.equal(cache[name], value.view_as(cache[name])), name
    assert torch.equal(model.run_with_hooks(IDS), logits)


@contextmanager
def _recorded(model: Transformer) -> Iterator[dict[str, Tensor]]:
    """The activations that forward hooks of torch see, by the names of the points."""
    recorded: dict[str, Tensor] = {}
    handles = []

    def record_output(name: str, module: nn.Module) -> None:
        handles.append(module.register_forward_hook(lambda _, inputs, output: recorded.update({name: output})))

    def record_input(name: str, module: nn.Module) -> None:
        handles.append(module.register_forward_hook(lambda _, inputs, output: recorded.update({name: inputs[0]})))

    config = model.config
    if config.position == "learned" or not config.scale_embeddings:
        record_output("hook_embed", model.embed_tokens)
    record_output("ln_final.hook_normalized", model.norm)
    for number, block in enumerate(model.layers):
        at = f"blocks.{number}."
        record_input(f"{at}hook_resid_pre", block)
        record_output(f"{at}hook_resid_post", block)
        record_output(f"{at}ln1.hook_normalized", block.attention_norm)
        record_output(f"{at}ln2.hook_normalized", block.feed_forward_norm)
        record_output(f"{at}hook_attn_out", block.attention_post_norm)
        record_output(f"{at}hook_mlp_out", block.feed_forward_post_norm)
        if not config.parallel_residual:
            record_input(f"{at}hook_resid_mid", block.feed_forward_norm)
        for part in "qkv":
            record_output(f"{at}attn.hook_{part}", getattr(block.attention, f"{part}_proj"))
        record_input(f"{at}attn.hook_z", block.attention.o_proj)
        if isinstance(feed_forward := block.feed_forward, FeedForward):
            record_input(f"{at}mlp.hook_post", feed_forward.down_proj)
            record_output(f"{at}mlp.hook_pre", feed_forward.gate_proj or feed_forward.up_proj)
            if feed_forward.gate_proj is not None:
                record_output(f"{at}mlp.hook_pre_linear", feed_forward.up_proj)
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("family", ["gpt2", "qwen3", "gpt_neox", "gemma3"])
def test_gradients_flow_through_every_point(family: str) -> None:
    model, ids = tiny_model(**FAMILIES[family]).double(), IDS[:1, :6]
    model.compute_dtype = torch.float64
    _, cache = model.run_with_cache(ids, lambda name: True)
    for name, value in cache.items():
        direction = torch.randn_like(value).masked_fill(value.isinf(), 0.0)
        kept: list[Tensor] = []

        def loss(step: float, name: str = name, direction: Tensor = direction, kept: list[Tensor] = kept) -> Tensor:
            def move(activation: Tensor, point: HookPoint) -> Tensor:
                kept.append(activation + step * direction)
                return kept[-1]

            return model.run_with_hooks(ids, [(name, move)]).logsumexp(-1).square().mean()

        (gradient,) = torch.autograd.grad(loss(0.0), kept[-1:])
        difference = (loss(1e-5) - loss(-1e-5)) / 2e-5
        torch.testing.assert_close((gradient * direction).sum(), difference, atol=1e-8, rtol=1e-5)


def test_reading_changes_no_gradient_of_the_weights() -> None:
    gradients = []
    model = tiny_model()
    for model.checkpointing in (False, True):
        for hooks in (None, Hooks(model.config, [(lambda name: "result" not in name, lambda value, point: None)])):
            model.zero_grad()
            model(IDS, hooks=hooks).square().mean().backward()
            gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_documents_and_windows_are_seen_in_the_patterns() -> None:
    model = tiny_model(**GEMMA3)
    documents = torch.tensor([[0] * 5 + [1] * 7]).expand(2, 12)
    logits, packed = model.run_with_cache(IDS, document_ids=documents)
    _, alone = model.run_with_cache(IDS[:, 5:])
    torch.testing.assert_close(logits, model(IDS, document_ids=documents))
    for name, value in alone.items():
        if name.endswith(("pattern", "scores")):
            torch.testing.assert_close(packed[name][:, :, 5:, 5:], value, atol=1e-5, rtol=1e-4)
        elif "rot" not in name:  # rotary positions go on over documents
            torch.testing.assert_close(packed[name][:, 5:], value, atol=1e-5, rtol=1e-4)
    assert not packed["blocks.1.attn.hook_pattern"][:, :, 5:, :5].any()
    _, whole = model.run_with_cache(IDS)
    distances = torch.arange(12)[:, None] - torch.arange(12)
    for layer, window in ((0, 5), (1, 12)):
        seen = whole[f"blocks.{layer}.attn.hook_pattern"] > 0
        assert torch.equal(seen, ((distances >= 0) & (distances < window)).expand_as(seen))


@pytest.mark.parametrize("kind", ["lora", "dora", "8 bits", "4 bits", "lora on 4 bits"])
def test_adapted_and_quantized_layers_have_the_same_points(kind: str) -> None:
    model = tiny_model(**GPT2)
    for name, layer in [*model.named_modules()]:
        if name.endswith("_proj"):
            if "bits" in kind and layer.in_features % 32 == 0:
                layer = FrozenLinear(layer, 8 if kind == "8 bits" else 4)
            if "o" in kind:
                layer = LoraLinear(layer, 2, 0.5, dora=kind == "dora")
                nn.init.normal_(layer.lora_B)
            model.set_submodule(name, layer)
    logits, cache = model.run_with_cache(IDS, lambda name: True)
    torch.testing.assert_close(logits, model(IDS), atol=1e-4, rtol=1e-4)
    plain, _ = model.run_with_cache(IDS, "blocks.1.hook_attn_out")
    torch.testing.assert_close(plain, logits, atol=1e-4, rtol=1e-4)
    result = cache["blocks.1.attn.hook_result"].sum(2)
    bias = model.layers[1].attention.o_proj(torch.zeros(32))
    torch.testing.assert_close(result + bias, cache["blocks.1.hook_attn_out"], atol=1e-4, rtol=1e-4)
    logits.sum().backward()


@torch.no_grad()
def test_activations_of_bfloat16_models_are_close_to_those_of_float32() -> None:
    model = tiny_model()
    _, exact = model.run_with_cache(IDS, lambda name: True)
    model.compute_dtype = torch.bfloat16
    logits, cache = model.run_with_cache(IDS, lambda name: True)
    assert logits.dtype == torch.bfloat16
    for name, value in cache.items():
        assert value.dtype == (torch.float32 if name.endswith(("scores", "pattern")) else torch.bfloat16)
        finite = exact[name].isfinite()
        assert (value.float() - exact[name])[finite].norm() < 0.05 * exact[name][finite].norm(), name
    same = model.run_with_hooks(IDS, [(lambda name: True, lambda value, point: value.float())])
    torch.testing.assert_close(same, logits, atol=0, rtol=0)


@torch.no_grad()
def test_tokens_after_a_cache_have_the_activations_of_the_whole_text() -> None:
    model = tiny_model(**WINDOW)
    _, whole = model.run_with_cache(IDS)
    cached, rows = KVCache(model.config), {}
    model(IDS[:, :9], cache=cached)
    keep = Hooks(model.config, [(list(whole), lambda value, point: rows.update({point.name: value}))])
    model(IDS[:, 9:], cache=cached, hooks=keep)
    for name, value in whole.items():
        last = value[:, :, 9:] if name.endswith(("scores", "pattern")) else value[:, 9:]
        torch.testing.assert_close(rows[name], last, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_threads_do_not_see_each_other_s_hooks() -> None:
    model, unequal = tiny_model(), []
    hooks = [("blocks.0.hook_attn_out", clear)]
    logits, zeros = model(IDS), model.run_with_hooks(IDS, hooks)

    def repeat(forward: Callable[[], Tensor], expected: Tensor) -> None:
        with torch.no_grad():
            unequal.extend(1 for _ in range(50) if not torch.equal(forward(), expected))

    threads = [Thread(target=repeat, args=(lambda: model(IDS), logits)) for _ in range(2)]
    threads += [Thread(target=repeat, args=(lambda: model.run_with_hooks(IDS, hooks), zeros)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not unequal


@torch.no_grad()
def test_functions_at_one_point_run_in_order_and_the_cache_keeps_what_they_leave() -> None:
    model, name = tiny_model(), "blocks.0.hook_resid_post"
    hooks = [(name, clear), (name, lambda value, point: value + 1)]
    _, cache = model.run_with_cache(IDS, [name, "blocks.1.hook_resid_pre"], fwd_hooks=hooks)
    assert list(cache) == [name, "blocks.1.hook_resid_pre"]
    assert (cache[name] == 1).all() and (cache["blocks.1.hook_resid_pre"] == 1).all()
    cache[name].zero_()
    assert (cache["blocks.1.hook_resid_pre"] == 1).all()


@torch.no_grad()
def test_a_module_of_the_callers_takes_the_hook_only_where_hooks_are_used() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    model = tiny_model()
    model.layers[0].feed_forward = Half()
    assert model(IDS).isfinite().all()


def test_errors_name_the_remedy() -> None:
    model = tiny_model()
    with pytest.raises(UserError, match=r"no hook point 'blocks\.0\.hook_atn_out': did you mean 'blocks\.0\.hook_attn_out'"):
        model.run_with_cache(IDS, "blocks.0.hook_atn_out")
    with pytest.raises(UserError, match="fwd_hooks has 'hook_embed': give a list of pairs"):
        model.run_with_hooks(IDS, ("hook_embed", clear))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"'x': hook_names\(model\.config\) lists them"):
        model.run_with_hooks(IDS, [(["hook_embed", "x"], lambda value, point: None)])
    with pytest.raises(
        UserError, match=r"returned the shape \(2, 12\): return a tensor of the shape \(2, 12, 32\), or None"
    ):
        model.run_with_hooks(IDS, [("hook_embed", lambda value, point: value[..., 0])])
    with pytest.raises(UserError, match="at hook_embed returned a float: return a tensor"):
        model.run_with_hooks(IDS, [("hook_embed", lambda value, point: 0.0)])  # type: ignore[arg-type]
    model.use_attention(lambda q, k, v, mask, scale, dropout: q)
    with pytest.raises(UserError, match="attention is a function of your own"):
        model.run_with_cache(IDS)
    assert model.run_with_cache(IDS, "blocks.0.attn.hook_z")[1]


def test_the_documentation_lists_every_point() -> None:
    page = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([^`]*hook_[^`]*)` \| \(B", page, re.MULTILINE)
    names = {
        re.sub(r"blocks\.\d+", "blocks.{l}", name)
        for settings in FAMILIES.values()
        for name in hook_names(tiny_config(**settings))
    }
    assert sorted(documented) == sorted(names)


def test_points_know_their_layer() -> None:
    assert HookPoint("blocks.11.attn.hook_z").layer() == 11
    with pytest.raises(ValueError, match="hook_embed is not in a block"):
        HookPoint("hook_embed").layer()
    assert len(hook_names(tiny_config())) == 2 + 2 * 19
