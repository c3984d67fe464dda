"""transformers' Trainer on a Qwen3, which has lmcraft's architecture: its defaults, or by hand: bf16 and torch.compile."""

from tempfile import TemporaryDirectory

import torch
from side import Clock, Task, report, report_missing

DEFAULT_ROWS = 8  # default of per_device_train_batch_size; gradients are accumulated up to the task's batch


def run(task: Task) -> None:
    """Train for the task's steps, and report."""
    try:
        from transformers import Qwen3Config, Qwen3ForCausalLM, Trainer, TrainingArguments
    except ImportError as error:
        report_missing(f"transformers' Trainer: not installed ({error})")
    ids, shape = task.ids(), task.shape

    class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(ids)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            return {"input_ids": ids[index, :-1], "labels": ids[index, :-1]}

    rows = task.rows if task.by_hand else min(DEFAULT_ROWS, task.rows)
    by_hand = {"bf16": True, "torch_compile": True} if task.by_hand else {}
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=task.rows // rows,
            max_steps=task.all_steps,
            use_cpu=task.device == "cpu",
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            **by_hand,
        )
        model = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=shape.vocab_size,
                hidden_size=shape.hidden_size,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                num_key_value_heads=shape.heads,
                head_dim=shape.hidden_size // shape.heads,
                intermediate_size=shape.intermediate_size,
                max_position_embeddings=task.length,
                tie_word_embeddings=shape.tied,
                use_cache=False,
            )
        )
        clock = Clock(task)
        clock.hook_torch_optimizers()
        Trainer(model, arguments, train_dataset=Rows()).train()
        setup = f"bf16, compiled, {rows} rows at a time" if task.by_hand else f"defaults (fp32, {rows} rows at a time)"
        report(task, clock, setup, sum(p.numel() for p in model.parameters()))
