"""How much planted junk the default pipeline removes, and how much good text it loses with it, per language.

The good documents of corpora.py are written as one source per language and kind, with a tenth of junk among them, and
prepared. Each document of the dataset is decoded and traced to the input by the runs of characters that they share. The
rules were tuned on the half `tuning` with seed 0; the figures to report come from the half `reported`.

python benchmarks/preparation/junk.py [--half reported --seed 1] [--details] [--missed FILE]
"""

import argparse
import json
import random
import re
import subprocess
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.corpora import Document
from benchmarks.preparation.junk_generator import FAMILIES, Junk, generate, good_and_spare
from benchmarks.preparation.running import DEFAULT_STAGES, prepare_command, read_texts, write_recipe
from lmcraft.data.words import mix_bits, run_hashes
from lmcraft.folder import DatasetFolder

JUNK_SHARE = 0.1  # of all documents of a language
WINDOW = 24  # characters, without white space; shorter runs are shared by chance
SAMPLED = 4  # one window of so many is looked at, chosen by its hash
MIN_TRACE = 0.2  # share of an input's windows in an output, from which on the output is what is left of it


def windows(text: str) -> frozenset[int]:
    """A sample of the hashes of a text's runs of characters."""
    plain = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).casefold().ljust(WINDOW)
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    hashes = mix_bits(run_hashes(codes, WINDOW))
    return frozenset(hashes[hashes % np.uint64(SAMPLED) == 0].tolist()) or frozenset([int(hashes.min())])


@dataclass
class Planted:
    """A document of the input, and what is left of it."""

    key: str
    language: str
    family: str  # "good", or one of junk
    variant: str
    text: str
    clean: str = ""  # of garbled text
    outputs: list[str] = field(default_factory=list)

    @cached_property
    def windows(self) -> frozenset[int]:
        return windows(self.text)

    @property
    def kept(self) -> float:
        """The share of the windows that are left."""
        left = frozenset[int]().union(*(windows(text) for text in self.outputs))
        return len(self.windows & left) / len(self.windows)

    @property
    def outcome(self) -> str:
        """What became of junk: removed, repaired or missed."""
        if not self.outputs:
            return "removed"
        if self.family == "garbled":
            wrong = self.windows - windows(self.clean)
            left = frozenset[int]().union(*(windows(text) for text in self.outputs))
            return "repaired" if len(wrong & left) < MIN_TRACE * len(wrong) or not wrong else "missed"
        return "missed" if self.kept >= MIN_TRACE else "removed"


def plant(good: Sequence[Document], spare: Sequence[Document], half: str, seed: int) -> dict[str, list[Planted]]:
    """Good documents and junk by source, LANGUAGE-KIND; junk is in all sources but those of code."""
    clean = {document.key: document.text for document in spare}
    by_source: dict[str, list[Planted]] = defaultdict(list)
    for document in good:
        planted = Planted(document.key, document.language, "good", document.kind, document.text)
        by_source[f"{document.language}-{document.kind}"].append(planted)
    draw = random.Random(seed)
    for language in ("en", "zh"):
        names = [name for name in sorted(by_source) if name.startswith(language) and not name.endswith("code")]
        sizes = [len(by_source[name]) for name in names]
        count = round(sum(sizes) * JUNK_SHARE / (1 - JUNK_SHARE))
        for number, junk in enumerate(generate(language, half, count, seed)):  # type: ignore[arg-type]
            name = draw.choices(names, sizes)[0]
            key = junk.origin if junk.family == "repeated" else f"junk/{language}/{number}"
            by_source[name].append(_planted(key, junk, clean.get(junk.origin, "")))
    for documents in by_source.values():
        draw.shuffle(documents)
    return by_source


def _planted(key: str, junk: Junk, clean: str) -> Planted:
    return Planted(key, junk.language, junk.family, junk.variant, junk.text, clean)


def prepare(by_source: dict[str, list[Planted]], folder: Path, stages: Sequence[str]) -> DatasetFolder:
    """Run the pipeline over the planted documents."""
    tables = []
    for name, documents in sorted(by_source.items()):
        rows = (json.dumps({"text": document.text}) + "\n" for document in documents)
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
        language, _, kind = name.partition("-")
        tables.append({"name": name, "paths": [str(folder / f"{name}.jsonl")], "kind": kind, "languages": [language]})
    recipe = write_recipe(folder / "recipe.toml", tables, stages)
    subprocess.run(prepare_command(recipe, folder / "out"), check=True, stdout=sys.stderr)
    return DatasetFolder(folder / "out")


def trace(outputs: Iterable[str], planted: Sequence[Planted]) -> int:
    """Give each output to the input that shares most with it; returns the number of those without one.

    Copies of a page are one input here: which of them is left does not matter.
    """
    holders: dict[int, list[int]] = defaultdict(list)
    first = {document.key: number for number, document in reversed(list(enumerate(planted)))}
    for number, document in enumerate(planted):
        if first[document.key] == number:
            both = document.windows | windows(document.clean) if document.clean else document.windows
            for window in both:
                holders[window].append(number)
    strangers = 0
    for text in outputs:
        shared = Counter(number for window in windows(text) for number in holders.get(window, ()))
        if not shared:
            strangers += 1
            continue
        number = max(shared, key=lambda n: (shared[n], shared[n] / len(planted[n].windows)))
        planted[number].outputs.append(text)
    return strangers


@dataclass
class Row:
    """Counts of a family of junk."""

    planted: int = 0
    removed: int = 0
    repaired: int = 0

    @property
    def recall(self) -> float:
        return (self.removed + self.repaired) / self.planted if self.planted else 1.0


