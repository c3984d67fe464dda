"""lmcraft's side: `lmcraft pretrain`, the command that users run, on a dataset folder of random token ids."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from side import Clock, Task, report


class StopMeasuringError(Exception):
    """Raised after the last measured step; the final validation and the model folder are not measured."""


def write_random_dataset(path: Path, task: Task) -> Path:
    """One long document for training, so that no row has two, and one for validation."""
    from lmcraft.data.documents import Document
    from lmcraft.data.shards import write_dataset
    from lmcraft.tokenizer.train import train_characters

    tokenizer = train_characters(["0123456789"])
    ids = task.ids().flatten().tolist()
    length = 4 * task.length  # of the validation document
    stub = SimpleNamespace(
        encode_batch=lambda texts: [ids if text[0] == "0" else ids[:length] for text in texts],
        save=tokenizer.save,
        vocab_size=task.shape.vocab_size,
        eos_token_id=None,
        special_tokens=(),
        count_lost_bytes=lambda text, ids: 0,
        decode_bytes=tokenizer.decode_bytes,
    )
    documents = [Document(text, "random", 1) for text in ("0" * 90, "1" * 10)]
    share = (length - 0.5) / (len(ids) + length)  # half a token less, so that rounding cuts between the documents
    data = write_dataset(path, lambda _: documents, stub, validation=share, split="tail")
    return data.path


def hook_training_loop(clock: Clock, steps: int) -> None:
    """Hook the clock into lmcraft's training loop: a step ends when its row of metrics is written."""
    from lmcraft.training.optimizer import Optimizer
    from lmcraft.training.run_log import RunLog

    optimizer_step, log = Optimizer.step, RunLog.log

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        clock.start_optimizer()
        result = optimizer_step(self, *args, **kwargs)
        clock.end_optimizer()
        return result

    def log_and_end_step(self: Any, *args: Any, **values: Any) -> None:
        log(self, *args, **values)
        if "loss" in values:
            clock.end_step()
            if len(clock.steps) == steps:
                raise StopMeasuringError

    Optimizer.step, RunLog.log = step, log_and_end_step  # type: ignore[method-assign]


def run(task: Task, *, compile: bool) -> None:
    """Pretrain for the task's steps, and report."""
    from lmcraft import PretrainConfig, pretrain
    from lmcraft.model.config import TransformerConfig

    shape, never = task.shape, 10**9
    with TemporaryDirectory() as folder:
        model = TransformerConfig(
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            intermediate_size=shape.intermediate_size,
            tie_word_embeddings=shape.tied,
        )
        config = PretrainConfig(
            write_random_dataset(Path(folder) / "data", task),
            out=Path(folder) / "model",
            model=model,
            sequence_length=task.length,
            batch_size=task.rows,
            max_steps=task.all_steps + 1,
            eval_every=never,
            sample_every=never,
            save_every=task.save_every or never,
            device="auto" if task.device == "cpu" else task.device,
            **({"compile": "on"} if compile else {}),
        )
        clock = Clock(task)
        hook_training_loop(clock, task.all_steps)
        with suppress(StopMeasuringError):
            pretrain(config)
        parameters = shape.matrices + shape.vocab_size * shape.hidden_size * (1 if shape.tied else 2)
        report(task, clock, "--compile" if compile else "defaults", parameters)
