"""The model before and after fine-tuning: metrics on held-out data, answers side by side, and perplexity of general text.

The results go to `lmcraft/evaluation.json` in the model's folder, which the report reads.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lmcraft.data.loader import Batch
from lmcraft.errors import RunError, UserError
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.examples import Labeled
from lmcraft.finetuning.head import head_outputs
from lmcraft.finetuning.metrics import mean_loss
from lmcraft.finetuning.packing import PackedRows
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.finetuning.tuned_model import open_tuned
from lmcraft.folder import ModelFolder, write_json
from lmcraft.language_model import LanguageModel
from lmcraft.machine import Machine
from lmcraft.model.storage import build_model
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import ModelSource, open_model
from lmcraft.statistics.intervals import Metric, describe_metric, perplexity
from lmcraft.training.batch import to_device
from lmcraft.training.loop import Trainer
from lmcraft.training.objective import NextToken

GENERAL_TOKENS, GENERAL_ROW_TOKENS = 8192, 512
# The largest difference between the logits of an adapter and of the merged model, relative to their spread. bfloat16 has 8
# bits, and merging rounds every changed matrix once more.
MERGE_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.01}

Metrics = dict[str, Metric]


def evaluate_before(run: FinetuneRun, trainer: Trainer, folder: ModelFolder, step: int | None) -> Metrics:
    """The metrics before the first step; a resumed run reads them from `lmcraft/before.json`, if it is whole."""
    file = folder.run / "before.json"
    if step is not None:
        try:
            return {name: Metric(**values) for name, values in json.loads(file.read_text(encoding="utf-8")).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            run.print_line(f"'{file}' is missing or damaged: the report cannot compare with the model before the run")
            return {}
    if trainer.processes.count > 1:  # the model is sharded
        return {}
    metrics = run.objective.metrics(trainer.model, trainer.objective, run.data.validation, run.data.labels)
    write_json(file, {name: asdict(metric) for name, metric in metrics.items()})
    return metrics


def reserve_for_evaluation(run: FinetuneRun, trainer: Trainer, folder: ModelFolder, step: int | None) -> Metrics:
    """As `evaluate_before`; keeps what `evaluate_after` will take free in the budget of the run, if it has one.

    That is estimated by the metrics before, by one answer, and by the perplexity of general text.
    """
    budget, use = run.account.budget, partial(run.account.use, fresh=True)
    begin = use()
    before = evaluate_before(run, trainer, folder, step)
    if not budget.is_limited:
        return before
    metrics = use().minus(begin)
    budget.end = budget.end.plus(metrics)
    prompts = [] if run.objective.needs_head else run.prompts(run.config.report_answers)
    if prompts:
        base, begin = LanguageModel.of(run.source), use()
        base.generate(prompts[0][0], do_sample=False, max_new_tokens=run.config.settings.max_new_tokens)
        budget.end = budget.end.plus(use().minus(begin), 2 * len(prompts))  # of the models before and after
    if not run.objective.needs_head:
        begin = use()
        _general_perplexity(run, trainer.machine, LanguageModel.of(run.source))
        budget.end = budget.end.plus(use().minus(begin), 2)
    return before


def evaluate_after(run: FinetuneRun, trainer: Trainer, before: Metrics) -> list[str]:
    """Evaluate the model in the run's folder, and write `lmcraft/evaluation.json`.

    Returns:
        The results as lines to print.

    Raises:
        RunError: the merged model and the adapter on its base model compute different logits.
    """
    machine, folder, objective, data = trainer.machine, trainer.folder, run.objective, run.data
    with open_model(folder.path) as source:
        model = open_tuned(source, machine.dtype, machine.device, head=run.head_size)
        model.use_attention(run.config.attention)
        if source.adapter is not None and not objective.needs_head:
            _check_merge(run, source)
        after = objective.metrics(model, trainer.objective, data.validation, data.labels)
        after |= objective.final_metrics(model, data.validation)
        results: dict[str, Any] = {
            "objective": run.config.objective,
            "metrics": {
                name: {"before": asdict(before[name]) if name in before else None, "after": asdict(metric)}
                for name, metric in after.items()
            },
        }
        if (report := objective.label_report(model, data.validation, data.labels)) is not None:
            results["labels"] = report
        if objective.needs_head:
            results["answers"] = list(_predict_labels(run, model))
        else:
            results |= _compare_texts(run, machine, LanguageModel.of(source))
    write_json(folder.run / "evaluation.json", results)
    return _summarize(results)


def _compare_texts(run: FinetuneRun, machine: Machine, tuned: LanguageModel) -> dict[str, Any]:
    """Answers before and after, and the perplexity of general text."""
    base = LanguageModel.of(run.source)
    settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": run.config.settings.max_new_tokens}
    answers = []
    for ids, question, expected in run.prompts(run.config.report_answers):
        before, after = (run.tokenizer.decode(model.generate(ids, **settings)[0][len(ids) :]) for model in (base, tuned))
        answers.append({"prompt": question, "expected": expected, "before": before, "after": after})
    before_after = {name: _general_perplexity(run, machine, model) for name, model in (("before", base), ("after", tuned))}
    return {"answers": answers, "general": {"text": _general_file(run).name, **before_after}}


def _general_perplexity(run: FinetuneRun, machine: Machine, model: LanguageModel) -> dict[str, Any]:
    model.transformer.compute_dtype = machine.dtype
    return asdict(mean_loss(model.transformer, NextToken(), _general_rows(run)).mapped(perplexity))


def _general_file(run: FinetuneRun) -> Path:
    return run.config.settings.general_text or Path(argparse.__file__)


def _general_rows(run: FinetuneRun) -> PackedRows:
    file = _general_file(run)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"general_text={file} cannot be read ({error}): give a text file") from error
    ids = run.encoder.text(text[: 8 * GENERAL_TOKENS]).ids[: GENERAL_TOKENS + 1]
    length = min(GENERAL_ROW_TOKENS, run.source.checkpoint.config().max_position_embeddings)
    chunks = [ids[start : start + length + 1] for start in range(0, len(ids) - 1, length)]
    return PackedRows([TokenizedExample(chunk[:-1], chunk[1:]) for chunk in chunks], length)


def _predict_labels(run: FinetuneRun, model: Transformer) -> Iterator[dict[str, str]]:
    """The model's predictions for some held-out texts."""
    model.eval()
    data = run.data
    texts = [example for example in data.held_out if isinstance(example, Labeled)]
    for example, tokens in zip(texts[: run.config.report_answers], data.tokenized[1], strict=False):
        batch = Batch.stack([next(PackedRows([tokens], data.sequence_length).ordered())]).trim_padding()
        with torch.no_grad():
            outputs, _ = head_outputs(model, to_device(batch, model.device), data.labels.pooling)
        prediction = data.labels.predict(outputs[0])
        yield {"prompt": example.text, "expected": ", ".join(example.labels), "before": "", "after": prediction}


