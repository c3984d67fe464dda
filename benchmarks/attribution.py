"""How often an attribution names what matters: by direct logits, patching, integrated gradients, and by simpler rules.

    python benchmarks/attribution.py components MODEL RESULTS.jsonl --prompts 24       # adds to the file
    python benchmarks/attribution.py tokens MODEL RESULTS.jsonl --prompts 12 --steps 128
    python benchmarks/attribution.py captum MODEL RESULTS.jsonl --prompts 3 --steps 16    # pip install captum

A rule passes on a prompt if what it names passes the check of `lmcraft explain`. Beside it: the highest norm of the
gradient, and a random choice (its chance of passing, over all choices). Deletion: the share of the difference of logits that
is left after 1, 2, 4 ... of what a rule ranks highest is ablated or patched, mean over the prompts.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lmcraft import LanguageModel
from lmcraft.interpretability.attribution.comparison import MAX_OTHERS, count_named, name_highest
from lmcraft.interpretability.attribution.direct_logit import ablate_at_end, contribute
from lmcraft.interpretability.attribution.edited_runs import Edit, EditedRuns, in_float32
from lmcraft.interpretability.attribution.integrated_gradients import STREAM, Line, baseline_change
from lmcraft.interpretability.attribution.patching import PromptPair, patch_head, patch_token
from lmcraft.interpretability.attribution.question import ask
from lmcraft.interpretability.explanation import Check
from lmcraft.interpretability.interventions import draw_other_sets, list_heads
from lmcraft.model.hooks import HookPoint
from lmcraft.model.transformer import Transformer

CAPITALS = {"France": "Spain", "Japan": "China", "Germany": "Russia", "England": "Ireland", "Egypt": "Iraq"}
CAPITALS |= {"Greece": "Turkey", "Canada": "Mexico", "India": "Iran", "Norway": "Sweden", "Poland": "Austria"}
NAMES = ["Mary", "John", "Tom", "Anna", "David", "Sarah", "James", "Laura", "Peter", "Susan", "Paul", "Emma"]
PLACES = [("store", "drink"), ("park", "ball"), ("school", "book"), ("beach", "towel"), ("office", "letter")]
NOUNS = [("keys", "key", "cabinet"), ("books", "book", "library"), ("dogs", "dog", "neighbor"), ("cars", "car", "company")]
NOUNS += [
    ("boys", "boy", "village"),
    ("letters", "letter", "lawyer"),
    ("trees", "tree", "garden"),
    ("songs", "song", "singer"),
]
COUNTS = (1, 2, 4, 8, 16)
Chosen = tuple[Any, ...]


def list_prompts() -> list[tuple[str, str, str]]:
    """Kind, prompt and second prompt: facts, indirect objects (arXiv 2211.00593), agreement of subject and verb."""
    facts = [
        ("fact", *(f"The capital of Italy is Rome. The capital of {country} is" for country in pair))
        for pair in CAPITALS.items()
    ]
    objects = []
    for number in range(10):
        first, second = NAMES[number], NAMES[(number + 1 + number % 3) % len(NAMES)]
        place, thing = PLACES[number % len(PLACES)]
        begin = f"When {first} and {second} went to the {place},"
        objects.append(("object", *(f"{begin} {giver} gave a {thing} to" for giver in (second, first))))
    nouns = [
        ("agreement", *(f"As everybody in town knows, the {noun} of the old {owner}" for noun in pair))
        for *pair, owner in NOUNS
    ]
    return [prompt for row in zip(facts, objects, nouns, strict=False) for prompt in row]


def gradient_norms(model: Transformer, ids: Sequence[int], points: Sequence[str], direction: Tensor) -> dict[str, Tensor]:
    """The gradient of the difference of logits at some points, (T, ...)."""
    kept: dict[str, Tensor] = {}

    def keep(activation: Tensor, point: HookPoint) -> Tensor:
        kept[point.name] = activation if activation.requires_grad else activation.detach().requires_grad_()
        return kept[point.name]

    logits_points = dict.fromkeys([STREAM, *points])
    model_ids = torch.tensor([list(ids)])
    with torch.enable_grad():
        hidden: list[Tensor] = []
        hooks = [
            (list(logits_points), keep),
            ("ln_final.hook_normalized", lambda activation, point: hidden.append(activation)),
        ]
        model.run_with_hooks(model_ids, hooks)
        gradients = torch.autograd.grad(hidden[0][0, -1] @ direction, [kept[name] for name in points])
    return {name: gradient[0] for name, gradient in zip(points, gradients, strict=True)}


class Trial:
    """One kind of candidate on one prompt: what each rule names is taken away, and so are random others."""

    def __init__(
        self, runs: EditedRuns, direction: Tensor, edit: Callable[[Any], Sequence[Edit]], falls: bool = True
    ) -> None:
        self.runs, self.direction, self.edit, self.falls = runs, direction, edit, falls

    def run(self, rules: Mapping[str, Mapping[Any, float]]) -> dict[str, Any]:
        """By rule, whether what it names passes, and the share of the difference left after deletions."""
        candidates = list(next(iter(rules.values())))
        sets: list[Chosen] = list(combinations(candidates, count_named(len(candidates))))
        before = float(self.runs.hidden @ self.direction)
        effects = dict(zip(map(frozenset, sets), self._measure(sets), strict=True))

        def passes(named: Sequence[Any]) -> bool:
            others = draw_other_sets(named, candidates, MAX_OTHERS, 0)
            after, others_after = effects[frozenset(named)], [effects[frozenset(other)] for other in others]
            return Check("", "ablated", "", before, after, others_after, "falls" if self.falls else "rises").is_passed

        orders = {name: sorted(candidates, key=lambda item: -scores[item]) for name, scores in rules.items()}
        for seed in range(5):
            orders[f"random {seed}"] = random.Random(seed).sample(candidates, len(candidates))
        counts = [count for count in COUNTS if count <= len(candidates)]
        deletions = [tuple(order[:count]) for order in orders.values() for count in counts]
        left = iter(value / before for value in self._measure(deletions))
        curves = {name: [next(left) for _ in counts] for name in orders}
        randoms = [curves.pop(f"random {seed}") for seed in range(5)]
        curves["random"] = [sum(values) / 5 for values in zip(*randoms, strict=True)]
        passed = {name: float(passes(name_highest(scores))) for name, scores in rules.items()}
        passed["random"] = sum(map(passes, sets)) / len(sets)
        return {"passed": passed, "left": curves, "candidates": len(candidates), "before": before}

    def _measure(self, sets: Sequence[Chosen]) -> list[float]:
        edits = [list(chain.from_iterable(map(self.edit, chosen))) for chosen in sets]
        return self.runs.measure(edits, self.direction)


def try_direct_logits(model: Transformer, ids: list[int]) -> dict[str, Any]:
    """Heads and feed-forward layers, ablated at the last token."""
    layers = range(model.config.num_hidden_layers)
    z, out = [f"blocks.{layer}.attn.hook_z" for layer in layers], [f"blocks.{layer}.hook_mlp_out" for layer in layers]
    runs = EditedRuns(model, ids, [*z, *out], first_token=len(ids) - 1)
    question = ask(runs.logits, None, None)
    direction, logits = question.direction(model), contribute(model, ids, question)
    norms = gradient_norms(model, ids, [*z, *out], direction)
    heads = Trial(runs, direction, lambda head: [ablate_at_end(runs, z[head[0]], head[1])])
    feed_forwards = Trial(runs, direction, lambda layer: [ablate_at_end(runs, out[layer])])
    return {
        "direct logits, heads": heads.run(
            {
                "ours": {head: logits[f"head {head[0]}.{head[1]}"] for head in list_heads(model.config)},
                "gradient norm": {head: float(norms[z[head[0]]][-1, head[1]].norm()) for head in list_heads(model.config)},
            }
        ),
        "direct logits, feed-forward layers": feed_forwards.run(
            {
                "ours": {layer: logits[f"feed-forward {layer}"] for layer in layers},
                "gradient norm": {layer: float(norms[out[layer]][-1].norm()) for layer in layers},
            }
        ),
    }


def try_patching(model: Transformer, ids: list[int], other: list[int]) -> dict[str, Any]:
    """Heads at all tokens, and tokens before the middle block, patched into the text."""
    first = next(place for place in range(len(ids)) if ids[place] != other[place])
    layers = range(model.config.num_hidden_layers)
    z = [f"blocks.{layer}.attn.hook_z" for layer in layers]
    clean, corrupted = (EditedRuns(model, prompt, z, first_token=first) for prompt in (ids, other))
    answer = int(clean.logits.argmax())
    other_answer = next(token for token in corrupted.logits.topk(2).indices.tolist() if token != answer)
    direction = ask(clean.logits, answer, other_answer).direction(model)
    pair, middle = PromptPair(clean, corrupted, direction), len(layers) // 2
    point = f"blocks.{middle}.hook_resid_pre"
    norms = gradient_norms(model, other, [*z, point], direction)
    falls = pair.clean_difference > pair.corrupted_difference
    heads = Trial(clean, direction, lambda head: [patch_head(corrupted, head)], falls)
    tokens = Trial(clean, direction, lambda t: [patch_token(corrupted, middle, t)] if t >= first else [], falls)
    return {
        "patching, heads": heads.run(
            {
                "ours": pair.head_effects(),
                "gradient norm": {h: float(norms[z[h[0]]][:, h[1]].norm()) for h in list_heads(model.config)},
            }
        ),
        "patching, tokens": tokens.run(
            {
                "ours": dict(enumerate(pair.residual_effects([middle])[0])),
                "gradient norm": dict(enumerate(norms[point].norm(dim=-1).tolist())),
            }
        ),
    }


def try_integrated_gradients(
    model: Transformer, ids: list[int], steps: int, baseline: Literal["mean", "zero"]
) -> dict[str, Any]:
    """Tokens, whose embeddings are replaced with the baseline's."""
    runs = EditedRuns(model, ids, [STREAM])
    direction = ask(runs.logits, None, None).direction(model)
    stop = runs.activations[STREAM]
    start = stop + baseline_change(model, ids, baseline)
    line = Line(model, start, stop, direction)
    spans = line.integrate(min(steps, 64), steps)
    scores = torch.stack([span.scores for span in spans]).sum(0)
    gradient = gradient_norms(model, ids, [STREAM], direction)[STREAM]
    trial = Trial(runs, direction, lambda token: [Edit(STREAM, (token,), start[token : token + 1])])
    rules = {
        "ours": scores.tolist(),
        "gradient norm": gradient.norm(dim=-1).tolist(),
        "gradient x input": (gradient * (stop - start)).sum(-1).tolist(),
    }
    result = trial.run({name: dict(enumerate(scores)) for name, scores in rules.items()})
    change = spans[-1].after - spans[0].before
    gap = abs(float(scores.sum()) - change) / abs(change)
    return {"integrated gradients, tokens": {**result, "gap": gap, "change": change, "steps": line.steps}}


