"""How much of SpamAssassin's spam a classifier removes as a stage of a preparation, and how much other mail with it.

The texts of the mails, without their headers, in two halves: a small model is trained on the words of one half and tuned to
tell spam from other mail, and the other half is prepared with the default stages and this classifier. Beside it: the default
stages alone, whose rules are for web pages and not for the words of sellers.

python benchmarks/preparation/mails.py [--mails 400] [--base smollm2-135m-instruct]
"""

import argparse
import email
import email.policy
import hashlib
import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.corpora import Half, asset_folder
from benchmarks.preparation.junk import Planted, trace
from benchmarks.preparation.running import DEFAULT_STAGES, prepare_command, read_texts, write_recipe

FOLDERS = {"spam-1": "spam", "spam-2": "spam", "easy-ham-1": "ham", "easy-ham-2": "ham", "hard-ham-1": "ham"}
MIN_WORDS, MAX_CHARACTERS = 50, 4000
CONTEXT_TOKENS, TRAINED_CHARACTERS = 256, 400  # of a mail, whose characters give fewer tokens than that
TAG = re.compile(r"(?is)<(script|style).*?</\1>|<[^>]*>")


def mails(half: Half, count: int) -> Iterator[Planted]:
    """Mails of a half, `count` of each label: those with the least hashes."""
    root = asset_folder("mails") / "package/data"
    for label in ("spam", "ham"):
        files = [file for folder, own in FOLDERS.items() if own == label for file in (root / folder).glob("*.txt")]
        ranked = sorted((hashlib.sha256(file.name.encode()).digest(), file) for file in files)
        chosen = 0
        for digest, file in ranked:
            text = body(file.read_bytes())
            if (digest[-1] % 2 == 0) == (half == "tuning") and len(text.split()) >= MIN_WORDS and chosen < count:
                chosen += 1
                yield Planted(f"mails/{file.name}", "en", "good" if label == "ham" else "spam", label, text)


def body(data: bytes) -> str:
    """The text of a mail: the plain part if there is one, else HTML without its tags."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    try:
        part = message.get_body(("plain", "html"))
        text = part.get_content() if part is not None else ""
    except (LookupError, ValueError, AttributeError, TypeError):  # broken headers and unknown encodings, as spam has them
        return ""
    if part is not None and part.get_content_type() == "text/html":
        text = html.unescape(TAG.sub(" ", text))
    return re.sub(r"[ \t]+", " ", str(text)).strip()[:MAX_CHARACTERS]


def lmcraft(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "lmcraft", *map(str, arguments)], check=True, stdout=sys.stderr)


def train_classifier(folder: Path, known: list[Planted], base: str | None) -> Path:
    """A classifier with the labels spam and ham."""
    rows = "".join(json.dumps({"text": mail.text[:TRAINED_CHARACTERS], "label": mail.variant}) + "\n" for mail in known)
    (folder / "labels.jsonl").write_text(rows, encoding="utf-8")
    if base is None:
        lmcraft("prepare", folder / "labels.jsonl", "--out", folder / "words", "--vocab-size", "4096")
        sizes = ("--depth", "2", "--sequence-length", str(CONTEXT_TOKENS), "--batch-size", "8", "--max-steps", "100")
        lmcraft("pretrain", folder / "words", "--out", folder / "base", *sizes)
    tuning = (
        "--objective",
        "classification",
        "--pooling",
        "mean",
        "--too-long",
        "skip",
        "--method.name",
        "full",
        "--epochs",
        "3",
    )
    data, out = folder / "labels.jsonl", folder / "classifier"
    lmcraft("finetune", base or folder / "base", data, "--out", out, "--sequence-length", str(CONTEXT_TOKENS), *tuning)
    return folder / "classifier"


def judge(folder: Path, name: str, stages: list[object], planted: list[Planted]) -> str:
    """Prepare the mails; returns a row of the table."""
    for mail in planted:
        mail.outputs.clear()
    rows = "".join(json.dumps({"text": mail.text}) + "\n" for mail in planted)
    (folder / "mails.jsonl").write_text(rows, encoding="utf-8")
    source = {"name": "mails", "paths": [str(folder / "mails.jsonl")], "kind": "prose", "languages": ["en"]}
    recipe = write_recipe(folder / f"{name}.toml", [source], stages)  # type: ignore[arg-type]
    subprocess.run(prepare_command(recipe, folder / name), check=True, stdout=sys.stderr)
    trace(read_texts(folder / name), planted)
    spam, ham = ([mail for mail in planted if mail.variant == label] for label in ("spam", "ham"))
    removed, lost = (sum(not mail.outputs for mail in group) for group in (spam, ham))
    return f"| {name} | {len(spam)} | {removed / len(spam):.1%} | {len(ham)} | {lost / len(ham):.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=200, help="of each label and half")
    parser.add_argument("--base", help="model to tune [default: a small one, trained on the mails]")
    parser.add_argument("--keep-above", type=float, default=0.5, help="least probability of other mail")
    parser.add_argument("--scratch", type=Path)
    arguments = parser.parse_args()
    planted = list(mails("reported", arguments.mails))
    with TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name)
        classifier = train_classifier(folder, list(mails("tuning", arguments.mails)), arguments.base)
        model = {"kind": "model", "model": str(classifier), "measure": "label", "label": "ham", "tokens": CONTEXT_TOKENS}
        model_stage = {**model, "keep_above": arguments.keep_above}
        rules = judge(folder, "default", [*DEFAULT_STAGES], planted)
        both = judge(folder, "with-classifier", [*DEFAULT_STAGES, model_stage], planted)
    print("| stages | spam | removed | other mail | lost |\n|---|---|---|---|---|")
    print(rules, both, sep="\n")


if __name__ == "__main__":
    main()
