"""Tasks that generate themselves, so that no model can have read them, and every size of model has one that fits it.

Each generator returns rows; the same settings always give the same rows.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

from lmcraft.errors import UserError
from lmcraft.extras import import_optional

# Common words of one token in most English vocabularies.
WORDS = (
    *("apple", "river", "stone", "cloud", "table", "horse", "green", "music", "paper", "light", "house", "bread"),
    *("water", "chair", "tiger", "field", "sugar", "metal", "glass", "plant", "ocean", "train", "clock", "sheep"),
)
PLACES = ("library", "harbor", "museum", "station", "garden", "market", "school", "bridge", "castle", "factory")
FILLER = "The {} is next to the {}, and people walk there every day."

Rows = list[dict[str, Any]]


def generate_induction(count: int = 200, seed: int = 0, length: int = 12, choices: int = 4) -> Rows:
    """Random words, once and then again from the beginning: which word comes next (induction heads, arXiv 2209.11895)?

    Args:
        count: number of rows.
        seed: of the random numbers.
        length: number of different words.
        choices: number of words to choose from, all of which occurred.
    """
    if not 2 <= choices <= length <= len(WORDS):
        raise UserError(f"induction needs 2 <= choices={choices} <= length={length} <= {len(WORDS)}")
    numbers = random.Random(seed)
    rows = []
    for _ in range(count):
        words = numbers.sample(WORDS, length)
        position = numbers.randrange(1, length)
        answer = words[position]
        options = [answer, *numbers.sample([word for word in words if word != answer], choices - 1)]
        numbers.shuffle(options)
        rows.append({"text": " ".join([*words, *words[:position]]), "choices": options, "answer": answer})
    return rows


def generate_arithmetic(count: int = 200, seed: int = 0, digits: int = 2) -> Rows:
    """Sums and differences of whole numbers.

    Args:
        count: number of rows.
        seed: of the random numbers.
        digits: of each number.
    """
    numbers = random.Random(seed)
    rows = []
    for _ in range(count):
        a, b = (numbers.randrange(10 ** (digits - 1), 10**digits) for _ in range(2))
        sign = numbers.choice("+-")
        rows.append({"question": f"{a} {sign} {b}", "answer": str(a + b if sign == "+" else a - b)})
    return rows


def generate_retrieval(count: int = 50, seed: int = 0, sentences: int = 40) -> Rows:
    """One sentence with a number, at a random depth of a text that says nothing else (a needle in a haystack).

    Args:
        count: number of rows.
        seed: of the random numbers.
        sentences: of the text; each has 12 words.
    """
    numbers = random.Random(seed)
    rows = []
    for n in range(count):
        lines = [FILLER.format(*numbers.sample(PLACES, 2)) for _ in range(sentences)]
        word, code = numbers.choice(WORDS), str(numbers.randrange(1000, 10000))
        depth = n * sentences // max(1, count - 1)
        lines.insert(depth, f"The secret number of the {word} is {code}.")
        rows.append({"text": " ".join(lines), "word": word, "answer": code, "depth": round(depth / sentences, 2)})
    return rows


GENERATORS: dict[str, Callable[..., Rows]] = {
    "induction": generate_induction,
    "arithmetic": generate_arithmetic,
    "retrieval": generate_retrieval,
}


def generate_reasoning_gym(name: str, settings: Mapping[str, int]) -> Rows:
    """The rows of a dataset of the package reasoning-gym: `question`, `answer` and `metadata`.

    Raises:
        UserError: the package is not installed, or has no such dataset or setting.
    """
    gym = import_optional("reasoning_gym", "reasoning-gym", f"'reasoning-gym:{name}'")
    try:
        return [dict(row) for row in gym.create_dataset(name, **settings)]
    except (ValueError, TypeError, AssertionError) as error:
        raise UserError(f"reasoning-gym cannot generate '{name}': {error}") from error