@torch.no_grad()
def _check_merge(run: FinetuneRun, source: ModelSource) -> None:
    """Raise RunError if the logits of the adapter and of the merged model differ by more than rounding."""
    adapted = open_tuned(source, torch.float32, torch.device("cpu")).eval()
    merged = build_model(source.checkpoint, dtype=torch.float32)
    ids = torch.from_numpy(next(run.data.validation.ordered()).input_ids[None, :256])
    expected, actual = adapted(ids), merged(ids)
    difference = float((expected - actual).square().mean().sqrt() / expected.std())
    assert source.adapter is not None
    dtype = source.checkpoint.read(f"{source.adapter.modules[0]}.weight").dtype  # merged matrices are rounded to it
    if difference > (tolerance := MERGE_TOLERANCE[dtype]):
        raise RunError(
            f"the logits of the merged model differ from the adapter's by {difference:.1%} of their spread, and only "
            f"{tolerance:.1%} is rounding: the folder is complete, but do not use it, and please report this as a bug"
        )


def _summarize(results: dict[str, Any]) -> list[str]:
    lines = []
    for name, pair in results["metrics"].items():
        after = describe_metric(pair["after"])
        before = "" if pair["before"] is None else f"{pair['before']['value']:.3f} before, "
        lines.append(f"{name}: {before}{after}{' after' if before else ''}")
    if general := results.get("general"):
        before, after = general["before"]["value"], general["after"]["value"]
        change = f"{before:.2f} before, {after:.2f} after ({after / before - 1:+.1%})"
        lines.append(f"perplexity of general text ({general['text']}): {change}")
    return lines
