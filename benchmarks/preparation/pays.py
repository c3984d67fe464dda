"""Does preparing pay? Small models trained on equally many tokens, raw against prepared, and with rehydration on and off.

Both runs of a pair have the same tokenizer, length, settings and seed; the loss is that on clean documents that are in no
training text (a task of kind `perplexity`, scored by `lmcraft pretrain --tasks`). The interval is that of the mean of the
pairs' differences, by Student's t.

- raw: good documents with junk among them, tokenized as they are. prepared: the same through the usual stages.
- rehydration: a third of the good documents are popular, with 1 to 6 near-copies; the words of half of the unpopular ones
  are in random order, as in generated pages. All are deduplicated; `copies` of the recipe reads the popular ones more
  often, --no-mixture-copies does not. So the size of a cluster tells quality here, as FineWeb-2 found for web pages; where
  it does not, there is nothing to gain.

python benchmarks/preparation/pays.py [--seeds 3] [--max-tokens 600000] [--junk 0.3]
"""

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.corpora import Document
from benchmarks.preparation.junk_generator import generate, good_and_spare
from benchmarks.preparation.running import DEFAULT_STAGES, prepare_command, write_recipe
from lmcraft.folder import DatasetFolder, ModelFolder
from lmcraft.json_lines import read_json_lines
from lmcraft.statistics.paired import Comparison, compare_paired

HALF = "reported"
LANGUAGES = ("en", "zh")
MAX_CHARACTERS = {"en": 6000, "zh": 2000}  # of a document, so that the novel's chapters do not decide
CLEAN_DOCUMENTS = 30  # of each language
CLEAN_CHARACTERS = {"en": 2000, "zh": 700}
VOCAB_SIZE = 2048
COPIES = {"2": 2, "3": 3, "5": 5}
TASK = "clean"
MEASURE = "nats_per_token"


@dataclass(frozen=True)
class Texts:
    """Documents to train on, and clean ones to measure on."""

    training: Sequence[Document]
    clean: Sequence[Document]


def divide() -> Texts:
    """The good documents but code, divided by the hashes of their keys."""
    good = [document for document in good_and_spare(HALF)[0] if document.kind != "code"]
    ordered = sorted(good, key=lambda document: hashlib.sha256(document.key.encode()).digest())
    clean = [d for language in LANGUAGES for d in [d for d in ordered if d.language == language][:CLEAN_DOCUMENTS]]
    keys = {document.key for document in clean}
    return Texts([document for document in ordered if document.key not in keys], clean)


