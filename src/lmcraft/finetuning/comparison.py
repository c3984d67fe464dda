"""What a run changed: the model before and after, on held-out data, on general text, and in its own words.

`lmcraft/evaluation.json` of a tuned model's folder holds all of it; the report draws it.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from math import exp
from pathlib import Path
from typing import Any

import torch

from lmcraft.data.loader import Batch
from lmcraft.errors import RunError, UserError
from lmcraft.finetuning.classify import scores
from lmcraft.finetuning.examples import Labeled
from lmcraft.finetuning.files import open_tuned
from lmcraft.finetuning.measure import Figure, classification, mean_loss, preference_accuracy, reward_accuracy, share
from lmcraft.finetuning.packing import PackedRows, Piece
from lmcraft.finetuning.task import Task
from lmcraft.folder import ModelFolder, write_json
from lmcraft.language_model import LanguageModel
from lmcraft.machine import Machine
from lmcraft.model.storage import build_model
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import ModelSource, open_model
from lmcraft.training.loop import Trainer, to_device
from lmcraft.training.objective import NextToken, Objective

GENERAL_TOKENS, GENERAL_ROW = 8192, 512
# How far the logits of a merged model may be from those of its adapter, as a share of their spread. Weights in bfloat16
# have 8 bits, and every matrix that is changed is rounded to them once more.
MERGE_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.01}

Figures = dict[str, Figure]


def measured_before(task: Task, trainer: Trainer, folder: ModelFolder, step: int | None) -> Figures:
    """The figures before the first step; a resumed run finds them in `lmcraft/before.json`."""
    file = folder.run / "before.json"
    if step is not None and file.is_file():
        return {name: Figure(**found) for name, found in json.loads(file.read_text(encoding="utf-8")).items()}
    if trainer.processes.count > 1:  # the model is cut into parts
        return {}
    found = _figures(task, trainer.model, trainer.objective)
    write_json(file, {name: asdict(figure) for name, figure in found.items()})
    return found


def compare(task: Task, trainer: Trainer, before: Figures) -> list[str]:
    """Measure the model that a run has left in its folder, and write `lmcraft/evaluation.json`.

    Returns:
        What came out, in lines for the person.

    Raises:
        RunError: merged into its base, the adapter is another model than beside it.
    """
    machine, folder = trainer.machine, trainer.folder
    with open_model(folder.path) as source:
        model = open_tuned(
            source, machine.dtype, machine.device, head=max(1, len(task.labels.labels)) if task.has_head else 0
        )
        model.use_attention(task.config.attention)
        if source.adapter is not None and not task.has_head:
            _check_merge(task, source)
        after = _figures(task, model, trainer.objective)
        if task.config.objective in ("dpo", "ipo"):
            gained = preference_accuracy(model, task.validation, per_token=_per_token(task), since_start=True)
            after["preferred answers gained more than the others"] = gained
        found: dict[str, Any] = {
            "objective": task.config.objective,
            "figures": {
                name: {"before": asdict(before[name]) if name in before else None, "after": asdict(figure)}
                for name, figure in after.items()
            },
        }
        if task.config.objective == "classify":
            settings = (task.validation, task.labels.labels, task.labels.pooling)
            found["labels"] = asdict(classification(model, *settings, several=task.labels.several))
        if task.has_head:
            found["answers"] = list(_labels_found(task, model))
        else:
            found |= _in_words(task, machine, LanguageModel.of(source))
    write_json(folder.run / "evaluation.json", found)
    return [_line(name, pair) for name, pair in found["figures"].items()] + _forgotten(found)


def _figures(task: Task, model: Transformer, objective: Objective) -> Figures:
    """The figures of an objective, each with the name that the report has for it."""
    rows, settings = task.validation, task.config.settings
    match task.config.objective:
        case "sft" | "distil" | "continue":
            return {"validation loss": mean_loss(model, NextToken(), rows)}
        case "dpo" | "ipo":
            return {"preferred answers found likelier": preference_accuracy(model, rows, per_token=_per_token(task))}
        case "kto":
            return {"validation loss": mean_loss(model, objective, rows)}
        case "reward":
            return {"better answers rewarded more": reward_accuracy(model, rows)}
        case "classify":
            found = classification(model, rows, task.labels.labels, settings.pooling, several=task.labels.several)
            return {"accuracy": share(round(found.accuracy * found.texts), found.texts)}
        case "grpo":
            lost = mean_loss(model, objective, rows)
            return {"mean reward": Figure(-lost.value, -lost.high, -lost.low)}


def _per_token(task: Task) -> bool:
    """Whether the objective compares log-probabilities of a token rather than of an answer."""
    return task.config.settings.length_normalized or task.config.objective == "ipo"


def _in_words(task: Task, machine: Machine, tuned: LanguageModel) -> dict[str, Any]:
    """Answers before and after, side by side, and what became of general text."""
    base = LanguageModel.of(task.source)
    settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": task.config.settings.max_new_tokens}
    answers = []
    for ids, asked, wanted in task.prompts(task.config.answers_shown):
        said = [model.generate(ids, **settings)[0][len(ids) :] for model in (base, tuned)]
        texts = [task.tokenizer.decode(tokens) for tokens in said]
        answers.append({"asked": asked, "wanted": wanted, "before": texts[0], "after": texts[1]})
    file = task.config.settings.general_text or Path(argparse.__file__)
    rows = _general_rows(task, file)
    losses = [mean_loss(_computing(model.transformer, machine), NextToken(), rows) for model in (base, tuned)]
    perplexity = [{"value": exp(loss.value), "low": exp(loss.low), "high": exp(loss.high)} for loss in losses]
    return {"answers": answers, "general": {"text": file.name, "before": perplexity[0], "after": perplexity[1]}}


def _computing(model: Transformer, machine: Machine) -> Transformer:
    model.compute_dtype = machine.dtype
    return model


def _general_rows(task: Task, file: Path) -> PackedRows:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"general_text={file} cannot be read ({error}): give a text file") from error
    ids = task.encoder.text(text[: 8 * GENERAL_TOKENS]).ids[: GENERAL_TOKENS + 1]
    length = min(GENERAL_ROW, task.model_config.max_position_embeddings)
    parts = [ids[start : start + length + 1] for start in range(0, len(ids) - 1, length)]
    return PackedRows([Piece(part[:-1], part[1:]) for part in parts], length)


def _labels_found(task: Task, model: Transformer) -> Iterator[dict[str, str]]:
    """What the head says of some held-out texts."""
    assert isinstance(task.validation, PackedRows)
    model.eval()
    texts = [example for example in task.held_out if isinstance(example, Labeled)]
    for example, piece in zip(texts[: task.config.answers_shown], task.pieces[1], strict=False):
        batch = Batch.stack([next(PackedRows([piece], task.sequence_length).ordered())]).trim_padding()
        with torch.no_grad():
            logits, _ = scores(model, to_device(batch, model.device), task.labels.pooling)
        yield {"asked": example.text, "wanted": ", ".join(example.labels), "before": "", "after": task.labels.of(logits[0])}


@torch.no_grad()
def _check_merge(task: Task, source: ModelSource) -> None:
    """Raise RunError where the logits of the adapter and of the merged model differ by more than rounding."""
    beside = open_tuned(source, torch.float32, torch.device("cpu")).eval()
    merged = build_model(source.checkpoint, dtype=torch.float32)
    ids = torch.from_numpy(next(task.validation.ordered()).input_ids[None, :256])
    one, other = beside(ids), merged(ids)
    apart = float((one - other).square().mean().sqrt() / one.std())
    assert source.adapter is not None
    dtype = source.checkpoint.read(f"{source.adapter.modules[0]}.weight").dtype  # what a merged matrix is rounded to
    if apart > (most := MERGE_TOLERANCE[dtype]):
        raise RunError(
            f"merged into its base, the adapter's logits differ by {apart:.1%} of their spread, and at most {most:.1%} is "
            "rounding: the folder is whole, but do not use it; tell us of it"
        )


def _line(name: str, pair: dict[str, Any]) -> str:
    after = f"{pair['after']['value']:.3f} ({pair['after']['low']:.3f} to {pair['after']['high']:.3f})"
    return f"{name}: {after}" if pair["before"] is None else f"{name}: {pair['before']['value']:.3f} before, {after} after"


def _forgotten(found: dict[str, Any]) -> list[str]:
    if "general" not in found:
        return []
    g = found["general"]
    before, after = g["before"]["value"], g["after"]["value"]
    return [f"perplexity on general text ({g['text']}): {before:.2f} before, {after:.2f} after ({after / before - 1:+.1%})"]
