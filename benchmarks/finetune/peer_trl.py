"""TRL's SFTTrainer with PEFT's LoRA: its defaults (except the batch), or --by-hand: bf16 weights, no checkpointing."""

import argparse
import json
import resource
import statistics
import time
from itertools import pairwise

import torch
from datasets import load_dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("adapter")
parser.add_argument("--steps", type=int)
parser.add_argument("--length", type=int)
parser.add_argument("--out")
parser.add_argument("--by-hand", action="store_true")
arguments = parser.parse_args()


class Clock(TrainerCallback):
    """Records the end time and the loss of each step."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())

    def on_log(self, *_: object, logs: dict[str, float], **__: object) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


data = load_dataset("json", data_files=arguments.data, split="train")
dtype = torch.bfloat16 if arguments.by_hand else torch.float32
model = PeftModel.from_pretrained(
    AutoModelForCausalLM.from_pretrained(arguments.model, dtype=dtype), arguments.adapter, is_trainable=True
)
rows = len(data)
overrides = {"gradient_checkpointing": False, "per_device_train_batch_size": 8} if arguments.by_hand else {}
config = SFTConfig(
    output_dir=f"{arguments.out}-trl",
    **{"per_device_train_batch_size": 8} | overrides,
    gradient_accumulation_steps=rows // 8,
    max_length=arguments.length,
    max_steps=arguments.steps + 1,
    learning_rate=2e-4,
    lr_scheduler_type="constant",
    logging_steps=1,
    use_cpu=True,
    report_to="none",
    save_strategy="no",
    disable_tqdm=True,
)
clock = Clock()
SFTTrainer(model, config, train_dataset=data, callbacks=[clock]).train()
times = [after - before for before, after in pairwise(clock.ends)]
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": statistics.median(times), "memory": memory, "losses": clock.losses}))
