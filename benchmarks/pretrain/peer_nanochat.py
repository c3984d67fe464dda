"""nanochat's model and optimizer, from a checkout (`--nanochat DIR`), in the loop of its scripts/base_train.py.

Its defaults on a CPU: torch.compile, float32 (nanochat.common), Muon and AdamW, 32 rows at a time, windows "SSSL".
By hand: NANOCHAT_DTYPE=bfloat16, and windows "L", which it recommends without Flash Attention 3.
"""

import os
import sys

import torch
from side import Clock, Task, report, report_missing

DEFAULT_ROWS = 32  # --device-batch-size


def run(task: Task, checkout: str) -> None:
    """Train for the task's steps, and report."""
    if not checkout:
        report_missing("nanochat: no checkout (--nanochat DIR)")
    if task.by_hand and task.device == "cpu":
        os.environ["NANOCHAT_DTYPE"] = "bfloat16"
    sys.path.insert(0, checkout)
    try:
        from nanochat.common import COMPUTE_DTYPE
        from nanochat.gpt import GPT, GPTConfig
    except ImportError as error:
        report_missing(f"nanochat: not in {checkout} ({error})")
    shape, clock = task.shape, Clock(task)
    window = "L" if task.by_hand else "SSSL"
    torch.manual_seed(42)
    if task.device == "cuda":
        torch.set_float32_matmul_precision("high")
    with torch.device("meta"):
        model = GPT(
            GPTConfig(
                sequence_len=task.length,
                vocab_size=shape.vocab_size,
                n_layer=shape.layers,
                n_head=shape.heads,
                n_kv_head=shape.heads,
                n_embd=shape.hidden_size,
                window_pattern=window,
            )
        )
    model.to_empty(device=task.device)
    model.init_weights()
    parameters = sum(p.numel() for p in model.parameters())
    optimizer = model.setup_optimizer()
    model = torch.compile(model, dynamic=False)
    rows = min(DEFAULT_ROWS, task.rows)
    micro_batches = iter(task.ids().to(task.device).split(rows))
    for _ in range(task.all_steps):
        for _ in range(task.rows // rows):
            ids = next(micro_batches)
            loss = model(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
            (loss / (task.rows // rows)).backward()
        clock.start_optimizer()
        optimizer.step()
        clock.end_optimizer()
        model.zero_grad(set_to_none=True)
        loss.item()
        clock.end_step()
    setup = f"{str(COMPUTE_DTYPE).removeprefix('torch.')}, compiled, windows {window}, {rows} rows at a time"
    report(task, clock, setup if task.by_hand else f"defaults ({setup})", parameters)
