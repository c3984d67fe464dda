"""The error for a model whose outputs are not numbers."""

from lmcraft.errors import RunError
from lmcraft.inference.model_changes import find_modification
from lmcraft.model.lora_linear import LoraLinear
from lmcraft.model.transformer import Transformer


class DamagedModelError(RunError):
    """A model computes values that are not numbers."""


def damaged_model_error(model: Transformer) -> DamagedModelError:
    """The error for outputs that are NaN or infinite."""
    dtype = str(model.compute_dtype).removeprefix("torch.")
    subject = f"the model '{model.source}'" if model.source else "the model"
    is_adapted = any(isinstance(module, LoraLinear) for module in model.modules())
    if modification := "" if is_adapted else find_modification(model):
        reason = f"and {modification}: check what that computes"
        return DamagedModelError(f"{subject} computes values that are not numbers, {reason}")
    remedy = "download or save it again"
    if dtype != "float32":
        remedy = f"its weights are damaged, or its numbers are too large for {dtype}: use float32, or {remedy}"
    else:
        remedy = f"its weights are damaged: {remedy}"
    return DamagedModelError(f"{subject} computes values that are not numbers; {remedy}")
