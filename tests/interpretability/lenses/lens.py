"""Lenses for tests."""

import torch

from lmcraft.interpretability.lenses.jacobian import FitRecord, JacobianLens
from lmcraft.model.transformer import Transformer


def lens_of(matrices: torch.Tensor, weights_sha256: str = "") -> JacobianLens:
    return JacobianLens(matrices, FitRecord(2, 256, 64, True, 0, "texts", weights_sha256, [0.0] * len(matrices)))


def identity_lens(model: Transformer) -> JacobianLens:
    layers, width = model.config.num_hidden_layers - 1, model.config.hidden_size
    return lens_of(torch.eye(width).repeat(layers, 1, 1))
