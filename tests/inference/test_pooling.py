"""Hidden states of prompts as one vector."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.inference.engine import Engine
from lmcraft.inference.pooling import copy_pooling, read_pooling
from lmcraft.inference.request import Request
from tests.inference.helpers import TIERS, network, prompt, run

pytestmark = pytest.mark.usefixtures("short_chunks")


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("length", [1, 32, 100])
def test_the_vector_is_that_of_the_whole_text(length: int, tier: Any, pooling: Any) -> None:
    engine, ids = Engine(network(), tier=tier), prompt(length)
    sequences = [engine.submit(Request(prompt_ids=ids, pooling=pooling, generates=False)) for _ in range(2)]
    engine.step()
    if length == 100:
        engine.scheduler._preempt(sequences[0])  # its tokens are computed again, and counted once
    list(run(engine))
    with torch.no_grad():
        hidden_TC = engine.model.hidden_states(torch.tensor([ids]))[0]
    expected = hidden_TC.mean(dim=0) if pooling == "mean" else hidden_TC[-1 if pooling == "last" else 0]
    for sequence in sequences:
        assert sequence.pooled is not None and sequence.finished
        torch.testing.assert_close(sequence.pooled.vector, expected, atol=1e-4, rtol=1e-4)
    assert engine.pool.num_free_blocks == engine.pool.num_blocks


@pytest.mark.parametrize(("mode", "pooling"), [("cls_token", "first"), ("lasttoken", "last"), ("mean_tokens", "mean")])
def test_a_folder_says_how_its_embeddings_are_pooled(mode: str, pooling: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "1_Pooling").mkdir(parents=True)
    target.mkdir()
    copy_pooling(target, source)  # which has nothing to copy
    (source / "1_Pooling/config.json").write_text(f'{{"pooling_mode_{mode}": true, "pooling_mode_max_tokens": false}}')
    (source / "modules.json").write_text("[]")
    copy_pooling(source, target)
    assert (target / "modules.json").read_text() == "[]"  # which makes sentence-transformers read the other file
    assert read_pooling(target) == pooling and read_pooling(tmp_path) == read_pooling(None) == "mean"


@pytest.mark.parametrize("modes", ["{}", '{"pooling_mode_max_tokens": true}', '{"pooling_mode_mean_tokens": 1}', "[]", "{"])
def test_other_poolings_are_refused(modes: str, tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text(modes)
    with pytest.raises(UserError, match=r"config\.json'"):
        read_pooling(tmp_path)
