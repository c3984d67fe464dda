"""Questions about what was forgotten: in other words, or over several steps of thought (arXiv 2603.11266).

A model may not continue a text any more, and still answer questions about it. A file of probes has a question, the answer
and a kind on each line: {"kind": "paraphrase", "prompt": "The birthplace of Ann is", "answer": " Rome"}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from lmcraft.audits.privacy.membership import score_tokens
from lmcraft.errors import UserError
from lmcraft.folder import naming_file
from lmcraft.json_lines import parse_json_lines
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Floats, mean_interval
from lmcraft.tokenizer import Tokenizer
from lmcraft.unlearning.results import ModelName, Probe

FIELDS = ("kind", "prompt", "answer")


@dataclass(frozen=True)
class Question:
    """A line of a file of probes."""

    kind: str
    prompt: str
    answer: str


def read_probes(file: Path) -> list[Question]:
    """The questions of a file.

    Raises:
        UserError: the file cannot be read, or a line is no probe.
    """
    questions = []
    with naming_file(file), file.open("rb") as lines:
        for number, row in parse_json_lines(lines, partial(_refuse, file)):
            values = [row.get(name) for name in FIELDS] if isinstance(row, dict) else [None]
            if not all(isinstance(value, str) and value.strip() for value in values):
                _refuse(file, number, f"it needs the texts {', '.join(FIELDS)}")
            questions.append(Question(*map(str, values)))
    if not questions:
        raise UserError(f"probes='{file}' has no questions: write lines of JSON with {', '.join(FIELDS)}")
    return questions


def _refuse(file: Path, line: int, reason: str) -> NoReturn:
    example = '{"kind": "paraphrase", "prompt": "...", "answer": "..."}'
    raise UserError(f"probes='{file}': line {line} is no probe: {reason}; write lines like {example}")


def ask(models: Mapping[ModelName, Transformer], tokenizer: Tokenizer, questions: Sequence[Question]) -> list[Probe]:
    """The mean loss of the answers by kind and model."""
    begin = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    prompts = [[*begin, *tokenizer.encode(question.prompt)] for question in questions]
    answers = [tokenizer.encode(question.answer) for question in questions]
    losses = {name: _answer_losses(model, prompts, answers) for name, model in models.items()}
    kinds = np.array([question.kind for question in questions])
    probes = []
    for kind in dict.fromkeys(kinds.tolist()):
        rows = {name: values[kinds == kind] for name, values in losses.items()}
        difference = mean_interval(rows["unlearned"] - rows["retrained"]) if "retrained" in rows else None
        probes.append(
            Probe(kind, int((kinds == kind).sum()), {name: mean_interval(r) for name, r in rows.items()}, difference)
        )
    return probes


def _answer_losses(model: Transformer, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> Floats:
    scores = score_tokens(model, [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)])
    return np.array([-score.logprobs[-len(answer) :].mean() for score, answer in zip(scores, answers, strict=True)])
