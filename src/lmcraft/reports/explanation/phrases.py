"""What explanations name and measure, in the language of the page: they say it in English, in one of these forms."""

import re
from functools import cache

from lmcraft.reports.explanation.tokens import spell
from lmcraft.reports.language import say

# In braces: a number, a token, a list of heads, or again one of these phrases. The first form that fits counts.
PHRASES = (
    # What is named
    "what the {part} reads for {token}, with {other}, after layers {first} to {last}",
    "what the {part} reads for {token}, with {other}, after layer {layer}",
    "logit lens",
    "Jacobian lens",
    "{part} in the keys of head {head}",
    "{part} of step {number}",
    "induction head {head}",
    "induction heads {heads} and {count} more",
    "induction heads {heads}",
    "previous-token head {head}",
    "previous-token heads {heads} and {count} more",
    "previous-token heads {heads}",
    "document {number} ({method})",
    "document {number}",
    "heads {first} and {last}",
    "head {head}",
    "feed-forwards {first} and {last}",
    "feed-forward {layer}",
    "tokens {first} and {last}",
    "token {number}",
    "layer {layer}",
    "position embedding",
    "embedding",
    "bias",
    "all other pairs",
    "the average key",
    # What is measured
    "its weight from token {query} to token {key}",
    "gain from the repetition of random tokens, nats per token",
    "induction score, mean of the induction heads",
    "induction score",
    "previous-token score",
    "duplicate-token score",
    "loss of the text, nats per token",
    "logit of {token} minus that of {other}",
    "logit of {token} minus logit of {other}",
    "logit of {token} minus the mean logit",
    "logit of {token}",
    # How far the influence of documents can be trusted
    (
        "The metasmoothness of the run is {value}, below {limit}: its weights jump about as documents are left out, so "
        "trust the checks rather than the scores of replay (docs/influence.md)."
    ),
    (
        "Replay computes in float64 and ends within {distance} of the model's weights, as a share of the way that they "
        "went in training."
    ),
)
IS_NUMBER = re.compile(r"number|head|heads|count|layer|first|last|query|key")


def say_phrase(text: str) -> str:
    """A phrase in the language of the page; one of no known form stays as it is, in characters that can be seen."""
    for phrase in PHRASES:
        if match := _pattern(phrase).fullmatch(text):
            return say(phrase, **{name: say_phrase(value) for name, value in match.groupdict().items()})
    return spell_sentence(text)


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    """What a phrase looks like with its values."""

    def value(match: re.Match[str]) -> str:
        return rf"(?P<{match[1]}>{'[0-9., ]+' if IS_NUMBER.fullmatch(match[1]) else '.+'})"

    return re.compile(re.sub(r"\\\{(\w+)\\\}", value, re.escape(phrase)), re.DOTALL)


def spell_sentence(text: str) -> str:
    """A sentence that quotes tokens, in characters that can be seen."""
    return " ".join(spell(word) if word else "" for word in text.split(" "))


def begin_sentence(text: str) -> str:
    """A text with a capital at its beginning."""
    return text[:1].upper() + text[1:]
