"""Recurrent mixers: they keep a state of fixed size instead of keys and values.

gated_delta   gated delta-rule linear attention (Qwen3-Next, Qwen3.5)
mamba         selective state spaces of the first generation (Mamba, Jamba)
mamba2        state-space mixers (Mamba-2 and hybrids with it)
short_conv    gated short convolutions (LFM2)
causal_conv   the convolution over tokens before a recurrence
chunk_decay   decays of a state within chunks of tokens
time_steps    initial time steps of state spaces
gated_norm    the norm of the output with its gate

Each mixer is a module that maps the normed residual stream, (B, T, C), to its output, (B, T, C). Its other arguments are
`begins`, (B, T), which is true where a document begins, and the cache. It reads its layer's state from the cache, and
replaces it by that after the last token. `config.state_shapes` lists the shapes. States are kept in float32 at least, so
that a text resumed token by token stays the text computed at once.
"""

from torch import nn

from lmcraft.model.config import TransformerConfig
from lmcraft.model.mixers.gated_delta import GatedDeltaNet
from lmcraft.model.mixers.mamba import Mamba
from lmcraft.model.mixers.mamba2 import Mamba2
from lmcraft.model.mixers.short_conv import GatedShortConv


def make_mixer(config: TransformerConfig, layer: int) -> nn.Module:
    """The recurrent mixer of a layer that has one."""
    match config.layer_type(layer):
        case "linear_attention":
            return GatedDeltaNet(config, layer)
        case "mamba" | "hybrid":
            return (Mamba if config.mamba.time_step_rank else Mamba2)(config, layer)
        case "conv":
            return GatedShortConv(config, layer)
    raise AssertionError(config.layer_type(layer))
