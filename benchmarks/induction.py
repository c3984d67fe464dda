"""Induction heads of a small model that is pretrained here: found, confirmed by ablation, and dated by snapshots.

    python benchmarks/induction.py WORK [--steps 2000] [--seed 1]
    python benchmarks/induction.py WORK --model FOLDER

The first form prepares a dataset in the folder WORK (files of Python's standard library, and random strings of 5 to 30
letters that are written three to six times in a row, which only a model that copies predicts), pretrains a character-level
model of two blocks of twelve heads with snapshots, and reports on it; what is there already is not done again. With --model
it reports on that model instead. The report is Markdown on standard output.

Heads are named on repeated random tokens, and ablated (their outputs replaced by the mean over the text) on others, beside
random sets of as many other heads.
"""

import argparse
import json
import random
import re
import string
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch

from lmcraft import PrepareConfig, PretrainConfig, prepare, pretrain
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.attention.checks import rank_heads
from lmcraft.interpretability.attention.head_scores import (
    RepeatedTokens,
    measure_repetition_gain,
    measure_scores,
    repeat_tokens,
    score_heads,
)
from lmcraft.interpretability.checkpoints import follow_training
from lmcraft.interpretability.interventions import Head, ablate_heads, draw_other_sets, list_heads
from lmcraft.language_model import LanguageModel
from lmcraft.model.config import TransformerConfig
from lmcraft.processor import cpu_name
from lmcraft.training.config import ScheduleConfig

SCORE_SEEDS = range(5)
CHARACTERS = frozenset(string.ascii_lowercase + " \n_.()=:,")
LIBRARY_FILES, REPEATED_SHARE = 150, 1.5
FUNCTION = "def read(path):\n    return open(path).read()\n\n"


def write_texts(file: Path) -> None:
    """Files of the standard library in small letters, and random strings that are repeated, as JSON lines, shuffled."""
    draw, library = random.Random(0), Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(library.rglob("*.py")) if not {"test", "tests", "site-packages"} & set(path.parts)]
    lower = [path.read_text(encoding="utf-8", errors="ignore").lower() for path in files]
    texts = [re.sub(" +", " ", "".join(c for c in text if c in CHARACTERS)).strip() for text in lower]
    texts = [text for text in texts if text]
    draw.shuffle(texts)
    texts = texts[:LIBRARY_FILES]
    budget = REPEATED_SHARE * sum(map(len, texts))
    while budget > 0:
        line = "".join(draw.choices(string.ascii_lowercase, k=draw.randint(5, 30)))
        texts.append(line * draw.randint(3, 6))
        budget -= len(texts[-1])
    draw.shuffle(texts)
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def train(work: Path, steps: int, seed: int) -> ModelFolder:
    """The model, trained unless it is there."""
    data, out = work / "data", work / f"model-{steps}-{seed}"
    work.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        write_texts(work / "texts.jsonl")
        prepare(PrepareConfig((str(work / "texts.jsonl"),), out=data, tokenizer_type="characters"))
    if not (out / "config.json").is_file():
        model = TransformerConfig(
            hidden_size=128,
            num_attention_heads=12,
            num_key_value_heads=12,
            head_dim=16,
            intermediate_size=128,
            attention_bias="all",
            position="learned",
            norm="layernorm",
            feed_forward="gelu_tanh",
            mlp_bias=True,
            qk_norm=False,
            tie_word_embeddings=False,
        )
        run = PretrainConfig(
            data=data,
            out=out,
            depth=2,
            model=model,
            schedule=ScheduleConfig(decay=0.2),
            sequence_length=128,
            batch_size=8,
            max_steps=steps,
            snapshots=50,
            eval_tokens=5000,
            eval_every=400,
            sample_every=100_000,
            seed=seed,
            compile="off",
        )
        pretrain(run)
    return ModelFolder(out)


