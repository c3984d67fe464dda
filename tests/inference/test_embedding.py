import pytest
import torch

from lmcraft.inference.embedding import embed
from lmcraft.inference.engine import Engine
from tests.inference.helpers import network


def test_an_embedding_is_the_direction_of_the_mean_hidden_state() -> None:
    engine = Engine(network(), tier="eager")
    vector = torch.tensor(embed(engine, [5, 6, 7]))
    with torch.no_grad():
        mean = engine.model.hidden_states(torch.tensor([[5, 6, 7]]))[0].mean(dim=0)
    assert float(vector.norm()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(vector, mean / mean.norm(), atol=1e-5, rtol=1e-4)
