"""What the script of the page reads: compressed JSON. Of long texts it has less, so that the page stays small."""

import json
import zlib
from base64 import b64encode
from collections.abc import Sequence
from math import isfinite
from typing import Any

from lmcraft.interpretability.explanation import Choice, Explanation, Head, Lens
from lmcraft.reports.explanation.heads import kinds
from lmcraft.reports.explanation.surprise import NATS_OF_STRONGEST_SHADE
from lmcraft.reports.explanation.tokens import shade, spell
from lmcraft.reports.language import LANGUAGES, say, writing_in

# With these, the page of 2,000 tokens that are drawn at random from a large vocabulary stays below 3 MB.
MAX_CHOICES = 100_000  # of all lenses
MAX_WEIGHTS = 200_000  # of all heads
CHOICES_OF_CELL = 5
MIN_WEIGHT = 0.05
"""Weights of attention below are left out."""


def script_data(explanation: Explanation) -> str:
    """The data, as JSON, compressed, in base64."""
    data = json.dumps(_collect(explanation), separators=(",", ":"), allow_nan=False)
    return b64encode(zlib.compress(data.encode())).decode()


class _Strings:
    """Texts by number: a lens reads the same tokens at many places."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(spell(text), len(self.numbers))

    def choices(self, choices: Sequence[Choice]) -> list[int]:
        """The number of each text, followed by its probability in tenths of a percent."""
        return [value for c in choices for value in (self.number(c.text), _scaled(c.probability, 1000))]


def _scaled(value: float, scale: int) -> int:
    return round(scale * value) if isfinite(value) else 0


def _collect(explanation: Explanation) -> dict[str, Any]:
    strings = _Strings()
    surprise = explanation.surprise
    cells = sum(len(lens.layers) for lens in explanation.lenses)  # of a token
    choices = max(1, min(CHOICES_OF_CELL, MAX_CHOICES // max(1, cells * len(explanation.tokens))))
    first = max(0, len(explanation.tokens) - MAX_CHOICES // max(1, cells * choices))
    data = {
        "tokens": [strings.number(token) for token in explanation.tokens],
        "nats": [None if nats is None or not isfinite(nats) else round(nats, 2) for nats in surprise.nats],
        "alternatives": [strings.choices(choices) for choices in surprise.alternatives],
        "lenses": [_lens(lens, choices, first, strings) for lens in explanation.lenses],
        "heads": _heads(explanation),
        "steps": _steps(explanation),
        "words": _words(),
    }
    return data | {"strings": list(strings.numbers)}


def _lens(lens: Lens, choices: int, first: int, strings: _Strings) -> dict[str, Any]:
    """What a lens reads at the tokens from the first on, so many choices of each."""
    return {
        "kind": lens.kind,
        "first": first,
        "layers": list(lens.layers),
        "choices": [[strings.choices(cell[:choices]) for cell in row[first:]] for row in lens.choices],
        "ranks": [list(row[first:]) for row in lens.ranks],
    }


def _heads(explanation: Explanation) -> dict[str, list[int]]:
    """The weights by name of the head, those with the highest scores first, as many as fit."""
    patterns: dict[str, list[int]] = {}
    room = 3 * MAX_WEIGHTS
    heads = explanation.attention.heads if explanation.attention is not None else ()
    for head in sorted(heads, key=lambda head: -max(kinds(head).values())):
        pattern = _pattern(head)
        room -= len(pattern)
        if room < 0:
            break
        patterns[f"{head.layer}.{head.number}"] = pattern
    return patterns


def _pattern(head: Head) -> list[int]:
    """One after the other: how much further the query is than the one before, its distance to the key, and the percents."""
    numbers, last = [], 0
    for query, (keys, weights) in enumerate(zip(head.keys, head.weights, strict=True)):
        for key, weight in zip(keys, weights, strict=True):
            if weight >= MIN_WEIGHT:
                numbers += [query - last, query - key, _scaled(weight, 100)]
                last = query
    return numbers


def _steps(explanation: Explanation) -> list[dict[str, Any]]:
    """The shade of each token at each checkpoint, as digits."""
    if explanation.training is None:
        return []
    return [
        {
            "step": step.step,
            "shades": "".join(str(max(0, shade(nats, NATS_OF_STRONGEST_SHADE))) for nats in step.surprise),
        }
        for step in explanation.training.steps
    ]


def _words() -> dict[str, list[str]]:
    """The texts of the script, which fills in what is in braces, in English and Chinese."""
    words: dict[str, list[str]] = {}
    for language in LANGUAGES:
        with writing_in(language):
            for name, text in _spoken_words().items():
                words.setdefault(name, []).append(text)
    return words


def _spoken_words() -> dict[str, str]:
    return {
        "position": say("Token {n}"),
        "previous": say("Previous token"),
        "next": say("Next token"),
        "surprise": say("Surprise {nats} nats (probability {p}). The model expected:"),
        "first": say("Nothing precedes the first token, so there is no surprise."),
        "head": say("Head {name}"),
        "attends": say("Token {n} attends to:"),
        "nowhere": say("Token {n} attends to no token with a weight that is in this page."),
        "noPattern": say(
            "This page has the patterns of {count} heads, those with the highest scores; this is not one of them."
        ),
        "noLens": say("This page has the lenses from token {first} on; lmcraft explain --json prints all."),
    }
