"""The choice of the tier, and the contract of every runner."""

from typing import Any

import pytest
import torch

from lmcraft.cpp.library import BuildError
from lmcraft.errors import UserError
from lmcraft.inference.block_pool import BlockTable
from lmcraft.inference.native import decoder
from lmcraft.inference.prompt_chunk import PromptChunk
from lmcraft.inference.runner import (
    DEFAULT_CACHE_TOKENS,
    _explain_slow_tier,
    build_runner,
    default_cache_tokens,
    stored_weights,
)
from tests.inference.helpers import NATIVE_ONLY, TIERS, network, prompt, request_of, sequence_of
from tests.tiny import tiny_model


def test_an_unsupported_model_is_eager_unless_native_is_required() -> None:
    model = tiny_model(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8)
    assert build_runner(model).tier == "eager"
    for settings in ({"tier": "native"}, {"weights": "int8"}):
        with pytest.raises(UserError, match=r"mixture of experts; (use tier=.auto.|leave out weights=int8, and)"):
            build_runner(model, **settings)  # type: ignore[arg-type]
    assert build_runner(model, tier="eager", weights="int8").tier == "eager"


def test_without_a_compiler_pytorch_decodes_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise BuildError("there is no C++ compiler (pip install ziglang brings one)")

    monkeypatch.setattr(decoder, "load_library", fail)
    _explain_slow_tier.cache_clear()
    for _ in range(2):
        assert build_runner(tiny_model()).tier == build_runner(tiny_model(), tier="eager").tier == "eager"
    assert capsys.readouterr().err.count("pip install ziglang") == 1
    with pytest.raises(UserError, match=r"cannot be compiled: .*pip install ziglang"):
        build_runner(tiny_model(), tier="native")


@NATIVE_ONLY
@pytest.mark.parametrize(("weights", "dtype"), [("float32", torch.float32), ("int8", torch.float16)])
def test_the_native_cache_is_as_exact_as_the_weights(weights: Any, dtype: torch.dtype) -> None:
    assert build_runner(network(), weights=weights).pool.dtype == dtype
    assert build_runner(network(), weights=weights, tier="eager").pool.dtype == torch.float32


def test_stored_weights_are_the_nearest_type() -> None:
    model = tiny_model()
    assert stored_weights(model) == "float32"
    model.compute_dtype = torch.bfloat16
    assert stored_weights(model) == "bfloat16"


def test_the_default_cache_has_room_for_one_context() -> None:
    assert default_cache_tokens(tiny_model(), torch.float32) == DEFAULT_CACHE_TOKENS
    long = tiny_model(max_position_embeddings=2 * DEFAULT_CACHE_TOKENS)
    assert default_cache_tokens(long, torch.float32) == 2 * DEFAULT_CACHE_TOKENS


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("weights", ["float32", "int8"])
@torch.inference_mode()
def test_prefill_and_decode_agree(tier: Any, weights: Any) -> None:
    runner = build_runner(network(), tier=tier, weights=weights)
    ids = list(prompt(100))
    whole = BlockTable()
    runner.pool.allocate(whole, 100)
    (scores,) = runner.prefill([PromptChunk(whole, 0, ids, all_rows=True)])
    expected = scores.logits
    sequence = sequence_of(request_of(99))
    runner.pool.allocate(sequence.block_table, 100)
    last = next(runner.prefill([PromptChunk(sequence.block_table, 0, ids[:99])])).logits[-1].clone()
    (first_part,) = runner.prefill([PromptChunk(sequence.block_table, 0, ids[:99], all_rows=True)])
    assert len(first_part.argmax) == len(first_part.logsumexp) == 99 and torch.equal(first_part.logits[-1], last)
    sequence.tokens, sequence.num_computed = ids, 99
    ((decoded, decoded_ids, logits, first_row),) = runner.decode([(sequence, ids[99:])])
    assert (decoded, decoded_ids) == (sequence, ids[99:])
    torch.testing.assert_close(last, expected[98], atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(logits.logits[first_row], expected[99], atol=2e-4, rtol=1e-4)
