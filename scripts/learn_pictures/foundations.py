"""Pictures of the pages 1 to 6."""

from functools import cache
from math import log, log10
from pydoc_data.topics import topics
from typing import Any

import torch
import torch.nn.functional as F

from lmcraft import Transformer, TransformerConfig
from lmcraft.model.config import InitConfig
from lmcraft.model.initialization import initialize
from lmcraft.reports.axis import Axis
from lmcraft.reports.chart import Series, draw_chart
from lmcraft.reports.explanation.heat_map import HeatMap
from lmcraft.reports.explanation.tokens import shade
from lmcraft.tokenizer import Tokenizer, train_bpe
from lmcraft.training.config import OptimizerConfig, ScheduleConfig
from lmcraft.training.depth_rule import resolve_model, resolve_optimizer
from lmcraft.training.optimizer import Optimizer
from lmcraft.training.schedule import learning_rate_factor
from scripts.learn_pictures.chart import Picture, Say, curve, line_picture

Names = dict[str, Any]
MEAN_OF = 5  # steps that a point of a noisy curve averages
PATTERN_STEPS = 400
PATTERN_TEXT = "the named module, then it binds the results to a name in the local scope"


def draw_loss(page: Names, say: Say) -> str:
    """Page 1: the loss of each step beside that of the bigram model."""
    losses = page["losses"]
    means = [
        (start + MEAN_OF / 2, sum(losses[start : start + MEAN_OF]) / MEAN_OF) for start in range(0, len(losses), MEAN_OF)
    ]
    across = (0, len(losses))
    series = [
        Series("Transformer", "a", means),
        Series(say("bigram model", "二元模型"), "b", [(x, page["bigram_loss"]) for x in across]),
        Series(say("uniform", "均匀分布"), "c", [(x, log(page["V"])) for x in across]),
    ]
    return line_picture(series, say("step", "步数"), say("nats per token", "奈特 / 词元"))


def draw_vocabulary(page: Names, say: Say) -> str:
    """Page 2: bytes per token by vocabulary size."""
    sizes = Series("", "a", list(page["bytes_per_token"].items()))
    return line_picture([sizes], say("tokens in the vocabulary", "词表大小"), say("bytes per token", "字节 / 词元"))


def draw_budgets(page: Names, say: Say) -> str:
    """Page 2: the loss by size for three budgets, and the optima."""
    series, optima = [], []
    for style, budget in zip("abc", (1e19, 1e20, 1e21), strict=True):
        best, _ = page["law"].optimal(budget)
        sizes = [best * 10 ** (n / 10) for n in range(-10, 11)]
        points = [(size, page["law"].loss(size, budget / 6 / size)) for size in sizes]
        series.append(Series(f"C = 1e{round(log10(budget))}", style, points))
        optima.append((best, page["law"].loss(best, budget / 6 / best)))
    series.append(Series(say("optimum", "最优"), "d", optima, dots=True))
    return line_picture(series, say("parameters", "参数量"), say("loss", "损失"), log_x=True)


def draw_misprint(page: Names, say: Say) -> str:
    """Page 3: the weights of the last query, right and wrong."""
    names = ("softmax", "exp(softmax)", say("over queries", "对查询归一化"))
    series = [
        Series(name, style, list(enumerate(weights[-1].tolist())), dots=True)
        for name, style, weights in zip(names, "abc", (page["right"], page["double"], page["columns"]), strict=True)
    ]
    keys = Axis.of_names(say("key", "键"), [str(n) for n in range(1, len(page["right"]) + 1)])
    return draw_chart(series, keys, Axis.of_numbers(say("weight", "权重"), [0, *(y for s in series for _, y in s.points)]))


def draw_pattern(page: Names, say: Say) -> str:
    """Page 3: where a trained head attends."""
    model, tokenizer = train_two_blocks()
    ids = tokenizer.encode(PATTERN_TEXT)
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor([ids]), lambda name: name.endswith("hook_pattern"))
    patterns = torch.cat([pattern[0] for pattern in cache.values()])  # (heads of all layers, T, T)
    head = patterns[max(range(len(patterns)), key=lambda n: float(patterns[n].diagonal(-1).mean()))]
    names = [tokenizer.decode([token]) for token in ids]
    shades = [[shade(value, 1.0) for value in row] for row in head.flip(0).tolist()]
    figure = HeatMap(shades, [name[:4] for name in names[::-1]], names).draw("")
    return figure[figure.index("<svg") : figure.index("</svg>") + len("</svg>")]


