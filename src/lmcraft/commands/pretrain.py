"""`lmcraft pretrain`: next-token training of a Transformer from scratch."""

from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

from cyclopts import Parameter

from lmcraft.config import Config, command_config
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, write_lineage, write_text
from lmcraft.model.config import InitConfig, TransformerConfig
from lmcraft.training import depth_rule
from lmcraft.training.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmcraft.language_model import LanguageModel
    from lmcraft.machine import Machine
    from lmcraft.training.loop import Trainer
    from lmcraft.training.objective import NextToken
    from lmcraft.training.processes import Processes

# Shares of the time that `max_time` grants that go to the steps themselves; the rest is for validation and samples.
FOR_STEPS = 0.85
MEASURED_TOKENS = 4096  # in a step of the measurement that turns `max_time` into steps, unless the batch is given


@command_config
@dataclass(frozen=True)
class PretrainConfig(TrainConfig, Config):
    """Train a Transformer from scratch on a dataset folder. Every number that is left at 0 follows from --depth."""

    data: Path
    """Dataset folder, made by `lmcraft prepare`."""

    _: KW_ONLY

    out: Path = Path("models/model")
    """Model folder to write."""
    depth: int = 4
    """The one dial: number of blocks, and by rule every size, rate and length."""
    model: Annotated[TransformerConfig, Parameter(group="Model")] = field(default_factory=TransformerConfig)
    init: Annotated[InitConfig, Parameter(group="Initialization")] = field(default_factory=InitConfig)
    sequence_length: int = 0
    """Tokens in a row of a batch."""
    document_mask: bool = True
    """Attention stays within a document where several share a row."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over the whole vocabulary."""
    z_loss: float = 0.0
    """Weight of log(Z)^2, which keeps the logits from drifting."""
    sample_prompt: str = ""
    """How the samples on the way begin; empty: where a document begins."""

    find_lr: bool = False
    """Train nothing: try rising learning rates for a hundred steps, and draw what the loss does (arXiv 1506.01186)."""

    def resolved(self) -> Self:
        """Every 0 filled in by the depth rule (`lmcraft.training.depth_rule`)."""
        if self.depth < 1:
            raise UserError(f"depth={self.depth} must be at least 1")
        for name in ("batch_size", "micro_batch_size", "max_steps", "max_tokens", "max_time", "sequence_length"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"{name}={value} must not be negative: 0 leaves it to the depth rule")
        vocab_size = DatasetFolder(self.data).token_manifest()["vocab_size"]
        length = self.sequence_length or self.model.max_position_embeddings or depth_rule.sequence_length_for(self.depth)
        model = depth_rule.resolve_model(self.model, self.depth, vocab_size, length)
        model.check()
        self._check(model, vocab_size, length)
        optimizer = depth_rule.resolve_optimizer(self.optimizer, model.hidden_size)
        config = replace(self, model=model, depth=model.num_hidden_layers, sequence_length=length, optimizer=optimizer)
        return depth_rule.resolve_length(config, model, length)

    def _check(self, model: TransformerConfig, vocab_size: int, length: int) -> None:
        if model.vocab_size < vocab_size:
            raise UserError(f"model.vocab_size={model.vocab_size} is smaller than the dataset's {vocab_size}: leave it out")
        if model.max_position_embeddings < length:
            raise UserError(
                f"model.max_position_embeddings={model.max_position_embeddings} is smaller than "
                f"sequence_length={length}: raise it, or shorten the sequences"
            )
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise UserError(
                f"micro_batch_size={self.micro_batch_size} must divide batch_size={self.batch_size}: change one of them"
            )
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label_smoothing={self.label_smoothing} must be at least 0 and less than 1")


C = TypeVar("C", bound=PretrainConfig)


def pretrain(config: PretrainConfig) -> ModelFolder:
    """Train, and leave a model folder with the weights of the lowest validation loss.

    Started by torchrun in many processes, they share the run (docs/distributed-training.md).

    Raises:
        UserError: the configuration cannot run, or `out` already holds a run that is not resumed.
        InterruptedRunError: a signal asked for a stop; resume continues exactly there.
        RunError: the loss is not a number, the disk is full, or another process of the run was lost.
    """
    from lmcraft.training import environment

    environment.set_up()
    from lmcraft.training.processes import joined

    with joined(config.device, config.tensor_parallel) as processes:
        return _pretrain(config.resolved(), processes)