def excerpt(document: Document) -> str:
    """The start of a document, up to the end of a line where there is one."""
    text = document.text[: MAX_CHARACTERS[document.language]]
    return text if len(text) == len(document.text) else text[: max(text.rfind("\n"), len(text) // 2)]


def write_clean(documents: Sequence[Document], folder: Path) -> Path:
    """The task that scores the clean documents."""
    rows = [{"text": document.text[: CLEAN_CHARACTERS[document.language]]} for document in documents]
    write_rows(folder / f"{TASK}.jsonl", (row["text"] for row in rows))
    file = folder / f"{TASK}.toml"
    file.write_text(f'description = "Clean documents."\nkind = "perplexity"\ndata = "{TASK}.jsonl"\ntext = "text"\n')
    return file


def write_rows(file: Path, texts: Iterator[str]) -> Path:
    """Write documents as JSON lines."""
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return file


def with_junk(documents: Sequence[Document], share: float) -> dict[str, list[str]]:
    """The documents of each language, and junk that is a share of all bytes, in random order."""
    texts = {}
    for language in LANGUAGES:
        draw = random.Random(f"junk {language}")
        good = [excerpt(document) for document in documents if document.language == language]
        size = share / (1 - share) * sum(map(_bytes, good))
        junk = [text.text for text in generate(language, HALF, 4 * len(good), 1)]  # type: ignore[arg-type]
        draw.shuffle(junk)
        planted = list[str]()
        while junk and sum(map(_bytes, planted)) < size:
            planted.append(junk.pop()[: MAX_CHARACTERS[language]])
        texts[language] = [*good, *planted]
        draw.shuffle(texts[language])
    return texts


def popular_and_scrambled(documents: Sequence[Document]) -> dict[str, list[str]]:
    """The documents of each language: popular ones with near-copies, and unpopular ones, half of them scrambled."""
    texts: dict[str, list[str]] = {language: [] for language in LANGUAGES}
    draw = random.Random("popular")
    for number, document in enumerate(documents):
        text = excerpt(document)
        if number % 3 == 0:  # an ending that is cut by up to 8% leaves a Jaccard similarity of about 0.92
            endings = [draw.uniform(0.92, 1.0) for _ in range(draw.randint(1, 6))]
            texts[document.language] += [text, *(text[: round(ending * len(text))] for ending in endings)]
        else:
            texts[document.language].append(text if number % 3 == 1 else scramble(text, draw))
    for language in LANGUAGES:
        draw.shuffle(texts[language])
    return texts


def scramble(text: str, draw: random.Random) -> str:
    """The text with the words of each line in random order; Chinese characters are words here."""

    def shuffle(line: str) -> str:
        words = re.findall(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+|\s+", line)
        moved = [word for word in words if not word.isspace()]
        draw.shuffle(moved)
        return "".join(word if word.isspace() else moved.pop() for word in words)

    return "\n".join(map(shuffle, text.split("\n")))


def _bytes(text: str) -> int:
    return len(text.encode())


def prepare(
    folder: Path, name: str, texts: Mapping[str, Sequence[str]], stages: Sequence[str], **settings: object
) -> DatasetFolder:
    """Run a recipe over the texts, a source for each language."""
    tables = []
    for language in texts:
        file = write_rows(folder / f"{name}-{language}.jsonl", iter(texts[language]))
        tables.append({"name": language, "paths": [str(file)], "kind": "prose"})
    recipe = write_recipe(folder / f"{name}.toml", tables, stages, validation=0.02, **settings)
    run(prepare_command(recipe, folder / name))
    return DatasetFolder(folder / name)


@dataclass(frozen=True)
class Condition:
    """What a run reads, and how."""

    name: str
    data: DatasetFolder
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class Setup:
    """What all runs share."""

    folder: Path
    task: Path
    max_tokens: int
    seeds: int
    workers: int
    """Runs at the same time, which share the cores: a model this small hardly gains from several threads."""

    def compare(self, first: Condition, second: Condition) -> list[list[float]]:
        """Train under both conditions with each seed; returns the losses of each."""
        with ThreadPoolExecutor(self.workers) as pool:
            jobs = [
                [pool.submit(self.train, condition, seed) for condition in (first, second)] for seed in range(self.seeds)
            ]
            pairs = [[job.result() for job in pair] for pair in jobs]
        return [list(losses) for losses in zip(*pairs, strict=True)]

    def train(self, condition: Condition, seed: int) -> float:
        """Train; returns the loss on the clean documents after the last step, in nats per token."""
        out = self.folder / "models" / f"{condition.name}-{seed}"
        steps = self.max_tokens // (16 * 256)
        settings = {
            "depth": 4,
            "model.hidden-size": 128,
            "sequence-length": 256,
            "batch-size": 16,
            "max-steps": steps,
            "eval-every": steps,
            "eval-tokens": 8192,
            "sample-every": steps,
            "tasks": self.task,
            "task-limit": 0,
            "evaluate-every": steps,
            "seed": seed,
            "out": out,
        }
        command = [sys.executable, "-m", "lmcraft", "pretrain", condition.data.path, *condition.flags]
        threads = max(1, len(os.sched_getaffinity(0)) // self.workers)
        run(
            [*command, *(part for key, value in settings.items() for part in (f"--{key}", value))],
            OMP_NUM_THREADS=str(threads),
        )
        rows = [row for row in read_json_lines(ModelFolder(out).metrics) if "tasks" in row]
        assert rows[-1]["step"] == steps, rows[-1]
        return float(rows[-1]["tasks"][TASK][MEASURE][0])


def run(command: Sequence[object], **environment: str) -> None:
    """Run a command; its output is shown if it fails."""
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, env=os.environ | environment)
    if result.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")


def describe(title: str, names: Sequence[str], losses: Sequence[Sequence[float]]) -> str:
    """The losses of each seed, and the mean gain with its interval, as rows of Markdown."""
    comparison: Comparison = compare_paired(losses[0], losses[1])
    gain = comparison.gain
    rows = [
        f"| {name} | {' | '.join(f'{loss:.4f}' for loss in values)} |" for name, values in zip(names, losses, strict=True)
    ]
    header = (
        f"| {title} | {' | '.join(f'seed {seed}' for seed in range(len(losses[0])))} |\n|{'---|' * (1 + len(losses[0]))}"
    )
    ends = "" if gain.low is None else f" (95% interval {gain.low:+.4f} to {gain.high:+.4f}, {comparison.test})"
    return "\n".join([header, *rows, f"\nloss of '{names[1]}' less that of '{names[0]}': {gain.value:+.4f}{ends}\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=600_000, help="of each run")
    parser.add_argument("--junk", type=float, default=0.3, help="share of the raw bytes")
    parser.add_argument("--only", choices=("prepared", "rehydration"), help="one of the two comparisons")
    parser.add_argument("--workers", type=int, default=2, help="runs at the same time")
    parser.add_argument("--work", type=Path, help="folder to keep; default: a temporary one")
    arguments = parser.parse_args()
    begin = time.monotonic()
    with TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        texts = divide()
        setup = Setup(folder, write_clean(texts.clean, folder), arguments.max_tokens, arguments.seeds, arguments.workers)
        if arguments.only != "rehydration":
            print(compare_prepared(setup, texts, arguments.junk))
        if arguments.only != "prepared":
            print(compare_rehydration(setup, texts))
    print(f"{time.monotonic() - begin:.0f} s")


def compare_prepared(setup: Setup, texts: Texts, junk: float) -> str:
    """Raw text with junk against the same text after the usual stages."""
    documents = with_junk(texts.training, junk)
    raw = prepare(setup.folder, "raw", documents, (), vocab_size=VOCAB_SIZE)
    prepared = prepare(setup.folder, "prepared", documents, DEFAULT_STAGES, tokenizer=str(raw.path))
    print(
        f"raw: {tokens_of(raw):,} tokens; prepared: {tokens_of(prepared):,}; each run reads {setup.max_tokens:,}", flush=True
    )
    losses = setup.compare(Condition("raw", raw), Condition("prepared", prepared))
    return describe(f"{junk:.0%} junk", ("raw", "prepared"), losses)


def compare_rehydration(setup: Setup, texts: Texts) -> str:
    """The same deduplicated dataset, read with and without copies."""
    data = prepare(
        setup.folder,
        "clusters",
        popular_and_scrambled(texts.training),
        ("normalize", "exact-duplicates", "near-duplicates"),
        vocab_size=VOCAB_SIZE,
        mixture={"copies": COPIES},
    )
    print(f"deduplicated: {tokens_of(data):,} tokens; each run reads {setup.max_tokens:,}", flush=True)
    losses = setup.compare(Condition("off", data, ["--no-mixture-copies"]), Condition("on", data))
    return describe("clusters", ("rehydration off", "rehydration on"), losses)


def tokens_of(data: DatasetFolder) -> int:
    """The number of training tokens."""
    tokens: int = data.token_manifest()["splits"]["train"]["tokens"]
    return tokens


if __name__ == "__main__":
    main()
