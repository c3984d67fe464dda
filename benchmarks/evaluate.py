"""`lmcraft evaluate` beside EleutherAI's evaluation harness with transformers, on the same items: figures and time.

The prompts, choices and answers of each task are written to a file, which the harness reads with a task of its own, so that
both score the same texts. Each side runs as a process of its own, from its start to its figures; times are of the whole
process. `--peer` is a Python in which `lm_eval` is installed.

    python benchmarks/evaluate.py MODEL --tasks hellaswag piqa --limit 100 --peer peer/bin/python
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lmcraft.evaluation.catalog import open_tasks
from lmcraft.evaluation.methods.generation import Generation
from lmcraft.evaluation.methods.multiple_choice import MultipleChoice
from lmcraft.evaluation.run import choose_rows
from lmcraft.evaluation.task import Task

CHOICE_TASK = """
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: choices
doc_to_target: "{{gold}}"
target_delimiter: "%s"
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
GENERATION_TASK = """
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: "{{gold}}"
generation_kwargs: {until: %s, max_gen_toks: %d, do_sample: false}
metric_list: [{metric: exact_match}]
"""


@dataclass(frozen=True)
class Run:
    """One side's figures and time."""

    figures: dict[str, float]
    wall_seconds: float
    cpu_seconds: float


def main() -> None:
    """Print a row per task and side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--tasks", nargs="+", default=["hellaswag", "piqa", "openbookqa", "mmlu"])
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    totals = {"lmcraft": 0.0, "lm_eval": 0.0}
    for task in open_tasks(arguments.tasks):
        with TemporaryDirectory() as folder:
            sides = {
                "lmcraft": run_lmcraft(arguments, task, Path(folder)),
                "lm_eval": run_harness(arguments, task, Path(folder)),
            }
        for name, run in sides.items():
            totals[name] += run.wall_seconds
            figures = "  ".join(f"{key} {value:.3f}" for key, value in run.figures.items())
            print(f"{task.name:16} {name:8} {run.wall_seconds:7.1f} s  cpu {run.cpu_seconds:7.1f} s  {figures}", flush=True)
    print(f"all: {totals['lmcraft']:.1f} s and {totals['lm_eval']:.1f} s, ratio {totals['lm_eval'] / totals['lmcraft']:.2f}")


def run_lmcraft(arguments: argparse.Namespace, task: Task, folder: Path) -> Run:
    """Score a task with a new folder of results."""
    command = [sys.executable, "-m", "lmcraft", "evaluate", arguments.model, "--tasks", task.name]
    command += ["--limit", str(arguments.limit), "--out", str(folder / "results"), "--precision", arguments.precision]
    wall, cpu = _time(command)
    [file] = (folder / "results").glob("*.jsonl")
    items = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    names = ("acc", "acc_norm", "exact_match")
    sums = {name: [item["values"][name] for item in items if name in item["values"]] for name in names}
    return Run({name: sum(values) / len(values) for name, values in sums.items() if values}, wall, cpu)


def run_harness(arguments: argparse.Namespace, task: Task, folder: Path) -> Run:
    """Score the same items with the harness."""
    rows = choose_rows(task.rows(), arguments.limit)
    if task.config.kind == "multiple_choice":
        questions = MultipleChoice(task, rows).questions.values()
        documents = [{"prompt": q.prompt, "choices": q.choices, "gold": q.gold} for q in questions]
        settings = CHOICE_TASK % task.config.delimiter
    else:
        method = Generation(task, rows)
        documents = [{"prompt": method.examples + method.prompt(row), "gold": method.gold_text(row)} for row in rows]
        settings = GENERATION_TASK % (json.dumps(task.config.stop), task.config.max_new_tokens)
    (folder / "items.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    head = f"task: same_{task.name}\ndataset_path: json\nvalidation_split: validation\n"
    head += f"dataset_kwargs: {{data_files: {{validation: {folder / 'items.jsonl'}}}}}\n"
    (folder / "task.yaml").write_text(head + settings)
    command = [
        arguments.peer,
        "-m",
        "lm_eval",
        "--model",
        "hf",
        "--model_args",
        f"pretrained={arguments.model},dtype=float32",
    ]
    command += ["--tasks", f"same_{task.name}", "--include_path", str(folder), "--device", "cpu", "--batch_size", "8"]
    command += ["--output_path", str(folder / "peer")]
    wall, cpu = _time(command, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=str(folder / "cache"))
    [file] = (folder / "peer").rglob("results_*.json")
    figures = json.loads(file.read_text())["results"][f"same_{task.name}"]
    names = {"acc,none": "acc", "acc_norm,none": "acc_norm", "exact_match,none": "exact_match"}
    return Run({name: figures[key] for key, name in names.items() if key in figures}, wall, cpu)


def _time(command: list[str], **variables: str) -> tuple[float, float]:
    """Run a command; its seconds by the clock and of the processors."""
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, cpu


if __name__ == "__main__":
    main()