def compare_with_captum(model: Transformer, ids: list[int], steps: int) -> dict[str, Any]:
    """The scores of captum's integrated gradients along the same line, and the processor time of both, in turn."""
    from captum.attr import IntegratedGradients

    runs = EditedRuns(model, ids, [STREAM])
    direction = ask(runs.logits, None, None).direction(model)
    stop = runs.activations[STREAM]
    start = stop + baseline_change(model, ids, "mean")

    line = Line(model, start, stop, direction)
    seconds: dict[str, list[float]] = {"ours": [], "captum": []}
    scores: dict[str, Tensor] = {}
    for _ in range(2):
        begin = time.process_time()
        scores["ours"] = line.integrate(steps, steps, points=steps)[0].scores
        seconds["ours"].append(time.process_time() - begin)
        begin = time.process_time()
        peer = IntegratedGradients(line.difference).attribute(
            stop[None], start[None], n_steps=steps, method="gausslegendre", internal_batch_size=1024 // len(ids)
        )
        seconds["captum"].append(time.process_time() - begin)
        scores["captum"] = peer[0].sum(-1).double()
    error = float((scores["ours"] - scores["captum"]).abs().max() / scores["captum"].abs().max())
    return {"largest difference, of the largest score": error, "seconds": seconds}


def summarize(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table of each view: the shares of prompts that pass, and the deletions."""
    for view in rows[0]["views"]:
        results = [row["views"][view] for row in rows]
        print(f"\n## {view[0].upper()}{view[1:]}: {len(results)} prompts")
        if "gap" in results[0]:
            gaps = sorted(result["gap"] for result in results)
            print(f"gap: median {gaps[len(gaps) // 2]:.1%}, largest {gaps[-1]:.1%}")
        counts = COUNTS[: len(results[0]["left"]["ours"])]
        print(f"| rule | passes | {' | '.join(f'left after {count}' for count in counts)} |")
        print(f"|---|---|{'---|' * len(counts)}")
        for rule in results[0]["passed"]:
            shares = [result["passed"][rule] for result in results]
            curves = zip(*(result["left"][rule] for result in results), strict=False)
            left = " | ".join(f"{sum(values) / len(values):.2f}" for values in curves)
            print(f"| {rule} | {sum(shares) / len(shares):.2f} | {left} |")
        for kind in dict.fromkeys(row["kind"] for row in rows):
            shares = [row["views"][view]["passed"]["ours"] for row in rows if row["kind"] == kind]
            print(f"{kind}: {sum(shares):.0f} of {len(shares)}", end="; ")
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["components", "tokens", "captum"])
    parser.add_argument("model")
    parser.add_argument("results", type=Path)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--baseline", choices=["mean", "zero"], default="mean")
    options = parser.parse_args()
    language_model = LanguageModel.load(options.model)
    model, encode = in_float32(language_model.transformer), language_model.tokenizer.encode
    prompts = [prompt for prompt in list_prompts() if len(encode(prompt[1])) == len(encode(prompt[2]))]
    rows = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    for kind, text, other in prompts[len(rows) : options.prompts]:
        ids = encode(text)
        if options.part == "components":
            views = try_direct_logits(model, ids) | try_patching(model, ids, encode(other))
        elif options.part == "tokens":
            views = try_integrated_gradients(model, ids, options.steps, options.baseline)
        else:
            views = {"captum": compare_with_captum(model, ids, options.steps)}
        rows.append({"kind": kind, "text": text, "views": views})
        with options.results.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(f"{len(rows)} {text}", flush=True)
    if options.part != "captum":
        summarize(rows)


if __name__ == "__main__":
    main()
