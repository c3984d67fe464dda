"""Text embeddings: the mean of the model's last hidden states.

Shapes: T tokens, C hidden size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from lmcraft.inference.engine import Engine


@torch.inference_mode()
def embed(engine: Engine, ids: Sequence[int], adapter: str = "") -> list[float]:
    """The mean of a text's last hidden states, after the final norm, scaled to length 1; C numbers."""
    model = engine.models[adapter]
    hidden_1TC = model.hidden_states(torch.tensor([list(ids)], device=model.device))
    vector: list[float] = F.normalize(hidden_1TC[0].float().mean(dim=0), dim=0).tolist()
    return vector
