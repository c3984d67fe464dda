"""How much of the personal data in labelled texts scrubbing finds, and how fast, beside Presidio and argus-redact.

python benchmarks/scrubbing.py                          the tables of benchmarks/scrubbing.md, on the held-out half
python benchmarks/scrubbing.py --half tuning --show 5   for whoever improves detectors: misses and false positives of lmcraft
python benchmarks/scrubbing.py --skip-ordinary          without the texts of benchmarks/preparation/corpora.py

Needs lmcraft[privacy], presidio-analyzer, argus-redact and spaCy's small English model (en_core_web_sm).
"""

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scrubbing_peers import OPENERS, Tool, open_tool
from scrubbing_set import HALVES, LANGUAGES, Label, LabelledText, Language, labelled_texts

FORMATS = (
    "email",
    "phone",
    "identity",
    "card",
    "bank-account",
    "ip",
    "mac",
    "url",
    "secret",
    "passport",
    "plate",
    "birth-date",
    "driver-license",
    "account",
)
KINDS = (*FORMATS, "name", "address")
URL = "url"
MIN_OVERLAP = 0.5  # intersection over union, from which a finding is the value
BOOTSTRAP_SAMPLES = 1_000
SPEED_SECONDS = 5.0
ORDINARY = {
    "three-kingdoms": "*Three Kingdoms*", "poems": "poems of Tang and Song", "manual-pages-zh": "manual pages in Chinese",
    "speeches": "State of the Union", "novel": "*Moby-Dick*", "python-docs": "Python's documentation",
    "standard-library": "Python's standard library",
}  # fmt: skip


@dataclass
class Counts:
    """Right and wrong findings and missed values by kind and template, and characters of values that nothing covers."""

    right: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: Counter[tuple[str, int]] = field(default_factory=Counter)
    missed: Counter[tuple[str, int]] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    leaked: int = 0

    def f1(self, kinds: Iterable[str]) -> "Score":
        """Precision, recall and F1 over some kinds, with an interval from resampled templates."""
        tables = []
        for counter in (self.right, self.wrong, self.missed):
            by_template: Counter[int] = Counter()
            for (kind, template), count in counter.items():
                if kind in kinds:
                    by_template[template] += count
            tables.append(by_template)
        templates = sorted(set().union(*tables))
        if not templates:
            return Score(float("nan"), float("nan"), float("nan"), float("nan"), float("nan"))
        counts = np.array([[table[template] for table in tables] for template in templates], float)
        rng = np.random.default_rng(0)
        weights = rng.multinomial(len(templates), np.full(len(templates), 1 / len(templates)), BOOTSTRAP_SAMPLES)
        low, high = np.nanquantile(_f1(weights @ counts), (0.025, 0.975))
        right, wrong, missed = counts.sum(0)
        with np.errstate(invalid="ignore"):
            return Score(
                right / (right + wrong), right / (right + missed), float(_f1(counts.sum(0))), float(low), float(high)
            )


