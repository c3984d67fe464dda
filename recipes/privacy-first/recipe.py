"""Messages of patients to a model that is private: scrubbed, tuned with differential privacy, audited, with a card.

The same tuning without privacy runs beside it. Without --data, messages of patients are invented. Without --model, a small
one is trained on the docstrings of Python's standard library, which nobody has to protect.
"""

import ast
import json
import sysconfig
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from pydoc_data.topics import topics

from messages import COUNT, messages

from lmcraft.reports.evidence import Evidence, collect
from recipes.work import Figure, Work

MIN_DOCSTRING = 40  # characters
SHOWN = ("loss: area", "secrets: area")
SHORT = ("--max-steps", 3)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="JSON lines with a field text: one document each")
    parser.add_argument("--model", help="a public model to tune")
    parser.add_argument("--epsilon", type=float, default=8.0, help="the guarantee; smaller is stronger [default: 8]")
    parser.add_argument("--only-private", action="store_true", help="leave out the tuning without privacy")


def run(work: Work, options: Namespace) -> list[Figure]:
    base = open_base(work, options.model) if options.model else train_base(work)
    invented = None if options.data else list(messages(400 if work.short else COUNT))
    texts = options.data.read_bytes() if options.data else json_lines(message.text for message in invented or ())
    (work.folder / "messages.jsonl").write_bytes(texts)
    scrub(work, base)
    private = tune_and_audit(work, "private", base, options.epsilon)
    ordinary = None if options.only_private or work.short else tune_and_audit(work, "ordinary", base, 0.0)
    values = {value for message in invented or () for value in message.values}
    print(f"\ncard: {work.folder / 'private' / 'README.md'}")
    return [*scrubbing_figures(work, values), *loss_figures(private), *audit_figures(private, ordinary)]


def open_base(work: Work, model: str) -> Path:
    """The folder of a public model."""
    if Path(model).is_dir():
        return Path(model).resolve()
    if not (work.folder / "base").is_dir():
        work.lmcraft("pull", model, "--out", "base")
    return work.folder / "base"


def train_base(work: Work) -> Path:
    """A small model of public text."""
    if not (work.folder / "public" / "manifest.json").is_file():
        (work.folder / "public.jsonl").write_bytes(json_lines(public_texts()))
        work.lmcraft("prepare", "public.jsonl", "--out", "public", "--vocab-size", 2048, "--overwrite")
    return work.train("pretrain", "pretrain.toml", "base", *(SHORT if work.short else ()))


def public_texts() -> Iterator[str]:
    """The help topics and the docstrings of Python, one text per module."""
    yield from topics.values()
    library = Path(sysconfig.get_path("stdlib"))
    for file in sorted(library.rglob("*.py")):
        if not {"site-packages", "test", "tests"} & set(file.parts):
            try:
                nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
            except (SyntaxError, ValueError):
                continue
            documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            docstrings = (ast.get_docstring(node) or "" for node in nodes if isinstance(node, documented))
            if text := "\n\n".join(docstring for docstring in docstrings if len(docstring) > MIN_DOCSTRING):
                yield text


def json_lines(texts: Iterable[str]) -> bytes:
    return "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode()


def scrub(work: Work, base: Path) -> None:
    """The dataset without personal data, in tokens of the public model."""
    if (work.folder / "data" / "manifest.json").is_file():
        return
    settings = (work.recipe / "prepare.toml").read_text(encoding="utf-8")
    (work.folder / "prepare.toml").write_text(f"tokenizer = {json.dumps(str(base))}\n{settings}", encoding="utf-8")
    work.lmcraft("prepare", "prepare.toml", "--out", "data")


def tune_and_audit(work: Work, out: str, base: Path, epsilon: float) -> Evidence:
    """What a tuned model's folder says about it after the audit, which may find that it gives away too much."""
    arguments = ["--canaries", 10, *SHORT] if work.short else []
    folder = work.train("finetune", "finetune.toml", out, "--model", base, "--dp.epsilon", epsilon, *arguments)
    if collect(folder).privacy_audit is None:
        work.lmcraft("audit", "privacy", out, allow=(0, 1))
    return collect(folder)


def scrubbing_figures(work: Work, values: set[str]) -> list[Figure]:
    """How many of the names, numbers and addresses that were put into the invented messages are left after scrubbing."""
    from lmcraft.data.loader import TokenSplit
    from lmcraft.tokenizer.tokenizer import Tokenizer

    if not values:
        return []
    split, tokenizer = TokenSplit(work.folder / "data", "train"), Tokenizer.load(work.folder / "data")
    text = tokenizer.decode(split.slice(0, len(split)).tolist())
    left = sum(value in text for value in values)
    return [Figure("names, numbers and addresses in the messages", "before scrubbing", f"{len(values):,}", f"{left:,}")]


def loss_figures(private: Evidence) -> list[Figure]:
    """The loss of the public model and of the private one on messages that were held out."""
    before = next((change.before.value for change in private.tuning if change.before), None)
    if before is None or private.training is None:
        return []
    after = private.training.figures["validation_loss"].value
    return [Figure("validation loss, nats per token", "public model", float(before), float(after))]


def audit_figures(private: Evidence, ordinary: Evidence | None) -> list[Figure]:
    """What the attacks get out of the private model beside what they get out of the ordinary one."""
    compared = {} if ordinary is None else attacks(ordinary)
    figures = []
    for name, (value, low, high) in attacks(private).items():
        baseline = compared.get(name, (None,))[0]
        ends = None if low is None or high is None else (low, high)
        figures.append(Figure(name, "without privacy", "not run" if baseline is None else baseline, value, ends))
    return figures


def attacks(model: Evidence) -> dict[str, tuple[float, float | None, float | None]]:
    """The main figures of the privacy audit, with the ends of their intervals; the card and the report have all of them."""
    audited = () if model.privacy_audit is None else model.privacy_audit.figures
    named = {f"{title}: {figure.name}": (float(figure.value), figure.low, figure.high) for title, figure in audited}
    return {name: value for name, value in named.items() if name.startswith(SHOWN) or "exposure" in name}
