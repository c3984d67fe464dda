"""litgpt's own pretraining (`litgpt.pretrain.setup`, the function behind `litgpt pretrain`), on random rows.

Its defaults on a CPU: torch.compile, bf16-mixed (litgpt.utils.get_default_supported_precision), AdamW, 4 rows at a time.
By hand: bf16-true, which leaves no float32 copy of the weights, and the whole batch in one forward pass.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from side import Clock, Task, report, report_missing

DEFAULT_ROWS = 4  # train.micro_batch_size of litgpt.pretrain.setup


def run(task: Task) -> None:
    """Train for the task's steps, and report."""
    try:
        import litgpt.pretrain as pretraining
        from litgpt.args import EvalArgs, TrainArgs
        from litgpt.config import Config
        from litgpt.data import DataModule
        from torch.utils.data import DataLoader
    except ImportError as error:
        report_missing(f"litgpt: not installed ({error})")
    ids, shape = task.ids(), task.shape

    class RandomRows(DataModule):  # type: ignore[misc]
        def connect(self, tokenizer: Any = None, batch_size: int = 1, max_seq_length: int | None = None, **_: Any) -> None:
            self.batch_size = batch_size

        def train_dataloader(self) -> Any:
            return DataLoader(ids, batch_size=self.batch_size)

        def val_dataloader(self) -> Any:
            return DataLoader(ids[: self.batch_size], batch_size=self.batch_size)

    config = Config(
        name="benchmark",
        block_size=task.length,
        n_layer=shape.layers,
        n_embd=shape.hidden_size,
        n_head=shape.heads,
        padded_vocab_size=shape.vocab_size,
        vocab_size=shape.vocab_size,
        norm_class_name="RMSNorm",
        norm_qk=True,
        parallel_residual=False,
        rotary_percentage=1.0,
        bias=False,
        mlp_class_name="LLaMAMLP",
        intermediate_size=shape.intermediate_size,
    )
    rows = task.rows if task.by_hand else min(DEFAULT_ROWS, task.rows)
    pretraining.save_checkpoint = lambda *_, **__: None  # after the last step
    parameters = [0]
    count = pretraining.num_parameters
    pretraining.num_parameters = lambda model: parameters.__setitem__(0, count(model)) or parameters[0]
    clock = Clock(task)
    clock.hook_torch_optimizers()
    with TemporaryDirectory() as folder:
        pretraining.setup(
            "benchmark",
            model_config=config,
            out_dir=Path(folder),
            precision="bf16-true" if task.by_hand else None,
            data=RandomRows(),
            train=TrainArgs(
                global_batch_size=task.rows,
                micro_batch_size=rows,
                max_tokens=task.all_steps * task.rows * task.length,
                max_norm=1.0,
                min_lr=4e-5,
                lr_warmup_steps=2000,
                tie_embeddings=shape.tied,
                log_interval=1,
                save_interval=10**9,
            ),
            eval=EvalArgs(interval=10**9, max_iters=1, final_validation=False),
            logger_name="csv",
        )
    precision = "bf16-true" if task.by_hand else "bf16-mixed"
    setup = f"{precision}, compiled, {rows} rows at a time"
    report(task, clock, setup if task.by_hand else f"defaults ({setup})", parameters[0])