@dataclass(frozen=True)
class Score:
    """Shares between 0 and 1."""

    precision: float
    recall: float
    f1: float
    low: float
    high: float


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of right, wrong and missed, in the last axis."""
    right, wrong, missed = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * right / (2 * right + wrong + missed))


def overlap(a: Label, b: Label) -> float:
    """Intersection over union of two spans."""
    shared = min(a.stop, b.stop) - max(a.start, b.start)
    return shared / (max(a.stop, b.stop) - min(a.start, b.start)) if shared > 0 else 0.0


def match(labels: Sequence[Label], findings: Sequence[Label]) -> list[tuple[Label, Label]]:
    """Pairs of a label and a finding of its kind, each in one pair, those that overlap most first."""
    pairs = [
        (score, label, finding)
        for label in labels
        for finding in findings
        if label.kind == finding.kind and (score := overlap(label, finding)) >= MIN_OVERLAP
    ]
    taken: set[Label] = set()
    used: set[Label] = set()
    matched = []
    for _, label, finding in sorted(pairs, key=lambda pair: -pair[0]):
        if label not in taken and finding not in used:
            taken.add(label)
            used.add(finding)
            matched.append((label, finding))
    return matched


def measure(tool: Tool, texts: Sequence[LabelledText], show: int = 0) -> Counts:
    """What a tool finds in labelled texts; `show` of its errors by kind are printed."""
    counts = Counts()
    shown: Counter[tuple[str, str, int]] = Counter()
    for text in texts:
        found = list(dict.fromkeys(tool.find(text.text)))
        covered = {position for finding in found for position in range(finding.start, finding.stop)}
        # A password in an address is found if the tool covers it, as whatever kind, alone or with the address.
        urls = [label for label in text.labels if label.kind == URL]
        labels = [label for label in text.labels if label.kind in tool.kinds - {URL}]
        findings = [f for f in found if f.kind in tool.kinds - {URL} and not any(overlap(f, url) for url in urls)]
        pairs = [*match(labels, findings), *((url, url) for url in urls if covered.issuperset(range(url.start, url.stop)))]
        labels += urls
        right, used = {label for label, _ in pairs}, {finding for _, finding in pairs}
        for label, finding in pairs:
            counts.right[label.kind, text.template] += 1
            counts.exact[label.kind] += label == finding
        for verdict, spans, counter in (
            ("missed", [label for label in labels if label not in right], counts.missed),
            ("wrong", [finding for finding in findings if finding not in used], counts.wrong),
        ):
            for span in spans:
                counter[span.kind, text.template] += 1
                shown[verdict, span.kind, text.template] += 1
                if shown[verdict, span.kind, text.template] <= show:
                    print(f"{verdict} {span.kind}: {excerpt(text.text, span)}")
        own = {position for label in text.labels for position in range(label.start, label.stop)}
        counts.characters += len(own)
        counts.leaked += len(own - covered)
    return counts


def excerpt(text: str, span: Label) -> str:
    """A finding with some of the text around it, in one line."""
    before, after = text[max(0, span.start - 25) : span.start], text[span.stop : span.stop + 25]
    return f"{before}[[{text[span.start : span.stop]}]]{after}".replace("\n", "\\n")


def speed(tool: Tool, texts: Sequence[str]) -> float:
    """MB/s of processor time, on as many of the texts as some seconds allow."""
    tool.find(texts[0])
    size, begin = 0, time.process_time()
    while (seconds := time.process_time() - begin) < SPEED_SECONDS:
        for text in texts:
            tool.find(text)
            size += len(text.encode())
            if time.process_time() - begin > SPEED_SECONDS:
                break
    return size / seconds / 1e6


def percent(value: float) -> str:
    """A share as the tables have it."""
    return "" if np.isnan(value) else f"{100 * value:.1f}"


def set_tables(language: Language, tools: Sequence[Tool], texts: Sequence[LabelledText], show: int) -> None:
    """F1 by kind, and what all kinds come to."""
    results = [measure(tool, texts, show if tool.name == "lmcraft" else 0) for tool in tools]
    labelled = Counter(label.kind for text in texts for label in text.labels)
    size = sum(len(text.text.encode()) for text in texts)
    print(f"\n## {language}: {len(texts):,} texts, {size / 1e3:.0f} kB, {labelled.total():,} values\n")
    print(f"| kind | values | {' | '.join(tool.name for tool in tools)} |\n|---|---|{'---|' * len(tools)}")
    for kind in KINDS:
        if labelled[kind]:
            cells = []
            for tool, counts in zip(tools, results, strict=True):
                score = counts.f1([kind])
                detail = f"{percent(score.f1)} ({percent(score.precision)}, {percent(score.recall)})"
                cells.append(detail if kind in tool.kinds else "")
            print(f"| {kind} | {labelled[kind]:,} | {' | '.join(cells)} |")
    common = frozenset(KINDS).intersection(*(tool.kinds for tool in tools))
    rows = {
        "all kinds of the tool": lambda tool: [kind for kind in KINDS if kind in tool.kinds],
        "formats of the tool": lambda tool: [kind for kind in FORMATS if kind in tool.kinds],
        "formats that all tools have": lambda tool: [kind for kind in FORMATS if kind in common],
    }
    for title, choose in rows.items():
        scores = [counts.f1(choose(tool)) for tool, counts in zip(tools, results, strict=True)]
        cells = [f"**{percent(score.f1)}** [{percent(score.low)}, {percent(score.high)}]" for score in scores]
        print(f"| {title} | | {' | '.join(cells)} |")
    exact = [counts.exact.total() / max(1, counts.right.total()) for counts in results]
    print(f"| right findings with exact borders | | {' | '.join(map(percent, exact))} |")
    print(f"| characters of values left | | {' | '.join(percent(c.leaked / c.characters) for c in results)} |")
    print(f"\nformats that all tools have: {', '.join(kind for kind in FORMATS if kind in common)}")
    texts_alone = [text.text for text in texts]
    print("speed, MB/s: " + ", ".join(f"{tool.name} {speed(tool, texts_alone):.2f}" for tool in tools))


def ordinary_tables(tools: dict[Language, list[Tool]]) -> None:
    """Findings in ordinary text by kind, per MB, and the speed on it."""
    sys.path.insert(0, str(Path(__file__).parent / "preparation"))
    from corpora import good_documents

    documents = [d for d in good_documents("reported") if d.corpus in ORDINARY]
    print("\n## Ordinary text: findings per MB\n\n| corpus | MB | tool | names | addresses | other kinds | MB/s |")
    print("|---|---|---|---|---|---|---|")
    for corpus, group in groupby(sorted(documents, key=lambda d: (d.language, d.corpus)), key=lambda d: d.corpus):
        texts = list(group)
        for tool in tools[texts[0].language]:
            found: Counter[str] = Counter()
            size, begin = 0, time.process_time()
            for document in texts:
                found.update(finding.kind for finding in tool.find(document.text) if finding.kind != "url")
                size += len(document.text.encode())
                if (seconds := time.process_time() - begin) > 4 * SPEED_SECONDS:
                    break
            per_mb = {kind: 1e6 * count / size for kind, count in found.items()}
            others = {kind: per_mb[kind] for kind in FORMATS if kind in per_mb}
            detail = ", ".join(f"{kind} {value:.1f}" for kind, value in sorted(others.items(), key=lambda i: -i[1])[:4])
            cells = [f"{per_mb.get('name', 0):.1f}", f"{per_mb.get('address', 0):.1f}"]
            cells += [f"{sum(others.values()):.1f}{f' ({detail})' if detail else ''}", f"{size / seconds / 1e6:.2f}"]
            print(f"| {ORDINARY[corpus]} | {size / 1e6:.2f} | {tool.name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=HALVES, default="held-out")
    parser.add_argument("--tools", nargs="+", choices=OPENERS, default=list(OPENERS))
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--skip-ordinary", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tools: dict[Language, list[Tool]] = defaultdict(list)
    for language in options.languages:
        tools[language] = [open_tool(name, language) for name in options.tools]
        set_tables(language, tools[language], list(labelled_texts(language, options.half)), options.show)
    if not options.skip_ordinary:
        ordinary_tables(tools)


if __name__ == "__main__":
    main()