def _pretrain(config: PretrainConfig, processes: "Processes") -> ModelFolder:
    from rich.console import Console

    from lmcraft.data.loader import TokenSplit
    from lmcraft.machine import choose_machine
    from lmcraft.reports.page import write_report
    from lmcraft.training.checkpoint import step_to_resume
    from lmcraft.training.compilation import clocked

    if config.batch_size % processes.data_count:
        raise UserError(
            f"batch_size={config.batch_size} must be a multiple of the {processes.data_count} processes that share it: "
            "change one of them"
        )
    folder = ModelFolder(config.out)
    step = None if config.find_lr else step_to_resume(config.out, folder.checkpoints, resume=config.resume)
    say = partial(Console(stderr=True, highlight=False, quiet=not processes.is_main).print, markup=False, soft_wrap=True)
    machine = processes.agree(choose_machine(config.device, config.precision))
    say(f"computing in {machine.why}")
    if processes.count > 1:
        say(
            f"in {processes.count} processes: {processes.data_count} share the rows of a batch, "
            f"{processes.tensor_count} the work on a row"
        )
    if step is not None:
        config = _as_before(config, folder)
    config = settled(config, machine, folder, processes, say)
    if config.find_lr:
        return _find_learning_rate(config, machine, folder, processes)
    if step is None and processes.is_main:
        write_text(folder.config_toml, config.to_toml())
    trainer = build_trainer(config, machine, folder, step, processes)
    if config.compile == "on":
        say(clocked(trainer))
    tokens = config.max_steps * config.batch_size * config.sequence_length
    text = len(TokenSplit(DatasetFolder(config.data), "train"))
    say(
        f"{trainer.model.num_parameters():,} parameters, {tokens:,} tokens in {config.max_steps} steps of "
        f"{config.batch_size} x {config.sequence_length}, on {text:,} tokens of text"
    )
    progress = trainer.run()
    if processes.is_main:
        write_lineage(folder, data=DatasetFolder(config.data))
        write_report(folder)
    say(f"best validation loss {progress.best_loss:.4f} at step {progress.best_step}; the model is in {folder.path}")
    say(f"curves and samples: {folder.report}")
    return folder


def _find_learning_rate(
    config: PretrainConfig, machine: "Machine", folder: ModelFolder, processes: "Processes"
) -> ModelFolder:
    from lmcraft.reports.page import write_range_test
    from lmcraft.training.range_test import range_test

    config = replace(config, compile="off")  # too short for compiling to pay
    test = range_test(build_trainer(config, machine, folder, processes=processes))
    if not processes.is_main:
        return folder
    rates = {name: rate for name, rate in asdict(config.optimizer).items() if name.endswith("learning_rate")}
    page = write_range_test(folder, test, rates)
    print(
        f"the loss falls fastest at {test.steepest:.2g} times the learning rates, and rises from {test.lowest:.2g} times on:"
    )
    for name, rate in rates.items():
        print(f"  --optimizer.{name.replace('_', '-')} {test.steepest * rate:.3g}")
    print(page)
    return folder


def settled(
    config: C,
    machine: "Machine",
    folder: ModelFolder,
    processes: "Processes | None" = None,
    say: "Callable[[str], object]" = str,
) -> C:
    """What follows from this machine filled in and said aloud: kernels, the number of steps in `max_time`, micro-batch.

    Every process measures, and takes what the main one found.

    Raises:
        UserError: a single row does not fit in memory.
    """
    from lmcraft.data.loader import TokenDataset, TokenSplit
    from lmcraft.training.autotune import settle_attention, settle_compile, settle_micro_batch
    from lmcraft.training.processes import Processes

    processes = processes or Processes()
    model, length = config.model, config.sequence_length
    training = TokenDataset(TokenSplit(DatasetFolder(config.data), "train"), length, config.seed)
    config = processes.agree(settle_attention(config, model, training, machine, say, document_mask=config.document_mask))
    config = processes.agree(settle_compile(config, model, length, machine, say))
    if not config.max_steps:
        config = _in_time(config, machine, folder, processes)
        say(f"{config.max_time:g} minutes are {config.max_steps} steps, measured")
    return processes.agree(settle_micro_batch(config, model, _objective(config), length, machine, say))


