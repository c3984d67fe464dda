"""Kill test: start a command, end it with SIGKILL at random moments, run it again, and compare with an undisturbed run.

A killed command may be killed up to three times before it is left to end. After each kill, a folder that was to be replaced
must be there, the old one or the new one, whole. After the last run the result must be bit-identical to that of an
undisturbed run, and nothing may be left beside it.

python benchmarks/kills.py --moments 20 --folder /tmp/kills [--only prepare]
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from lmcraft.cli import main
from lmcraft.commands import COMMANDS

MAX_KILLS = 3
# Imported by commands when they start.
USED_MODULES = (
    "lmcraft.pretraining.run",
    "lmcraft.finetuning.run",
    "lmcraft.conversion.model_export",
    "lmcraft.conversion.quantized_folder",
)
# Files that hold times, speeds, memory, energy, or hashes of such files; of metrics.jsonl the losses are compared.
TIMED_FILES = (
    "metrics.jsonl",
    "report.html",
    "history.jsonl",
    "progress.json",
    "quantization.json",
    "run.toml",
    "lineage.json",
    "energy.json",
    "status.json",
    "README.md",
    "card.json",
)
# Two tasks, by the name of their file.
TASKS = {
    "chosen.toml": """kind = "multiple_choice"
data = "synthetic:arithmetic?count=1500&digits=1"
prompt = "{{ question }} ="
choices = "[answer, 'lazy']"
answer = "answer"
""",
    "written.toml": """kind = "generation"
data = "synthetic:arithmetic?count=300&digits=1"
prompt = "{{ question }} ="
answer = "answer"
max_new_tokens = 8
""",
}
RUN_FLAGS = (
    "--precision",
    "fp32",
    "--attention",
    "matmul",
    "--compile",
    "off",
    "--micro-batch-size",
    "8",
    "--save-every",
    "2",
)
Digests = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """A command to kill."""

    name: str
    arguments: Sequence[str]
    """Without `out`, which is `OUT` here."""
    old: Callable[[Path], object] | None = None
    """Writes what the command replaces."""
    resumes: bool = False
    """Whether a killed command continues with --resume."""

    def command(self, out: Path, *flags: str) -> list[str]:
        arguments = (str(out) if argument == "OUT" else argument for argument in self.arguments)
        return [*arguments, *flags]


def digests(path: Path) -> Digests:
    """The hashes of the files of a result, by relative path; of metrics.jsonl, that of its losses."""
    if path.is_file():
        return {"": hashlib.sha256(path.read_bytes()).hexdigest()}
    hashes = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name not in TIMED_FILES:
            hashes[str(file.relative_to(path))] = hashlib.sha256(_contents(file)).hexdigest()
    metrics = path / "lmcraft" / "metrics.jsonl"
    if metrics.exists():
        rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        hashes["losses"] = json.dumps([[row["step"], row.get("loss"), row.get("validation_loss")] for row in rows])
    return hashes


def _contents(file: Path) -> bytes:
    """The bytes of a file, without the header of a safetensors file, whose metadata has a random order."""
    data = file.read_bytes()
    if file.suffix == ".jsonl":  # the results of an evaluation come in any order
        return b"".join(sorted(data.splitlines(keepends=True)))
    return data[8 + int.from_bytes(data[:8], "little") :] if file.suffix == ".safetensors" else data


def start(command: Sequence[str]) -> int:
    """Start a command in a process of its own, a fork of this one so that it need not import torch; returns its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    with Path(os.devnull).open("w") as output, redirect_stdout(output), redirect_stderr(output):
        try:
            status = main(command)
        finally:
            os._exit(status)


def run(command: Sequence[str]) -> float:
    """Run a command to its end; returns its seconds."""
    begin = time.perf_counter()
    _, status = os.waitpid(start(command), 0)
    if status:
        raise SystemExit(f"lmcraft {' '.join(command)} ended with status {status}")
    return time.perf_counter() - begin


def kill_after(command: Sequence[str], seconds: float) -> bool:
    """Start a command and kill it after some seconds; returns whether it was still running."""
    process = start(command)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)  # no effect on a process that has ended and is not yet waited for
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


def leftovers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))


