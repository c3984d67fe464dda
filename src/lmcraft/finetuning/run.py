"""A fine-tuning run: its data, its objective, and the model and trainer built from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path

import torch

from lmcraft.data.loader import Batch, hash_dataset
from lmcraft.errors import UserError
from lmcraft.evaluation.in_training import RunTasks
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.encoding import PLAIN_TEMPLATE, ExampleEncoder
from lmcraft.finetuning.examples import Conversation, Labeled, answer_text, dialog
from lmcraft.finetuning.head import HEAD, add_head, head_outputs
from lmcraft.finetuning.methods import set_trainable_weights, trained_groups
from lmcraft.finetuning.objectives.base import FinetuneObjective, LossInputs
from lmcraft.finetuning.objectives.divergence import FrozenModel
from lmcraft.finetuning.privacy import private_batch_size, unit_of
from lmcraft.finetuning.reference_model import add_reference_log_probs, frozen_model, without_adapters
from lmcraft.finetuning.regularization import L2StartingPoint
from lmcraft.finetuning.splits import Splits
from lmcraft.finetuning.training_data import TrainingData, read_training_data, repack
from lmcraft.finetuning.tuned_model import read_head, snapshot, unsharded_copy
from lmcraft.folder import ModelFolder, sha256_of
from lmcraft.language_model import LanguageModel
from lmcraft.machine import Machine
from lmcraft.model.adapter import read_adapter
from lmcraft.model.lora_linear import load_adapter
from lmcraft.model.storage import build_model, load_model
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import ModelSource, end_token_ids, open_model
from lmcraft.terminal import PrintLine
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training import depth_rule
from lmcraft.training.account import RunAccount
from lmcraft.training.autotune import choose_run_attention
from lmcraft.training.batch import to_device
from lmcraft.training.checkpoint import Checkpoints
from lmcraft.training.compilation import compile_blocks
from lmcraft.training.config import TrainConfig
from lmcraft.training.continuation import INTERVALS, TOKENS
from lmcraft.training.dp.checks import check_settings
from lmcraft.training.dp.run import PrivateRun, open_private_run
from lmcraft.training.length import Length, Planner, with_length
from lmcraft.training.loop import Trainer
from lmcraft.training.micro_batch import fast_rows
from lmcraft.training.objective import Objective
from lmcraft.training.processes import Processes
from lmcraft.training.task_scores import TaskScores

EXAMPLES_PER_STEP = 16  # if batch_size is 0
SAMPLE_TOKENS = 80
TOKENS_PER_MICRO_BATCH = 1024  # larger micro-batches are no faster with frozen weights, and need more memory


@dataclass(frozen=True)
class FinetuneRun:
    """A run whose data is read and checked, before its model is built; created by `open_run`."""

    config: FinetuneConfig
    objective: FinetuneObjective
    source: ModelSource
    """The model to fine-tune."""
    encoder: ExampleEncoder
    eos_token_ids: tuple[int, ...]
    data: TrainingData
    data_contents: Mapping[str, str]
    """Hash of what `data` and `validation_data` hold."""
    tasks: RunTasks | None
    """What the weights are evaluated on during training."""
    print_line: PrintLine
    account: RunAccount = field(default_factory=RunAccount)
    """What the command draws, and the budget of the run."""
    planned: Mapping[str, int] | None = None
    """The intervals as they were given, if the budget may shorten the run; None: its length is fixed."""
    private: PrivateRun | None = None
    """What makes the run private; None: nothing does, or `with_privacy` has not been called."""

    @property
    def tokenizer(self) -> Tokenizer:
        return self.encoder.tokenizer

    @property
    def head_size(self) -> int:
        """The number of outputs of the model's head; 0: it has none."""
        return max(1, len(self.data.labels.names)) if self.objective.needs_head else 0

    def hash_contents(self) -> dict[str, str]:
        """Hash of what each setting but the model stands for that names a file or a folder; "" if it is not set."""
        template = self.config.chat_template
        contents = dict(self.data_contents) | self.objective.hash_contents()
        contents["chat_template"] = template if template in ("", "plain") else sha256_of(Path(template))
        return contents | {TOKENS: self.data.fingerprint()}

    # Settings that follow from the data and the machine

    def autotuned(self, machine: Machine, processes: Processes) -> "FinetuneRun":
        """The run with every setting of 0 or "auto" filled in, identically in all processes.

        Raises:
            UserError: the batch cannot be divided among the processes, or the objective needs a single one.
        """
        config, data, ranks = replace(self.config, precision=machine.precision), self.data, processes.data_count
        rows, length = data.rows_per_epoch, data.sequence_length
        if processes.count > 1 and self.objective.generates_answers:
            raise UserError(f"objective={config.objective} generates answers in a single process: start without torchrun")
        if config.batch_size % ranks:
            raise UserError(f"batch_size={config.batch_size} must be a multiple of the {ranks} processes")
        default_rows = min(rows, ceil(EXAMPLES_PER_STEP * rows / data.num_examples))
        if data.units is not None:
            check_settings(config, processes)
            default_rows = private_batch_size(rows)
        batch = config.batch_size or max(1, default_rows // ranks) * ranks
        steps = config.max_steps or max(1, ceil(config.epochs * rows / batch))
        planned = None if config.max_steps else {name: getattr(config, name) for name in INTERVALS}
        config = depth_rule.resolve_intervals(replace(config, batch_size=batch, sequence_length=length), steps, length)
        if self.objective.example_type is not None and not self.config.eval_tokens:
            config = replace(config, eval_tokens=length * data.validation_rows)
        if not config.micro_batch_size:
            config = replace(config, micro_batch_size=fast_rows(max(1, batch // ranks), length, TOKENS_PER_MICRO_BATCH))
        if config.compile == "auto":
            config = replace(config, compile="off")  # these runs are too short for compiling to pay off
        if config.attention == "auto":
            model_config = self.source.checkpoint.config()
            kind, reason = choose_run_attention(model_config, data.training, machine, document_mask=True)
            self.print_line(reason)
            config = replace(config, attention=kind)
        self.print_line(f"{steps} steps of {batch} rows of {length} tokens; an epoch has {rows} rows")
        return replace(self, config=processes.agree(config), planned=self.planned or planned)

    # Privacy, model and trainer

    def with_privacy(self, folder: ModelFolder, step: int | None) -> "FinetuneRun":
        """The run with its mechanism and secret, if it has a budget of privacy. Call `autotuned` first.

        Raises:
            UserError: the settings do not fit the data, the budget does not pay for a step, or the secret is gone.
        """
        if self.data.units is None:
            return self
        config, private = open_private_run(self.config, self.data.units, unit_of(self.objective), folder, step)
        return replace(self, config=config, private=private)

    def with_reference(self, machine: Machine, folder: ModelFolder) -> "FinetuneRun":
        """The run with the reference log-probabilities in its data, if the objective needs them."""
        if not self.objective.needs_reference:
            return self
        tokenized = add_reference_log_probs(
            self.data.tokenized, lambda: self.load_starting_model(machine), self.source.fingerprint, folder
        )
        return replace(self, data=repack(self.data, tokenized, self.config, self.objective, self.tokenizer))

    def build_trainer(self, machine: Machine, folder: ModelFolder, step: int | None, processes: Processes) -> Trainer:
        """The trainer at the start, or at the checkpoint of a step. Call `autotuned` and `with_reference` first.

        Raises:
            UserError: l2_sp is set and there are several processes.
        """
        config, method = self.config, self.config.method
        if config.settings.l2_sp and processes.count > 1:
            raise UserError(
                f"l2_sp={config.settings.l2_sp:g} needs a single process: set it to 0, or start without torchrun"
            )
        torch.manual_seed(config.seed)
        # Frozen weights stay in the type of the activations; trained weights are float32.
        frozen = method.adapts and processes.count == 1
        model = self._build_model(machine, folder, step, machine.dtype if frozen else torch.float32)
        model.compute_dtype, model.checkpointing = machine.dtype, config.activation_checkpointing
        model.use_attention(config.attention)
        if config.compile == "on":
            compile_blocks(model)
        self.print_line(_describe_trained(model, method.name))
        base = str(Path(config.model).resolve()) if Path(config.model).exists() else self.source.address
        trainer = Trainer(
            model,
            self._build_loss(model, machine),
            self.data.training,
            self.data.validation,
            config,
            machine,
            folder,
            snapshot=lambda model: snapshot(model, method, base, self.tokenizer, self.eos_token_ids, self.data.labels),
            sample=None if processes.mesh else self._sample,
            bytes_per_token=0.0,
            processes=processes,
            holdout=self.data.holdout,
            score_tasks=partial(self._score_tasks, processes) if self.tasks else None,
            groups=lambda model: trained_groups(model, config.optimizer, method),
            command="finetune",
            account=self.account,
            planner=self._planner(processes),
            private=self.private,
        )
        if step is not None:
            trainer.restore(step)
        return trainer

    def _planner(self, processes: Processes) -> Planner | None:
        """Plans a run shorter whose epochs do not fit into its budget."""
        if self.planned is None or not self.account.budget.is_limited:
            return None
        planned, length = self.planned, self.data.sequence_length
        most_steps = max(1, ceil(self.config.epochs * self.data.rows_per_epoch / self.config.batch_size))

        def change(config: TrainConfig, new: Length) -> TrainConfig:
            return with_length(config, new, planned, length)

        return Planner(self.account.budget, processes, change, most_steps)

    def _build_model(self, machine: Machine, folder: ModelFolder, step: int | None, dtype: torch.dtype) -> Transformer:
        path = None if step is None else Checkpoints(folder).path(step)
        method = self.config.method
        if path is not None and not method.adapts:
            model = load_model(path, dtype=dtype, device=machine.device)
        else:
            model = build_model(self.source.checkpoint, dtype=dtype, device=machine.device)
        if self.head_size:
            add_head(model, self.head_size)
        if path is not None and method.adapts:
            load_adapter(model, read_adapter(path))
        else:
            set_trainable_weights(model, method)
        for p in model.parameters():
            if p.requires_grad:  # so that training does not write to the memory-mapped file, which other models share
                p.data = p.data.clone()
        if self.head_size:
            head = model.get_submodule(HEAD).requires_grad_(True)
            if path is not None:
                head.load_state_dict({"weight": read_head(path)})
        return model

    def load_starting_model(self, machine: Machine) -> Transformer:
        """The model before fine-tuning, frozen, in the data type of the run's activations."""
        model = build_model(self.source.checkpoint, dtype=machine.dtype, device=machine.device).requires_grad_(False)
        model.use_attention(self.config.attention)
        return model

    def _load_teacher(self, address: str, machine: Machine) -> FrozenModel:
        with open_model(address) as source:
            source.check_writes_text()
            if source.tokenizer.vocabulary != self.tokenizer.vocabulary:
                raise UserError(
                    f"teacher={address} has a different vocabulary from the model's: use a model of the same family"
                )
            teacher = build_model(source.checkpoint, dtype=machine.dtype, device=machine.device).requires_grad_(False)
        teacher.use_attention(self.config.attention)
        return frozen_model(teacher)

    def _build_loss(self, model: Transformer, machine: Machine) -> Objective:
        def load_reference() -> FrozenModel:
            return without_adapters(model) if self.config.method.adapts else frozen_model(self.load_starting_model(machine))

        inputs = LossInputs(
            self.data.examples,
            self.data.labels,
            self.tokenizer,
            self.eos_token_ids,
            self.config.settings.max_new_tokens,
            load_reference,
            lambda address: self._load_teacher(address, machine),
        )
        loss = self.objective.build_loss(inputs)
        if l2_sp := self.config.settings.l2_sp:
            start = {name: p.float() for name, p in self.load_starting_model(machine).named_parameters()}
            return L2StartingPoint(loss, l2_sp, start)
        return loss

    # Samples and tasks

    def _score_tasks(
        self, processes: Processes, transformer: Transformer, should_stop: Callable[[], bool]
    ) -> TaskScores | None:
        assert self.tasks is not None
        whole = unsharded_copy(transformer, self.config.method) if processes.mesh else transformer
        model = LanguageModel(whole, self.tokenizer, eos_token_ids=self.eos_token_ids)
        return self.tasks.score(model, should_stop) if processes.is_main else None

    def prompts(self, limit: int) -> list[tuple[list[int], str, str]]:
        """Held-out prompts: token ids, the question, and the expected answer."""
        prompts = []
        for example in self.data.held_out[:limit]:
            if isinstance(example, Labeled):
                continue
            messages = dialog(example)
            ids = self.encoder.prompt_ids(Conversation(messages, example.tools))
            answer = messages[-1] if messages[-1]["role"] == "assistant" else None
            questions = messages[:-1] if answer else messages
            question = str(questions[-1]["content"]) if questions else ""
            prompts.append((ids, question, answer_text(answer) if answer else ""))
        return prompts

    def _sample(self, model: Transformer) -> str:
        if self.objective.needs_head:
            model.eval()
            batch = Batch.stack([next(self.data.validation.ordered())]).trim_padding()
            with torch.no_grad():
                outputs, _ = head_outputs(model, to_device(batch, model.device), self.data.labels.pooling)
            return "outputs of the head: " + " ".join(f"{value:.2f}" for value in outputs[0].tolist())
        language_model = LanguageModel(model, self.tokenizer, eos_token_ids=self.eos_token_ids)
        if self.objective.example_type is None:
            start = "\n" if self.tokenizer.eos_token_id is None else ""
            return start + language_model.complete(start, max_new_tokens=SAMPLE_TOKENS, temperature=0.8, top_p=0.95, seed=1)
        ids, question, _ = self.prompts(1)[0]
        answer = language_model.generate(ids, max_new_tokens=SAMPLE_TOKENS, do_sample=False)[0][len(ids) :]
        return f"{question}\n-> {self.tokenizer.decode(answer)}"


def open_run(config: FinetuneConfig, source: ModelSource, splits: Splits | None, print_line: PrintLine) -> FinetuneRun:
    """Tokenize and check the data of a run.

    Args:
        config: resolved.
        source: the model to fine-tune.
        splits: the examples; None if the data are a dataset folder.
        print_line: prints a line.

    Raises:
        UserError: the model or the data cannot be used with these settings.
    """
    if source.adapter is not None and config.method.adapts:
        raise UserError(
            f"model={config.model} is an adapter, which cannot be the base of another: merge it into a whole model first, "
            "with `lmcraft export`"
        )
    objective = config.build_objective()
    if not objective.needs_head:
        source.check_writes_text()
    tokenizer = source.tokenizer
    if objective.uses_chat_template:
        tokenizer = objective.adapt_tokenizer(_with_chat_template(tokenizer, config.chat_template, print_line))
    eos_token_ids = end_token_ids(tokenizer, source.eos_token_ids)  # the chat template may be another one
    context_length = source.checkpoint.config().max_position_embeddings
    encoder = ExampleEncoder(tokenizer, eos_token_ids, context_length)
    data = read_training_data(config, objective, splits, encoder, context_length, print_line)
    tasks = RunTasks.open(config.tasks, config.task_limit, source.checkpoint.config(), tokenizer) if config.tasks else None
    contents = splits.contents if splits else {"data": hash_dataset(config.data[0], "train", "validation")}
    return FinetuneRun(config, objective, source, encoder, eos_token_ids, data, contents, tasks, print_line)


def _with_chat_template(tokenizer: Tokenizer, template: str, print_line: PrintLine) -> Tokenizer:
    if template and template != "plain":
        try:
            return tokenizer.with_chat_template(Path(template).read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"chat_template={template} cannot be read ({error}): give a file, or 'plain'") from error
    if template or tokenizer.chat_template is None:
        print_line("chat template: plain text (<|user|>, <|assistant|>), with the end token after an answer; it is saved")
        return tokenizer.with_chat_template(PLAIN_TEMPLATE)
    return tokenizer


def _describe_trained(model: Transformer, method: str) -> str:
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    return f"{method} trains {trained:,} of {total:,} weights ({trained / total:.1%})"
