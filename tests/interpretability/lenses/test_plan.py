import pytest
import torch

from lmcraft.interpretability.lenses.plan import FitSettings, Plan


@pytest.mark.parametrize(("prompts", "directions"), [(2, 1), (7, 3), (20, 5), (5, 8), (3, 100)])
def test_each_half_gets_whole_bases(prompts: int, directions: int) -> None:
    plan = Plan(prompts, 8, FitSettings(prompts=prompts, directions=directions))
    totals = torch.zeros(2, 8, 8)
    for batch in plan.batches(3):
        assert all(prompt % 2 == batch.half for prompt in batch.prompts)
        for numbers in batch.directions:
            v = plan.directions_of(batch.half, numbers)
            totals[batch.half] += v.T @ v
    for half in (0, 1):
        torch.testing.assert_close(totals[half], plan.sweeps(half) * torch.eye(8), atol=1e-5, rtol=0)
    assert plan.directions == 8 * (plan.sweeps(0) + plan.sweeps(1))


def test_all_prompts_get_about_as_many_directions() -> None:
    plan = Plan(20, 8, FitSettings(directions=5))
    counts = [len(numbers) for batch in plan.batches(4) for numbers in batch.directions]
    assert len(counts) == 20
    assert max(counts) - min(counts) <= 1
