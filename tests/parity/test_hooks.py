"""Hook points against transformers' hidden states and attentions, on tiny models of every family."""

from pathlib import Path

import pytest
import torch

from lmcraft.model.storage import load_model
from tests.parity.cases import build
from tests.parity.cases.earlier import CASES


@pytest.mark.parametrize("name", CASES)
@torch.inference_mode()
def test_hidden_states_and_attentions_agree(name: str, tmp_path: Path) -> None:
    model = build(name)
    model.save_pretrained(tmp_path)
    model.set_attn_implementation("eager")
    ours, ids = load_model(tmp_path), torch.randint(0, 99, (2, 40))
    expected = model(ids, output_hidden_states=True, output_attentions=True)
    logits, cache = ours.run_with_cache(ids)
    blocks = range(ours.config.num_hidden_layers)
    states = [*(cache[f"blocks.{number}.hook_resid_pre"] for number in blocks), cache["ln_final.hook_normalized"]]
    patterns = [cache[f"blocks.{number}.attn.hook_pattern"] for number in blocks]
    for values, theirs_values in ((states, expected.hidden_states), (patterns, expected.attentions)):
        for value, their_value in zip(values, theirs_values, strict=True):
            torch.testing.assert_close(value, their_value, atol=3e-5, rtol=1e-4)
    torch.testing.assert_close(logits, expected.logits, atol=3e-5, rtol=1e-4)
