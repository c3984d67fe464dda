"""Recurrent mixers: they keep a state of fixed size instead of keys and values.

Each is a module that maps the normed residual stream, (B, T, C), to its output, (B, T, C). Its other arguments are `begins`,
(B, T), which is true where a document begins, and the cache. It reads its layer's state from the cache and replaces it by
that after the last token. `config.state_shapes` lists the shapes. States are kept in float32, so that a text resumed token
by token stays the text computed at once.
"""

from torch import nn

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig


def make_mixer(config: TransformerConfig, layer: int) -> nn.Module:
    """The recurrent mixer of a layer.

    Raises:
        UserError: there is none for its type.
    """
    raise UserError(f"model.layer_types has {config.layer_type(layer)!r}, which is not supported yet")