def report_scores(model: LanguageModel) -> None:
    """The heads of each kind, with the mean of their scores over several draws of tokens, and its range."""
    draws = [score_heads(model, seed=seed) for seed in SCORE_SEEDS]
    print("| kind | heads, with their scores (lowest to highest of 5 draws of random tokens) |\n|---|---|")
    for kind in ("induction", "previous_token", "duplicate_token"):
        heads = rank_heads(torch.stack([getattr(scores, kind) for scores in draws]).mean(0))
        values = {head: [float(getattr(scores, kind)[head]) for scores in draws] for head in heads}
        cells = [f"{h[0]}.{h[1]}: {fmean(v):.2f} ({min(v):.2f} to {max(v):.2f})" for h, v in values.items()]
        print(f"| {kind.replace('_', '-')} | {', '.join(cells) or 'none'} |")
    print()


def report_ablations(model: LanguageModel, draws: int, seed: int) -> None:
    """What repetition is worth, and the induction score, without the heads, and without random others."""
    transformer, scores = model.transformer, score_heads(model, seed=seed)
    tokens = repeat_tokens(model.tokenizer, transformer, sequences=4, seed=seed + 1)
    induction = rank_heads(scores.induction)
    if not induction:
        print("There is no induction head.\n")
        return
    previous = rank_heads(scores.previous_token)
    heads = list_heads(transformer.config)
    neither = [head for head in heads if head not in {*induction, *previous}]

    def measure(ablated: Sequence[Head]) -> tuple[float, float, float]:
        return measure_ablated(model, tokens, induction, ablated)

    print("| ablated | gain from repetition, nats per token | induction score of the induction heads | highest of others |")
    print("|---|---|---|---|")
    print(f"| nothing | {' | '.join(f'{value:.2f}' for value in measure([]))} |")
    named = [("induction", induction, heads)]
    if previous:
        named.append(("previous-token", previous, [head for head in heads if head not in induction]))
    for kind, subject, candidates in named:
        print(f"| the {len(subject)} {kind} heads | {' | '.join(f'{value:.2f}' for value in measure(subject))} |")
        for label, pool in (("others of neither kind", neither), ("others", candidates)):
            sets = draw_other_sets(subject, pool, draws, seed)
            columns = zip(*map(measure, sets), strict=True)
            cells = [f"{fmean(column):.2f} ({min(column):.2f} to {max(column):.2f})" for column in columns]
            print(f"| {len(subject)} {label}, {len(sets)} draws: mean (lowest to highest) | {' | '.join(cells)} |")
    print()


def measure_ablated(
    model: LanguageModel, tokens: RepeatedTokens, induction: Sequence[Head], ablated: Sequence[Head]
) -> tuple[float, float, float]:
    """The gain from repetition; the mean score of the induction heads; the highest of the other heads that are left."""
    hooks = ablate_heads(ablated)
    scores = measure_scores(model.transformer, tokens, hooks).induction
    others = [head for head in list_heads(model.transformer.config) if head not in {*induction, *ablated}]
    gain = measure_repetition_gain(model.transformer, tokens, hooks)
    return gain, fmean(float(scores[head]) for head in induction), max(float(scores[head]) for head in others)


def report_training(folder: ModelFolder, model: LanguageModel) -> None:
    """Scores along the run."""
    training = follow_training(folder, model.tokenizer.encode(2 * FUNCTION))
    print("| step | highest induction score | highest previous-token score | gain, nats per token | loss of the text |")
    print("|---|---|---|---|---|")
    for step in training.steps:
        gain, loss = step.induction_loss_gap, step.nats_per_token
        print(f"| {step.step} | {step.induction:.2f} | {step.previous_token:.2f} | {gain:.2f} | {loss:.2f} |")
    print(f"\nInduction forms at step {training.formation_step}.")
    for check in training.checks:
        random_mean = fmean(check.random)
        print(f"Without {check.subject}: {check.before:.2f} -> {check.after:.2f}; random others {random_mean:.2f}.")


def main() -> None:
    """Train if needed, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--draws", type=int, default=99)
    arguments = parser.parse_args()
    folder = None if arguments.model else train(arguments.work, arguments.steps, arguments.seed)
    model = LanguageModel.load(arguments.model or folder.path, tier="eager")
    print(f"{model.transformer.describe()}; {cpu_name()}\n")
    report_scores(model)
    report_ablations(model, arguments.draws, arguments.seed)
    if folder is not None:
        report_training(folder, model)


if __name__ == "__main__":
    main()
