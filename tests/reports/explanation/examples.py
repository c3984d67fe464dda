"""Made-up explanations, with all views, of any size, and of texts that would break a careless page."""

from random import Random

from lmcraft.interpretability.explanation import (
    Attention,
    AttentionReason,
    Check,
    Choice,
    Contribution,
    DocumentInfluence,
    Explanation,
    Head,
    Influence,
    InputAttribution,
    Lens,
    LogitAttribution,
    Patching,
    Surprise,
    Training,
    TrainingStep,
)

WORDS = [" the", " cat", " sat", " on", " mat", ".", "\n", " Rome", " Paris", " is", " in", " Italy", " capital", " of", ","]
HOSTILE = [
    "<script>document.title='run'</script>",
    "</script><img src=http://127.0.0.1:9/x>",
    " ",
    "   ",
    "\n\n",
    "\t",
    "\x00",
    "\x1b[31m",
    "\ud83d",
    "\u202eevil",
    "\u200b",
    " שלום",
    " مرحبا",
    "界" * 60,
    "&amp;",
    "{name}",
    "$title",
    "\ufffd",
    "\"'",
]


def explanation(tokens: list[str], *, layers: int = 3, heads: int = 2, seed: int = 0) -> Explanation:
    """An explanation of this text, all of whose numbers are random."""
    draw = Random(seed)
    count = len(tokens)

    def choices(number: int = 5) -> list[Choice]:
        return [Choice(draw.choice(tokens), 0.5 / (n + 1)) for n in range(number)]

    def check(subject: str, measure: str, is_true: bool = True) -> Check:
        after = 0.1 if is_true else 0.86
        return Check(subject, "ablated", measure, 0.9, after, [0.9 - 0.05 * draw.random() for _ in range(19)])

    nats = [None, *(draw.expovariate(0.4) for _ in range(count - 1))]
    lenses = [
        Lens(
            kind,
            range(layers),
            [[choices() for _ in tokens] for _ in range(layers)],
            [[round(10 ** (4.5 * draw.random())) for _ in tokens] for _ in range(layers)],
            [check("layer 1", "logit of ' Rome'", is_true=kind == "jacobian")],
        )
        for kind in ("logit", "jacobian")
    ]
    components = ["embedding", *(f"head {n}.{h}" for n in range(layers) for h in range(heads))]
    components += [f"feed-forward {n}" for n in range(layers)] + ["bias"]
    contributions = [Contribution(name, draw.gauss(0, 1)) for name in components]
    return Explanation(
        "models/<b>name</b>",
        "a made-up family, 135M parameters, 30 layers",
        "".join(tokens),
        tokens,
        Surprise(nats, [[], *(choices() for _ in tokens[1:])], choices()),
        lenses,
        LogitAttribution(
            count - 1,
            " Rome",
            " Paris",
            sum(c.logit for c in contributions),
            contributions,
            [check("head 1.0", "logit of x")],
        ),
        Attention(
            [_head(draw, layer, number, count) for layer in range(layers) for number in range(heads)],
            [
                AttentionReason(
                    1, 0, count - 1, count // 2, 0.7, 3.1, [("embedding", "head 0.1", 2.0), ("bias", "bias", -1.0)]
                )
            ],
            [check("head 1.1", "induction score"), check("head 0.1", "previous-token score", is_true=False)],
        ),
        Patching(
            [*tokens[:-1], tokens[0]],
            " Rome",
            " Paris",
            2.0,
            -1.5,
            [[draw.uniform(-0.2, 1) if t > count - 9 else 0.0 for t in range(count)] for _ in range(layers)],
            [[draw.uniform(-0.3, 0.6) for _ in range(heads)] for _ in range(layers)],
            [Check("token 3", "patched", "logit difference of x", 2.0, 0.4, [1.0, 2.0])],
        ),
        InputAttribution(" Rome", [draw.gauss(0, 1) for _ in tokens], 0.004, [check("token 2", "logit of ' Rome'")]),
        _influence(draw, tokens),
        _training(draw, nats, choices),
        [("other", "a view that <i>nobody</i> knows")],
    )


def _head(draw: Random, layer: int, number: int, count: int) -> Head:
    keys = [sorted(draw.sample(range(t + 1), min(8, t + 1))) for t in range(count)]
    weights = [[w / sum(row) for w in row] for row in ([draw.expovariate(1) + 0.01 for _ in k] for k in keys)]
    return Head(layer, number, draw.random(), draw.random() ** 3, draw.random() ** 3, keys, weights)


def _influence(draw: Random, tokens: list[str]) -> Influence:
    methods = ("replay", "ekfac", "cosine")
    documents = [
        DocumentInfluence(n, f"texts/<{n}>.jsonl, line 12", "".join(tokens) * 3, {m: draw.gauss(0, 0.01) for m in methods})
        for n in (17, 3, 981)
    ]
    check = Check(
        "document 17",
        "left out of training",
        "loss of the text, nats per token",
        2.1,
        2.4,
        [2.1 + 0.001 * n for n in range(19)],
    )
    return Influence(methods, 1000, documents, 0.31, [check])


def _training(draw: Random, nats: list[float | None], choices: object) -> Training:
    steps = [
        TrainingStep(
            100 * n, 5.0 / (n + 1), n / 10, n / 12, n / 5, choices(), [None if x is None else x + 5 - n / 2 for x in nats]
        )
        for n in range(10)
    ]
    return Training(steps, 500)


def long_text(count: int) -> list[str]:
    """That many tokens."""
    draw = Random(1)
    return [draw.choice(WORDS) for _ in range(count)]
