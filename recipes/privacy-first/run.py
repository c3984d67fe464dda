"""Scrub, tune with differential privacy, audit, and a card, in one command; beside the same tuning without privacy.

    python recipes/privacy-first/run.py WORK [--data messages.jsonl] [--model MODEL] [--epsilon 8] [--only-private]

Without --data, patients' messages are invented; without --model, a small one is trained on the docstrings of Python's
standard library, which nobody has to protect. Prints a table of the figures, which are in WORK/results.json. What is
complete is not done again.
"""

import argparse
import ast
import json
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from messages import messages

HERE = Path(__file__).parent
MIN_DOCSTRING = 40  # characters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path, help="JSON lines with a field text: one document each")
    parser.add_argument("--model", help="a public model to tune")
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--only-private", action="store_true", help="leave out the tuning without privacy")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    base = str(open_base(arguments.work, arguments.model) if arguments.model else train_base(arguments.work))
    data, scrubbed = scrub(arguments.work, arguments.data, base)
    results: dict[str, Any] = {"scrubbed": scrubbed, "epsilon": arguments.epsilon}
    results["private"] = tune_and_audit(arguments.work / "private", base, data, arguments.epsilon)
    if not arguments.only_private:
        results["ordinary"] = tune_and_audit(arguments.work / "ordinary", base, data, 0.0)
    results["minutes"] = (time.monotonic() - begin) / 60
    (arguments.work / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print_table(results, arguments.work)


def lmcraft(*arguments: object, may_fail: bool = False) -> int:
    """Run a command, and return its exit status."""
    words = list(map(str, arguments))
    print(f"\n$ lmcraft {' '.join(words)}", flush=True)
    status = subprocess.run([sys.executable, "-m", "lmcraft", *words], check=False).returncode
    if status and not may_fail:
        sys.exit(status)
    return status


def open_base(work: Path, model: str) -> Path:
    """The folder of a public model."""
    if Path(model).is_dir():
        return Path(model)
    base = work / "base"
    if not base.is_dir():
        lmcraft("pull", model, "--out", base)
    return base


def train_base(work: Path) -> Path:
    """A small model of public text."""
    base = work / "base"
    if not (base / "model.safetensors").is_file():
        write_rows(work / "public.jsonl", public_texts())
        lmcraft("prepare", work / "public.jsonl", "--out", work / "public", "--vocab-size", 2048, "--overwrite")
        lmcraft("pretrain", work / "public", "--depth", 2, "--batch-size", 8, "--max-steps", 300, "--out", base)
    return base


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


def write_rows(file: Path, texts: Iterator[str]) -> None:
    file.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")


def scrub(work: Path, data: Path | None, base: str) -> tuple[Path, dict[str, Any]]:
    """The dataset without personal data, and how much of each kind was in it."""
    out, source = work / "data", work / "messages.jsonl"
    planted: set[str] = set()
    if data is None:
        invented = list(messages())
        planted = {value for message in invented for value in message.values}
        write_rows(source, (message.text for message in invented))
    else:
        source.write_bytes(data.read_bytes())
    if not (out / "manifest.json").is_file():
        recipe, tokenizer = work / "prepare.toml", f"tokenizer = {json.dumps(str(Path(base).resolve()))}\n"
        settings = (HERE / "prepare.toml").read_text(encoding="utf-8")
        recipe.write_text(
            tokenizer + settings.replace('"messages.jsonl"', json.dumps(str(source.resolve()))), encoding="utf-8"
        )
        lmcraft("prepare", recipe, "--out", out)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    kinds = next(stage["personal_data"] for stage in manifest["stages"] if stage["kind"] == "scrub")
    found: dict[str, Any] = {kind: entry["values"] for kind, entry in kinds.items()}
    if planted:
        text = training_text(out)
        found |= {"planted": len(planted), "left": sum(value in text for value in planted)}
    return out, found


def training_text(dataset: Path) -> str:
    from lmcraft.data.loader import TokenSplit
    from lmcraft.tokenizer.tokenizer import Tokenizer

    split, tokenizer = TokenSplit(dataset, "train"), Tokenizer.load(dataset)
    return tokenizer.decode(split.slice(0, len(split)).tolist())


def tune_and_audit(out: Path, base: str, data: Path, epsilon: float) -> dict[str, Any]:
    """Tune a model, audit it, and read what its folder says about that."""
    resume = ["--resume"] if (out / "lmcraft" / "checkpoints").is_dir() else []
    lmcraft(
        "finetune", HERE / "finetune.toml", "--model", base, "--data", data, "--dp.epsilon", epsilon, "--out", out, *resume
    )
    status = lmcraft("audit", "privacy", out, may_fail=True)
    if status not in (0, 1):
        sys.exit(status)
    return {**read_figures(out), "audit": "passed" if status == 0 else "failed"}


def read_figures(out: Path) -> dict[str, Any]:
    """The figures of the model card."""
    from lmcraft.reports.evidence import collect

    evidence = collect(out)
    figures = {} if evidence.training is None else evidence.training.figures
    results: dict[str, Any] = {
        "validation loss": figures["validation_loss"].value,
        "loss before": next((change.before.value for change in evidence.tuning if change.before), None),
        "minutes": float(figures["seconds"].value) / 60,
    }
    if (guarantee := evidence.guarantee) is not None:
        results["claimed epsilon"] = guarantee.epsilon.value
    if (audit := evidence.privacy_audit) is not None:
        results["audited epsilon"] = None if audit.audited is None else audit.audited.value
        results |= {f"{title}: {figure.name}": (figure.value, figure.low, figure.high) for title, figure in audit.figures}
    return results


def print_table(results: dict[str, Any], work: Path) -> None:
    runs = [name for name in ("ordinary", "private") if name in results]
    names = list(dict.fromkeys(name for run in runs for name in results[run]))
    print(f"\npersonal data found: {results['scrubbed']}\n\n| | {' | '.join(runs)} |\n|---|{'---|' * len(runs)}")
    for name in names:
        print(f"| {name} | {' | '.join(describe(results[run].get(name)) for run in runs)} |")
    print(f"\n{results['minutes']:.1f} minutes; figures: {work / 'results.json'}; card: {work / 'private' / 'README.md'}")


def describe(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        number, low, high = value
        return describe(number) if low is None else f"{describe(number)} ({describe(low)} to {describe(high)})"
    return "" if value is None else value if isinstance(value, str) else f"{value:.3g}"


if __name__ == "__main__":
    main()
