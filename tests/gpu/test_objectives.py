"""Every objective of fine-tuning on a GPU: losses and gradients of a step equal the CPU's."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

from tests.finetuning import objectives
from tests.finetuning.objectives.conformance import ObjectiveConformance, gradients

pytestmark = pytest.mark.gpu

for module in pkgutil.iter_modules(objectives.__path__, f"{objectives.__name__}."):
    import_module(module.name)


def subclasses(parent: type[ObjectiveConformance]) -> Iterator[type[ObjectiveConformance]]:
    for child in parent.__subclasses__():
        yield child
        yield from subclasses(child)


@pytest.mark.parametrize("conformance", subclasses(ObjectiveConformance), ids=lambda cls: cls.__name__)
def test_loss_and_gradients_equal_the_cpus(
    conformance: type[ObjectiveConformance], tmp_path: Path, gpu: torch.device
) -> None:
    results = []
    for device in ("cpu", gpu.type):
        objective = conformance()
        objective.device = device
        (tmp_path / device).mkdir()
        trainer, _ = objective.build(tmp_path / device, "run")
        loss, targets, _ = trainer.gradients(1)
        results.append((loss, targets, trainer.validate(), gradients(trainer.model)))
    (loss, targets, validation_loss, expected), (loss_on_gpu, targets_on_gpu, validation_loss_on_gpu, actual) = results
    assert targets_on_gpu == targets
    assert loss_on_gpu == pytest.approx(loss, rel=1e-4, abs=1e-5)
    assert validation_loss_on_gpu == pytest.approx(validation_loss, rel=1e-4, abs=1e-5)
    actual = {name: gradient.cpu() for name, gradient in actual.items()}
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=2e-3)