@dataclass(frozen=True)
class Trial:
    """One command, killed and run again."""

    case: Case
    folder: Path
    seconds: float
    """Of an undisturbed run."""
    expected: Digests
    previous: Digests
    random: random.Random

    @property
    def out(self) -> Path:
        return self.folder / ("out.gguf" if self.case.name == "export GGUF" else "out")

    def flags(self) -> list[str]:
        """The flags that run the command again."""
        checkpoints = self.out / "lmcraft" / "checkpoints"
        return ["--resume"] if self.case.resumes and any(checkpoints.glob("step-*")) else []

    def run(self) -> Counter[str]:
        """The counts of what happened; every key that starts with "FAULT" is a fault."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if self.case.old is not None:
            self.case.old(self.out)
        counts: Counter[str] = Counter()
        for _ in range(self.random.randint(1, MAX_KILLS)):
            if self._is_complete():
                break
            moment = self.random.uniform(0.2, 1.1) * self.seconds
            if kill_after(self.case.command(self.out, *self.flags()), moment):
                counts["kills"] += 1
                counts["kills that left hidden folders"] += bool(leftovers(self.folder))
            if self.case.old is not None and digests(self.out) not in (self.previous, self.expected):
                counts["FAULT: neither the old nor the new is there"] += 1
        complete = self._is_complete()
        _, status = os.waitpid(start(self.case.command(self.out, *self.flags())), 0)
        counts[f"FAULT: the last run ended with {os.waitstatus_to_exitcode(status)}"] += status != (
            2 << 8 if complete else 0
        )
        result = digests(self.out)
        for name in result.keys() | self.expected.keys():
            counts[f"FAULT: {name} differs"] += result.get(name) != self.expected.get(name)
        counts["FAULT: something is left"] += bool(leftovers(self.folder)) or len(list(self.folder.iterdir())) != 1
        return counts

    def _is_complete(self) -> bool:
        """Whether the command would refuse to run again, since its result is there."""
        return not self.case.resumes and self.case.old is None and self.out.exists()


def prepare_inputs(folder: Path) -> tuple[Path, Path, Path, Path]:
    """A text, a dataset, examples and a small model."""
    text, data, chats, base = (folder / name for name in ("text.txt", "data", "chats.jsonl", "base"))
    if not base.exists():
        folder.mkdir(parents=True, exist_ok=True)
        text.write_text("".join(f"Line {n}: {n * n} lazy dogs. 天地玄黄\n\n" for n in range(4000)), encoding="utf-8")
        question, answer = {"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}
        row = json.dumps({"messages": [question, answer]})
        changed = (row.replace("That", f"That is {n}") for n in range(40))
        chats.write_text("\n".join(changed) + "\n", encoding="utf-8")
        for name, task in TASKS.items():
            (folder / name).write_text(task, encoding="utf-8")
        run(["prepare", str(text), "--out", str(data), "--vocab-size", "400"])
        run([*pretrain_arguments(data, base), "--max-steps", "4"])
    return text, data, chats, base


def pretrain_arguments(data: Path, out: str | Path) -> list[str]:
    sizes = ("--depth", "2", "--model.hidden-size", "64", "--model.num-attention-heads", "2", "--sequence-length", "128")
    return ["pretrain", str(data), "--out", str(out), *sizes, "--batch-size", "8", *RUN_FLAGS]


def build_cases(folder: Path) -> list[Case]:
    text, data, chats, base = map(str, prepare_inputs(folder))
    tune = ["finetune", base, chats, "--out", "OUT", *RUN_FLAGS, "--max-steps", "20", "--eval-every", "5"]
    tasks = [str(folder / name) for name in TASKS]
    prepare = ["prepare", text, "--out", "OUT", "--vocab-size", "400"]

    def copy(source: str) -> Callable[[Path], object]:
        return lambda out: shutil.copytree(source, out, ignore=shutil.ignore_patterns("lmcraft"))

    return [
        Case("pretrain", [*pretrain_arguments(Path(data), "OUT"), "--max-steps", "40", "--eval-every", "5"], resumes=True),
        Case("finetune, LoRA", tune, resumes=True),
        Case("finetune, full", [*tune, "--method.name", "full"], resumes=True),
        Case("prepare", prepare),
        Case("prepare --overwrite", [*prepare, "--validation", "0.2", "--overwrite"], old=copy(data)),
        Case("tokenizer train --overwrite", ["tokenizer", "train", text, "--out", "OUT", "--overwrite"], old=Path.mkdir),
        Case("quantize", ["quantize", base, "--out", "OUT", "--text", text, "--bits", "4", "--tokens", "1024"]),
        Case("export --overwrite", ["export", base, "OUT", "--dtype", "bfloat16", "--overwrite"], old=copy(base)),
        Case("export GGUF", ["export", base, "OUT", "--dtype", "q8_0"]),
        Case("evaluate", ["evaluate", base, "--out", "OUT", "--precision", "fp32", "--tasks", *tasks], resumes=True),
        Case("pull --overwrite", ["pull", base, "OUT", "--dtype", "float16", "--overwrite"], old=copy(base)),
    ]


def test_case(case: Case, folder: Path, moments: int, seed: int) -> Counter[str]:
    """Kill a case at least as often as `moments`."""
    trial = Trial(case, folder / case.name.replace(" ", "-").replace(",", ""), 0.0, {}, {}, random.Random(seed))
    shutil.rmtree(trial.folder, ignore_errors=True)
    trial.folder.mkdir(parents=True)
    previous: Digests = {}
    if case.old is not None:
        case.old(trial.out)
        previous = digests(trial.out)
    seconds = run(case.command(trial.out))
    trial = replace(trial, seconds=seconds, expected=digests(trial.out), previous=previous)
    counts: Counter[str] = Counter()
    while counts["kills"] < moments:
        counts += trial.run()
        counts["trials"] += 1
    return counts


def run_all() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=20, help="kills of each command")
    parser.add_argument("--folder", type=Path, required=True, help="scratch folder")
    parser.add_argument("--only", default="", help="commands whose name starts like this")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name in (*(f"lmcraft.commands.{command.module}" for command in COMMANDS.values()), *USED_MODULES):
        import_module(name)
    faults = 0
    for case in build_cases(arguments.folder.resolve() / "inputs"):
        if case.name.startswith(arguments.only):
            counts = test_case(case, arguments.folder.resolve() / "trials", arguments.moments, arguments.seed)
            faults += sum(number for name, number in counts.items() if name.startswith("FAULT"))
            listed = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()) if number)
            print(f"{case.name}: {listed}", flush=True)
    print(f"{faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(run_all())
