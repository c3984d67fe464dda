"""Hidden states of prompts as one vector."""

from typing import Any

import pytest
import torch

from lmcraft.inference.engine import Engine
from lmcraft.inference.request import Request
from tests.inference.helpers import TIERS, network, prompt, run

pytestmark = pytest.mark.usefixtures("short_chunks")


@pytest.mark.parametrize("pooling", ["mean", "last"])
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
    expected = hidden_TC.mean(dim=0) if pooling == "mean" else hidden_TC[-1]
    for sequence in sequences:
        assert sequence.pooled is not None and sequence.finished
        torch.testing.assert_close(sequence.pooled.vector, expected, atol=1e-4, rtol=1e-4)
    assert engine.pool.num_free_blocks == engine.pool.num_blocks
