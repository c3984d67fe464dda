"""lmcraft's side: `lmcraft finetune` with its defaults. Saves the initial adapter, from which the peer starts too."""

import argparse
import json
import statistics
from itertools import pairwise
from pathlib import Path

from lmcraft import FinetuneConfig, finetune
from lmcraft.finetuning.config import FinetuneOptimizerConfig
from lmcraft.json_lines import read_json_lines
from lmcraft.training.checkpoint import Progress
from lmcraft.training.config import ScheduleConfig
from lmcraft.training.loop import Trainer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("data", type=Path)
parser.add_argument("adapter", type=Path)
parser.add_argument("--steps", type=int)
parser.add_argument("--length", type=int)
parser.add_argument("--out", type=Path)
arguments = parser.parse_args()
steps = arguments.steps + 1
config = FinetuneConfig(
    arguments.model,
    (arguments.data,),
    validation_data=(arguments.data,),
    out=arguments.out,
    sequence_length=arguments.length,
    batch_size=sum(1 for _ in arguments.data.open()),
    max_steps=steps,
    eval_every=steps,
    sample_every=steps,
    save_every=steps,
    report_answers=1,
    optimizer=FinetuneOptimizerConfig(learning_rate=2e-4),
    schedule=ScheduleConfig(name="constant", warmup=0.0),
)
run = Trainer.run


def save_adapter_and_run(trainer: Trainer) -> Progress:
    """Save the initial adapter, then run."""
    trainer.snapshot(trainer.model)(arguments.adapter)
    return run(trainer)


Trainer.run = save_adapter_and_run  # type: ignore[method-assign]
folder = finetune(config)
rows = [row for row in read_json_lines(folder.metrics) if "loss" in row]
times = [after["seconds"] - before["seconds"] for before, after in pairwise(rows)]
memory = max(row["peak_memory"] for row in rows)
print(json.dumps({"seconds": statistics.median(times), "memory": memory, "losses": [row["loss"] for row in rows]}))