@cache
def train_two_blocks() -> tuple[Transformer, Tokenizer]:
    """A model of two blocks, trained on the text of page 1."""
    text = "\n\n".join(topics[name] for name in sorted(topics))
    tokenizer, length = train_bpe([text], vocab_size=512), 64
    tokens = torch.tensor(tokenizer.encode(text))
    torch.manual_seed(1)
    config = resolve_model(TransformerConfig(hidden_size=64, head_dim=16), 2, tokenizer.vocab_size, length)
    model = Transformer(config)
    initialize(model, InitConfig())
    optimizer = Optimizer(model, resolve_optimizer(OptimizerConfig(), config.hidden_size), torch.float32)
    for step in range(PATTERN_STEPS):
        rows = tokens[torch.randint(len(tokens) - length, (16, 1)) + torch.arange(length + 1)]
        F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()).backward()
        optimizer.step(learning_rate_factor(ScheduleConfig(), step, PATTERN_STEPS))
    return model.eval(), tokenizer


def draw_activations(page: Names, say: Say) -> str:
    """Page 4: three activations."""
    x = torch.linspace(-4, 4, 161)
    shapes = {"ReLU": F.relu(x), "GELU": F.gelu(x), "SiLU": F.silu(x)}
    series = [
        Series(name, style, list(zip(x.tolist(), y.tolist(), strict=True)))
        for style, (name, y) in zip("abc", shapes.items(), strict=True)
    ]
    return line_picture(series, "z", "σ(z)")


def draw_parameters(page: Names, say: Say) -> str:
    """Page 4: the parts of models by depth."""
    parts: dict[str, list[tuple[float, float]]] = {}
    for depth in (2, 4, 8, 12, 16, 24):
        c = resolve_model(TransformerConfig(), depth, 32_768, 2048)
        sizes = {
            say("vocabulary", "词表"): c.vocab_size * c.hidden_size * (1 if c.tie_word_embeddings else 2),
            say("attention", "注意力"): depth
            * 2
            * c.head_dim
            * (c.num_attention_heads + c.num_key_value_heads)
            * c.hidden_size,
            say("feed-forward", "前馈"): depth * 3 * c.intermediate_size * c.hidden_size,
        }
        for name, size in sizes.items():
            parts.setdefault(name, []).append((depth, size / sum(sizes.values())))
    series = [Series(name, style, points) for style, (name, points) in zip("abc", parts.items(), strict=True)]
    return line_picture(series, say("blocks", "层数"), say("share of the parameters", "参数占比"))


def draw_valley(page: Names, say: Say) -> str:
    """Page 5: how fast three rules descend in a narrow valley."""
    curves = []
    for name, momentum in (("SGD", 0.0), (say("momentum", "动量"), 0.8)):
        losses = [log10(page["descend"](momentum, steps)) for steps in range(61)]
        curves.append((name, losses))
    w = torch.tensor([1.0, 1.0], requires_grad=True)
    adam, losses = torch.optim.Adam([w], lr=0.05), []
    for _ in range(61):
        loss = 25 * w[0] ** 2 + w[1] ** 2 / 2
        losses.append(log10(loss.item()))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    curves.append(("Adam", losses))
    series = [curve(name, style, values, 0) for style, (name, values) in zip("abc", curves, strict=True)]
    return line_picture(series, say("step", "步数"), say("log10 of the loss", "损失的 log10"))


def draw_schedules(page: Names, say: Say) -> str:
    """Page 5: the schedules."""
    steps = 200
    series = [
        curve(name, style, [learning_rate_factor(ScheduleConfig(name=name, warmup=0.05), n, steps) for n in range(steps)])
        for style, name in zip("abcd", ("constant", "linear", "cosine", "wsd"), strict=True)
    ]
    return line_picture(series, say("step", "步数"), say("factor", "系数"))


def draw_variance(page: Names, say: Say) -> str:
    """Page 6: the size of activations by layer."""
    sizes = {say("std 0.05", "标准差 0.05"): page["small"], "Xavier": page["spread"]((2 / 512) ** 0.5), "He": page["he"]}
    series = [
        curve(name, style, [log10(size) for size in values])
        for style, (name, values) in zip("abc", sizes.items(), strict=True)
    ]
    return line_picture(series, say("layer", "层"), say("log10 of the size", "大小的 log10"))


def draw_overfitting(page: Names, say: Say) -> str:
    """Page 6: training and validation loss, without and with L1."""
    series = [
        curve(say("training", "训练"), "a", [loss for loss, _ in page["curve"]]),
        curve(say("validation", "验证"), "b", [loss for _, loss in page["curve"]]),
        curve(say("validation with L1", "验证（L1）"), "c", [loss for _, loss in page["l1_curve"]]),
    ]
    return line_picture(series, say("step", "步数"), say("loss", "损失"))


FOUNDATIONS: dict[str, Picture] = {
    "01-loss": draw_loss,
    "02-vocabulary": draw_vocabulary,
    "02-budgets": draw_budgets,
    "03-misprint": draw_misprint,
    "03-pattern": draw_pattern,
    "04-activations": draw_activations,
    "04-parameters": draw_parameters,
    "05-valley": draw_valley,
    "05-schedules": draw_schedules,
    "06-variance": draw_variance,
    "06-overfitting": draw_overfitting,
}
