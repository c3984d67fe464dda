"""How far a derivative by the weights of documents can be trusted when documents are left out altogether.

A derivative is about infinitely small changes of the training data. If the weights that a run ends with jump about as the
data change, it says nothing about a document that is left out. Metasmoothness (arXiv 2503.13751, section 4) measures this
with three runs: as it was, with the weights of some documents halved, and without them.

Shapes: P weights, N documents.
"""

import torch
from torch import Tensor

from lmcraft.interpretability.influence.replay import Report, Trajectory

SHARE = 0.05  # of the documents whose weights are changed


def measure_metasmoothness(
    trajectory: Trajectory, final_P: Tensor, seed: int = 0, report: Report = lambda done, total: None
) -> float:
    """The metasmoothness of a run towards leaving out random documents.

    Args:
        trajectory: of the run, which has been computed.
        final_P: the weights after the last step.
        seed: of the choice of documents.
        report: of the progress, in steps.
    """
    steps, generator = trajectory.steps, torch.Generator().manual_seed(seed)
    N = len(trajectory.document_weights)
    chosen = torch.randperm(N, generator=generator)[: max(1, round(SHARE * N))]
    weights_N = trajectory.document_weights.clone()
    weights_N[chosen] = 0.5
    half_P = trajectory.retrain(weights_N, lambda done, total: report(steps - total + done, 2 * steps))
    weights_N[chosen] = 0.0
    whole_P = trajectory.retrain(weights_N, lambda done, total: report(2 * steps - total + done, 2 * steps))
    return agreement(half_P - final_P, whole_P - half_P)


def agreement(first_P: Tensor, second_P: Tensor) -> float:
    """How far two changes of the weights have the same signs, from -1 to 1, each weight as much as it changed first
    (definition 2 of the paper). It is 1 if nothing changed.
    """
    total = float(first_P.abs().sum())
    return float((first_P * second_P.sign()).sum()) / total if total else 1.0