def judge_junk(planted: Sequence[Planted], language: str) -> dict[tuple[str, str], Row]:
    """Counts by family and variant."""
    rows: dict[tuple[str, str], Row] = defaultdict(Row)
    clusters: dict[str, list[Planted]] = defaultdict(list)
    for document in planted:
        if document.language == language:
            if document.family == "repeated":
                clusters[document.key].append(document)
            elif document.family != "good":
                row = rows[document.family, document.variant]
                row.planted += 1
                row.removed += document.outcome == "removed"
                row.repaired += document.outcome == "repaired"
    left = Counter({document.key: len(document.outputs) for document in planted if document.outputs})
    for key, copies in clusters.items():
        row = rows["repeated", "pages"]
        row.planted += len(copies)
        row.removed += len(copies) - max(0, left[key] - 1)
    return rows


def good_losses(planted: Sequence[Planted], language: str) -> dict[str, tuple[int, int, float]]:
    """By kind and "all": good documents, those that are gone, and the lost share of their characters.

    A page with copies is there if one of them is.
    """
    outputs: dict[str, list[str]] = defaultdict(list)
    for document in planted:
        outputs[document.key] += document.outputs
    losses: dict[str, tuple[int, int, float]] = {}
    good = [document for document in planted if document.language == language and document.family == "good"]
    kept = {d.key: Planted(**{**vars_of(d), "outputs": outputs[d.key]}).kept for d in good}
    for kind in [*sorted({document.variant for document in good}), "all"]:
        chosen = [document for document in good if kind in (document.variant, "all")]
        size = sum(len(document.text) for document in chosen)
        lost_characters = sum((1 - kept[document.key]) * len(document.text) for document in chosen)
        lost = sum(kept[document.key] < MIN_TRACE for document in chosen)
        losses[kind] = (len(chosen), lost, lost_characters / size)
    return losses


def vars_of(document: Planted) -> dict[str, str]:
    """The fields that a copy needs."""
    return {name: getattr(document, name) for name in ("key", "language", "family", "variant", "text", "clean")}


def print_tables(planted: Sequence[Planted], details: bool) -> None:
    """Print the figures of both languages."""
    for language in ("en", "zh"):
        rows = judge_junk(planted, language)
        print(f"\n| {language}: junk | planted | removed | repaired | recall |\n|---|---|---|---|---|")
        totals = {family: Row() for family in (*FAMILIES, "all")}
        for (family, variant), row in sorted(rows.items()):
            for total in (totals[family], totals["all"]):
                total.planted += row.planted
                total.removed += row.removed
                total.repaired += row.repaired
            if details:
                print(f"| {family}: {variant} | {row.planted} | {row.removed} | {row.repaired} | {row.recall:.1%} |")
        for family, row in totals.items():
            print(f"| **{family}** | {row.planted} | {row.removed} | {row.repaired} | {row.recall:.1%} |")
        print(f"\n| {language}: good text | documents | lost | of documents | of characters |\n|---|---|---|---|---|")
        for kind, (documents, lost, characters) in good_losses(planted, language).items():
            print(f"| {kind} | {documents} | {lost} | {lost / documents:.1%} | {characters:.1%} |")


def print_reasons(manifest: Mapping[str, Any]) -> None:
    """Print why documents went, by source: good ones and junk together."""
    print("\n| stage | source | documents in | removed, by reason |\n|---|---|---|---|")
    for stage in manifest["stages"]:
        for source, languages in stage["counts"].items():
            read = sum(entry["in"]["documents"] for entry in languages.values() if "in" in entry)
            reasons: Counter[str] = Counter()
            for entry in languages.values():
                reasons.update({reason: numbers["documents"] for reason, numbers in entry.get("reasons", {}).items()})
            listed = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
            print(f"| {stage['name']} | {source} | {read} | {listed} |")


def write_errors(planted: Sequence[Planted], file: Path) -> None:
    """Write missed junk and lost documents as JSON lines, to read."""
    outputs = {document.key for document in planted if document.outputs}
    with file.open("w", encoding="utf-8") as out:
        for document in planted:
            is_lost = document.family == "good" and document.key not in outputs
            is_missed = document.family not in ("good", "repeated") and document.outcome == "missed"
            if is_lost or is_missed:
                row = {**vars_of(document), "text": document.text[:2000], "clean": "", "left": document.outputs[:1]}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("tuning", "reported"), default="reported")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--details", action="store_true", help="a row for each variant of junk, and the reasons by source")
    parser.add_argument("--missed", type=Path, help="write missed junk and lost documents into this file (tuning half only)")
    parser.add_argument("--stages", default=",".join(DEFAULT_STAGES))
    parser.add_argument("--scratch", type=Path)
    arguments = parser.parse_args()
    if arguments.missed and arguments.half != "tuning":
        parser.error("--missed is for --half tuning: nobody should tune on the half that is reported")
    good, spare = good_and_spare(arguments.half)
    by_source = plant(good, spare, arguments.half, arguments.seed)
    planted = [document for name in sorted(by_source) for document in by_source[name]]
    with TemporaryDirectory(dir=arguments.scratch) as folder:
        dataset = prepare(by_source, Path(folder), arguments.stages.split(","))
        strangers = trace(read_texts(dataset.path), planted)
        manifest = dataset.manifest()
    print(f"{arguments.half} half, seed {arguments.seed}: {len(planted)} documents; {strangers} outputs are not traced")
    print_tables(planted, arguments.details)
    if arguments.details:
        print_reasons(manifest)
    if arguments.missed:
        write_errors(planted, arguments.missed)


if __name__ == "__main__":
    main()
