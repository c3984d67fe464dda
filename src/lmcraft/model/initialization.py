"""Weight initialization.

A matrix with `in` inputs and `out` outputs is drawn from

| scheme | distribution | source |
|---|---|---|
| gpt2 | normal, std; projections into the residual stream std / sqrt(2 layers) | Radford et al. 2019, section 2.3 |
| xavier_uniform | uniform within sqrt(6 / (in + out)) | Glorot and Bengio 2010, eq. 16 |
| xavier_normal | normal, variance 2 / (in + out) | Glorot and Bengio 2010, eq. 12 |
| he_uniform | uniform within sqrt(6 / in) | He et al. 2015 (arXiv 1502.01852), eq. 10 |
| he_normal | normal, variance 2 / in | the same |

With every scheme, embeddings are normal with `std`, norm weights are one and biases zero.

`width_ratio`, the width / the width that the learning rates are for, divides gpt2's std by its square root in the blocks'
matrices, as the other schemes' 1 / in does, and the gain of the final norm by itself (`lmcraft.training.width_transfer`).
"""

from math import sqrt

from torch import Tensor, nn

from lmcraft.model.config import InitConfig
from lmcraft.model.linear import Linear
from lmcraft.model.transformer import Transformer


def initialize(model: Transformer, config: InitConfig, width_ratio: float = 1.0) -> None:
    """Initialize every weight of `model` in place, from torch's global generator."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=config.std)
        elif isinstance(module, Linear):
            into_residual = name.endswith(("o_proj", "down_proj"))
            if into_residual and config.zero_output_projections:
                nn.init.zeros_(module.weight)
            else:
                std = config.std / sqrt(2 * model.config.num_hidden_layers) if into_residual else config.std
                std = std if module is model.lm_head else std / sqrt(width_ratio)
                _draw(module.weight, config.scheme, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if width_ratio != 1.0:
        model.norm.get_parameter("weight").data -= 1 - 1 / width_ratio  # stored as 1 or, in Gemma's norm, as 0


def _draw(weight: Tensor, scheme: str, std: float) -> None:
    match scheme:
        case "gpt2":
            nn.init.normal_(weight, std=std)
        case "xavier_uniform":
            nn.init.xavier_uniform_(weight)
        case "xavier_normal":
            nn.init.xavier_normal_(weight)
        case "he_uniform":
            nn.init.kaiming_uniform_(weight, nonlinearity="relu")
        case "he_normal":
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        case _:
            raise AssertionError(scheme)