def _in_time(config: C, machine: "Machine", folder: ModelFolder, processes: "Processes") -> C:
    """As many steps as `max_time` has room for, by a short measurement of the speed."""
    from lmcraft.training.autotune import settle_micro_batch

    batch_size = config.batch_size or max(1, MEASURED_TOKENS // config.sequence_length) * processes.data_count
    short = depth_rule.resolve_length(
        replace(config, batch_size=batch_size, max_steps=1), config.model, config.sequence_length
    )
    short = processes.agree(
        settle_micro_batch(short, config.model, _objective(config), config.sequence_length, machine, str)
    )
    seconds = processes.agree(build_trainer(short, machine, folder, processes=processes).seconds_per_step())
    tokens = int(60 * FOR_STEPS * config.max_time * batch_size * config.sequence_length / seconds)
    return depth_rule.resolve_length(config, config.model, config.sequence_length, tokens)


def _as_before(config: PretrainConfig, folder: ModelFolder) -> PretrainConfig:
    """What was settled when the run began, where this call leaves it open: measured anew it might differ."""
    before = PretrainConfig.from_toml(folder.config_toml)
    rows = config.micro_batch_size or before.micro_batch_size
    return replace(
        config,
        attention=before.attention if config.attention == "auto" else config.attention,
        compile=before.compile if config.compile == "auto" else config.compile,
        micro_batch_size=rows if rows and config.batch_size % rows == 0 else 0,
    )


def build_trainer(
    config: PretrainConfig,
    machine: "Machine",
    folder: ModelFolder,
    step: int | None = None,
    processes: "Processes | None" = None,
) -> "Trainer":
    """The run that `config` describes, at its start or at a checkpoint.

    Args:
        config: resolved; what is not `settled` is left as it is wherever a model computes, or chosen silently.
        machine: where it computes.
        folder: the model folder that it writes.
        step: the checkpoint to continue from.
        processes: those that share it; None: this one alone.
    """
    import torch

    from lmcraft.data.loader import TokenDataset, TokenSplit
    from lmcraft.inference.generation_config import GenerationConfig
    from lmcraft.language_model import LanguageModel
    from lmcraft.model.initialization import initialize
    from lmcraft.model.storage import load_model
    from lmcraft.model.transformer import Transformer
    from lmcraft.tokenizer.tokenizer import Tokenizer
    from lmcraft.training.autotune import settle_micro_batch
    from lmcraft.training.checkpoint import Checkpoints
    from lmcraft.training.compilation import compile_blocks
    from lmcraft.training.loop import Trainer
    from lmcraft.training.processes import Processes
    from lmcraft.training.sharding import whole_copy

    objective = _objective(config)
    config = settle_micro_batch(config, config.model, objective, config.sequence_length, machine, str)
    torch.manual_seed(config.seed)
    if step is None:
        model = Transformer(config.model).to(machine.device)
        initialize(model, config.init)
    else:
        model = load_model(Checkpoints(folder.checkpoints).path(step), device=machine.device)
    model.compute_dtype, model.checkpointing = machine.dtype, config.activation_checkpointing
    model.use_attention(config.attention)
    if config.compile == "on":
        compile_blocks(model)
    data = DatasetFolder(config.data)
    validation = TokenSplit(data, "validation")
    tokenizer = Tokenizer.load(config.data)
    processes = processes or Processes()
    if processes.mesh and processes.tensor_count > 1:
        objective = replace(objective, tensor_mesh=processes.mesh["tensor"])
    trainer = Trainer(
        model,
        objective,
        TokenDataset(TokenSplit(data, "train"), config.sequence_length, config.seed),
        TokenDataset(validation, config.sequence_length),
        config,
        machine,
        folder,
        snapshot=lambda model: LanguageModel(whole_copy(model), tokenizer, GenerationConfig()).save,
        sample=lambda model: _sample(LanguageModel(model, tokenizer, GenerationConfig()), config.sample_prompt),
        bytes_per_token=validation.bytes / len(validation),
        processes=processes,
    )
    if step is not None:
        trainer.restore(step)
    return trainer


def _objective(config: PretrainConfig) -> "NextToken":
    from lmcraft.training.objective import NextToken

    return NextToken(config.label_smoothing, config.z_loss, config.document_mask)


def _sample(model: "LanguageModel", prompt: str) -> str:
    """A text of the model's; its generator is its own, so that sampling does not touch the run's randomness."""
    model.transformer.eval()
    if not prompt and model.tokenizer.eos_token_id is None:
        prompt = "\n"  # a tokenizer without a token between texts has no other way to begin
    return prompt + model.complete(prompt, max_new_tokens=80, temperature=0.8, top_p=0.95, seed=1)
