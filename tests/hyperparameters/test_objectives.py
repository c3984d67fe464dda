from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.hyperparameters.objectives import Objective, parse_objectives

STAGES: Mapping[str, Mapping[str, Any]] = {"pretrain": {}, "evaluate": {"tasks": ["arithmetic", "induction"]}}


@pytest.mark.parametrize(
    ("texts", "stages", "objectives"),
    [
        ([], ["pretrain"], [Objective("bits_per_byte")]),
        ([], ["pretrain", "finetune"], [Objective("validation_loss")]),
        ([], ["finetune", "quantize"], [Objective("kl_divergence")]),
        (["seconds", "maximize tokens"], ["pretrain"], [Objective("seconds"), Objective("tokens", maximize=True)]),
        (["arithmetic/exact_match"], ["pretrain", "evaluate"], [Objective("arithmetic/exact_match", maximize=True)]),
        (["minimize arithmetic/exact_match"], ["evaluate"], [Objective("arithmetic/exact_match")]),
        (["arithmetic/unfinished"], ["evaluate"], [Objective("arithmetic/unfinished")]),
    ],
)
def test_objectives_have_a_direction(texts: Sequence[str], stages: Sequence[str], objectives: Sequence[Objective]) -> None:
    assert list(parse_objectives(texts, {name: STAGES.get(name, {}) for name in stages})) == objectives


@pytest.mark.parametrize(
    ("texts", "stages", "message"),
    [
        (["bits_per_bite"], ["pretrain"], "objectives=bits_per_bite is unknown: is it 'bits_per_byte'?"),
        (["x"], ["pretrain"], "objectives=x is unknown: use validation_loss"),
        (["bits_per_byte"], ["finetune"], r"objectives=bits_per_byte needs a stage \[pretrain\]"),
        (["seconds", "maximize seconds"], ["pretrain"], "objectives has seconds twice"),
        (["hellaswag/acc"], ["pretrain"], r"objectives=hellaswag/acc needs an \[evaluate\] stage with that task"),
        (["arithmetik/acc"], ["evaluate"], r"with the task 'arithmetik': is it 'arithmetic'?"),
        (["arithmetic/acc"], ["evaluate"], "names no metric of 'arithmetic': use exact_match, unfinished"),
        ([], ["pretrain", "evaluate"], "objectives is empty"),
        ([], ["prepare"], "objectives is empty"),
    ],
)
def test_an_objective_that_no_trial_has_is_refused(texts: Sequence[str], stages: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_objectives(texts, {name: STAGES.get(name, {}) for name in stages})
