"""What cannot be trained with differential privacy, each refused with one sentence."""

from lmcraft.errors import UserError
from lmcraft.model.lora_linear import LoraLinear
from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig, TrainConfig
from lmcraft.training.dp.layers import HANDLERS
from lmcraft.training.objective import Objective
from lmcraft.training.processes import Processes

REMEDY = "or leave out dp.epsilon"


def check_settings(config: TrainConfig, processes: Processes) -> None:
    """Raise UserError for a setting that differential privacy excludes."""
    if config.compile == "on":
        raise UserError(f"compile=on does not work with differential privacy: set it to off, {REMEDY}")
    if config.activation_checkpointing:
        raise UserError(
            "activation_checkpointing=True does not work with differential privacy: choose a smaller micro_batch_size "
            f"instead, {REMEDY}"
        )
    if (norm := config.optimizer.gradient_clip) not in (0, OptimizerConfig.gradient_clip):
        raise UserError(
            f"optimizer.gradient_clip={norm:g} has no effect with differential privacy, which clips the gradient of each "
            f"unit: set dp.max_grad_norm instead, {REMEDY}"
        )
    if processes.count > 1:
        raise UserError(
            f"differential privacy needs a single process, not {processes.count}: start without torchrun, {REMEDY}"
        )


def check_model(model: Transformer, objective: Objective) -> None:
    """Raise UserError for weights or an objective whose gradients cannot be told apart by rows."""
    if not objective.sums_over_rows:
        raise UserError(
            f"the objective {type(objective).__name__} does not work with differential privacy, since its loss is not a sum "
            f"over rows: choose next-token, sft, continued or classify, {REMEDY}"
        )
    if model.lm_head is not None and model.lm_head.bias is not None and model.lm_head.bias.requires_grad:
        raise UserError(
            f"the bias of 'lm_head' cannot be trained with differential privacy: train adapters, or choose a model without "
            f"it, {REMEDY}"
        )
    mixers = [name for name, module in model.named_modules() if type(module).__name__ == "MixtureOfExperts"]
    for name, module in model.named_modules():
        if not any(p is not None and p.requires_grad for p in module._parameters.values()):
            continue
        is_expert = any(name.startswith(f"{mixer}.") for mixer in mixers)
        if type(module) not in HANDLERS or is_expert:
            raise UserError(
                f"the weights of '{name}' cannot be trained with differential privacy ({type(module).__name__}"
                f"{' of a mixture of experts' if is_expert else ''}): choose a model without them, {REMEDY}"
            )
        if isinstance(module, LoraLinear) and module.magnitude is not None:
            raise UserError(f"DoRA does not work with differential privacy: use LoRA, {REMEDY}")
        if isinstance(module, LoraLinear) and module.dropout:
            raise UserError(
                f"lora dropout={module.dropout:g} does not work with differential privacy: set it to 0, {REMEDY}"
            )
