"""A model of two layers whose heads copy by construction: head 0.1 reads the token before, head 1.2 is an induction head."""

import torch

from lmcraft.model.transformer import Transformer
from tests.tiny import tiny_config

VOCABULARY, HEADS, HEAD_WIDTH, POSITIONS = 24, 12, 64, 64
PREVIOUS, INDUCTION = (0, 1), (1, 2)


@torch.no_grad()
def copying_model() -> Transformer:
    """Learned positions as one-hot vectors, and no norm that changes a sum: the residual stream holds the token, the
    position, the token before and the next token in parts of their own."""
    config = tiny_config(
        vocab_size=VOCABULARY,
        max_position_embeddings=POSITIONS,
        hidden_size=3 * VOCABULARY + POSITIONS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HEAD_WIDTH,
        position="learned",
        qk_norm=False,
        tie_word_embeddings=False,
    )
    model = Transformer(config)
    for parameter in model.parameters():
        parameter.zero_()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.fill_(1.0)
    token, position = slice(0, VOCABULARY), slice(VOCABULARY, VOCABULARY + POSITIONS)
    before, after = (slice(POSITIONS + n * VOCABULARY, POSITIONS + (n + 1) * VOCABULARY) for n in (1, 2))
    one_hot = torch.eye(VOCABULARY)
    model.embed_tokens.weight[:, token] = one_hot
    assert model.embed_positions is not None and model.lm_head is not None
    model.embed_positions.weight[:, position] = torch.eye(POSITIONS)
    rows = slice(PREVIOUS[1] * HEAD_WIDTH, (PREVIOUS[1] + 1) * HEAD_WIDTH)
    reader = model.layers[0].attention
    reader.q_proj.weight[rows, position] = torch.diag(torch.full((POSITIONS - 1,), 20.0), 1)
    reader.k_proj.weight[rows, position] = torch.eye(POSITIONS)
    values = slice(PREVIOUS[1] * HEAD_WIDTH, PREVIOUS[1] * HEAD_WIDTH + VOCABULARY)
    reader.v_proj.weight[values, token] = one_hot
    reader.o_proj.weight[before, values] = 0.1 * one_hot
    copier = model.layers[1].attention
    values = slice(INDUCTION[1] * HEAD_WIDTH, INDUCTION[1] * HEAD_WIDTH + VOCABULARY)
    copier.q_proj.weight[values, token] = 20 * one_hot
    copier.k_proj.weight[values, before] = one_hot
    copier.v_proj.weight[values, token] = one_hot
    copier.o_proj.weight[after, values] = 0.1 * one_hot
    model.lm_head.weight[:, after] = one_hot
    return model.eval()
