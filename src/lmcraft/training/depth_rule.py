"""The depth rule: `depth` sets every size, rate and length that is left at 0.

| setting | rule | source |
|---|---|---|
| width | 64 x depth, heads of 64 | nanochat's aspect ratio; depth and width grow together (arXiv 2001.08361, section 3.1) |
| key-value heads | as many as query heads up to 8, then half as many | arXiv 2305.13245 |
| feed-forward | 8/3 x width, rounded up to a multiple of 64 | SwiGLU at the cost of 4 x width (arXiv 2002.05202) |
| sequence length | 64 x depth, as a power of two from 256 to 2048 | longer costs more and pays only in larger models |
| length of the run | 20 tokens per parameter | compute-optimal (arXiv 2203.15556, table 3) |
| batch | 4 x tokens^0.5, as a power of two | the useful batch grows with the data (arXiv 2505.13738); fitted here |
| learning rates | matrices 0.02 (normuon, muon); Adam's groups fall with width^-0.5 | nanochat; docs/lab-notes.md |

With a base width, the rates are those of that width, scaled to the model's (`lmcraft.training.width_transfer`).
"""

from dataclasses import replace
from math import ceil, log2, sqrt
from typing import TypeVar

from lmcraft.model.config import TransformerConfig
from lmcraft.training.config import OptimizerConfig, TrainConfig

HEAD_DIM = 64
TOKENS_PER_PARAMETER = 20
PRIVATE_BATCH = 8  # times as large, since noise of the same size is added to a larger sum
EVALUATIONS = 20  # per run
SAMPLES = 5  # per run
EVAL_TOKENS_PER_TOKEN = 0.15  # a forward pass costs a third of a step, so validation takes 5% of the time
MIN_EVAL_TOKENS = 8192

T = TypeVar("T", bound=TrainConfig)
Settings = TypeVar("Settings", bound=OptimizerConfig)


def resolve_model(
    model: TransformerConfig, depth: int, vocab_size: int, sequence_length: int, base_width: int = 0
) -> TransformerConfig:
    """Fill in the sizes that are 0, in the proportions of a model of `base_width` if it is set."""
    depth = model.num_hidden_layers or depth
    width = model.hidden_size or HEAD_DIM * depth
    model = keep_proportions(model, width, base_width) if base_width else model
    heads = model.num_attention_heads or max(1, width // (model.head_dim or HEAD_DIM))
    return replace(
        model,
        vocab_size=model.vocab_size or vocab_size,
        max_position_embeddings=model.max_position_embeddings or sequence_length,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=model.num_key_value_heads or (heads // 2 if heads > 8 and heads % 2 == 0 else heads),
        head_dim=model.head_dim or max(1, width // heads),
        intermediate_size=model.intermediate_size or feed_forward_width(model, width),
    )


def feed_forward_width(model: TransformerConfig, width: int) -> int:
    """The inner width of the feed-forward layer."""
    return 64 * ceil(width / 24) if model.is_gated else 4 * width


def keep_proportions(model: TransformerConfig, width: int, base_width: int) -> TransformerConfig:
    """Fill in the sizes for which width transfer needs the proportions of a model of `base_width`.

    Heads are as wide as there, and the feed-forward layer is as many times wider than the model.
    """
    head_dim = model.head_dim or (0 if model.num_attention_heads else base_width // max(1, base_width // HEAD_DIM))
    unit = 32 if model.is_gated else 1
    inner = unit * max(1, round(feed_forward_width(model, base_width) * width / base_width / unit))
    return replace(model, head_dim=head_dim, intermediate_size=model.intermediate_size or inner)


def sequence_length_for(depth: int) -> int:
    """The sequence length for a depth, in tokens."""
    return min(2048, max(256, 1 << round(log2(64 * depth))))


def resolve_optimizer(optimizer: Settings, width: int) -> Settings:
    """Fill in the learning rates that are 0; if only `learning_rate` is set, sgd and adam use it for every group."""
    if optimizer.name not in ("normuon", "muon") and optimizer.learning_rate:
        rates = (optimizer.learning_rate,) * 4
    else:
        adam = (width / 256) ** -0.5
        matrix = {"normuon": 0.02, "muon": 0.02, "adamw": 0.003 * adam, "adam": 0.003 * adam, "sgd": 0.1}[optimizer.name]
        rates = (matrix, 0.01 * adam, 0.004 * adam, 0.01 * adam)
        rates = (0.1,) * 4 if optimizer.name == "sgd" else rates
    return replace(
        optimizer,
        learning_rate=optimizer.learning_rate or rates[0],
        embedding_learning_rate=optimizer.embedding_learning_rate or rates[1],
        head_learning_rate=optimizer.head_learning_rate or rates[2],
        scalar_learning_rate=optimizer.scalar_learning_rate or rates[3],
    )


def count_parameters(model: TransformerConfig) -> int:
    """Parameters of all matrices (blocks, embeddings, output projection), computed from the sizes."""
    attention = 2 * model.head_dim * (model.num_attention_heads + model.num_key_value_heads)
    feed_forward = (3 if model.is_gated else 2) * model.intermediate_size
    vocabulary = model.vocab_size * (1 if model.tie_word_embeddings else 2)
    return model.hidden_size * (model.num_hidden_layers * (attention + feed_forward) + vocabulary)


def resolve_length(config: T, sequence_length: int, tokens: int) -> T:
    """Fill in the batch, the number of steps and the intervals of a run of `tokens`."""
    size = batch_tokens(tokens) * (PRIVATE_BATCH if config.dp.epsilon else 1)
    batch_size = config.batch_size or max(1, (1 << round(log2(size))) // sequence_length)
    steps = config.max_steps or max(1, tokens // (batch_size * sequence_length))
    return resolve_intervals(replace(config, batch_size=batch_size), steps, sequence_length)


def optimal_tokens(model: TransformerConfig) -> int:
    """The compute-optimal length of a run, in tokens."""
    return TOKENS_PER_PARAMETER * count_parameters(model)


def batch_tokens(tokens: int) -> float:
    """The batch for a run of `tokens`, in tokens, before it is rounded."""
    return 4 * sqrt(tokens)


def resolve_intervals(config: T, max_steps: int, sequence_length: int) -> T:
    """Set the number of steps, and fill in the intervals that are 0."""
    eval_every = config.eval_every or ceil(max_steps / EVALUATIONS)
    tokens = eval_every * config.batch_size * sequence_length
    return replace(
        config,
        max_steps=max_steps,
        eval_every=eval_every,
        eval_tokens=config.eval_tokens or max(MIN_EVAL_TOKENS, int(EVAL_TOKENS_PER_TOKEN * tokens)),
        save_every=config.save_every or eval_every,
        sample_every=config.sample_every or ceil(max_steps / SAMPLES),
    )
