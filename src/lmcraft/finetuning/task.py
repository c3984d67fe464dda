"""One tuning run put together: what it learns from, what it minimizes, and what the one training loop is given."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

import torch

from lmcraft.data.loader import Batch, Dataset, TokenDataset, TokenSplit
from lmcraft.errors import UserError
from lmcraft.finetuning.audit import check_learned, check_pieces
from lmcraft.finetuning.classify import Classification, add_head, scores
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.examples import (
    KINDS,
    PLACEHOLDER,
    Conversation,
    Example,
    Judgment,
    Labeled,
    Preference,
    read_examples,
    with_system,
)
from lmcraft.finetuning.files import Labels, read_head, snapshot
from lmcraft.finetuning.grpo import GroupRelative, load_reward
from lmcraft.finetuning.guided import Guide, Guided, NearStart, guide_of, guide_without_adapters
from lmcraft.finetuning.methods import HEAD, choose_trained, trained_groups
from lmcraft.finetuning.packing import Mixed, PackedRows
from lmcraft.finetuning.pieces import Pieces, balanced_weights, check_kind, labels_of, split_examples
from lmcraft.finetuning.preference import Preferences
from lmcraft.finetuning.reference import with_reference
from lmcraft.finetuning.reward import Reward
from lmcraft.finetuning.tokens import PLAIN_TEMPLATE, Encoder
from lmcraft.folder import DatasetFolder, ModelFolder
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.language_model import LanguageModel
from lmcraft.machine import Machine
from lmcraft.model.adapter import read_adapter
from lmcraft.model.lora_linear import load_adapter
from lmcraft.model.storage import build_model, load_model
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import ModelSource, open_model
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training import depth_rule
from lmcraft.training.autotune import choose_run_attention
from lmcraft.training.checkpoint import Checkpoints
from lmcraft.training.compilation import compile_blocks
from lmcraft.training.loop import Trainer, to_device
from lmcraft.training.micro_batch import fast_rows
from lmcraft.training.objective import NextToken, Objective
from lmcraft.training.processes import Processes

EXAMPLES_A_STEP = 16  # where the batch is not given
SHORT_ROW, ROW = 256, 512  # tokens in a row, where no sample is longer: of texts with labels, and of all else
SAMPLE_TOKENS = 80
AT_ONCE = 1024  # tokens of a micro-batch: more are no faster where weights have no gradients to add up, and take memory


class Task:
    """A run before it has a model: its data are read, shown and checked here.

    Args:
        config: resolved.
        source: the model to tune.
        say: shows a line to the person.

    Raises:
        UserError: the model or the data cannot be used as asked.
    """

    def __init__(self, config: FinetuneConfig, source: ModelSource, say: Callable[[str], object]) -> None:
        if source.adapter is not None and config.method.adapts:
            raise UserError(
                f"model={config.model} is an adapter, which cannot be the base of another: write it as a whole model first "
                "with `lmcraft export`"
            )
        self.config, self.source, self.say = config, source, say
        self.model_config = source.checkpoint.config()
        self.has_head = config.objective in ("classify", "reward")
        self.labels = Labels((), pooling=config.settings.pooling)
        self.tokenizer = source.tokenizer if self._is_plain else _with_template(source.tokenizer, config.chat_template, say)
        end = source.tokenizer.eos_token_id
        self.eos_token_ids = source.eos_token_ids or (() if end is None else (end,))
        self.encoder = Encoder(self.tokenizer, self.eos_token_ids)
        self.held_out: list[Example] = []
        self.training: Dataset
        self.validation: Dataset
        if config.objective == "continue":
            self._read_dataset()
        else:
            self._read_examples()

    @property
    def _is_plain(self) -> bool:
        """Whether it learns texts rather than conversations."""
        return self.config.objective in ("classify", "continue")

    # What it learns from

    def _read_dataset(self) -> None:
        config = self.config
        if len(config.data) > 1:
            raise UserError(f"data={', '.join(map(str, config.data))}: objective=continue takes one dataset folder")
        splits = [_split_for(self.tokenizer, config.data[0], split) for split in ("train", "validation")]
        self.sequence_length = self._row_length(ROW)
        training = TokenDataset(splits[0], self.sequence_length, config.seed)
        self.training, self.validation = training, TokenDataset(splits[1], self.sequence_length)
        self.rows_per_epoch = self.examples = training.samples_per_epoch
        self.validation_rows = ceil(len(splits[1]) / self.sequence_length)
        self.say(f"{len(splits[0]):,} tokens of text to learn, {len(splits[1]):,} to measure on")

    def _read_examples(self) -> None:
        config = self.config
        training, validation = self._split()
        if config.objective == "classify":
            labels, several = labels_of([*training, *validation])
            self.labels = Labels(labels, several, config.settings.pooling)
        self.all_examples = [*training, *validation]
        make = Pieces(self.encoder, config.objective, self.labels.labels, several=self.labels.several)
        pieces = [make.of(training), make.of(validation, first=len(training))]
        longest = max(len(piece) for some in pieces for piece in some)
        self.sequence_length = self._row_length(max(longest, SHORT_ROW if config.objective == "classify" else ROW))
        checked = [check_pieces(some, self.sequence_length, skip=config.too_long == "skip") for some in pieces]
        if config.objective != "grpo":
            for some, _ in checked:
                check_learned(some)
        self.pieces = [some for some, _ in checked]
        self.held_out = [e for e, piece in zip(validation, pieces[1], strict=True) if len(piece) <= self.sequence_length]
        left_out = sum(number for _, number in checked)
        self._show(training, validation, longest, left_out)
        self.examples = len(self.pieces[0])
        self._make_rows()

    def _split(self) -> tuple[list[Example], list[Example]]:
        """For training and for validation, each of the right kind."""
        config = self.config
        training = read_examples(config.data, config.variables)
        check_kind(training, config.objective)
        if config.validation_data:
            validation = read_examples(config.validation_data, config.variables)
            check_kind(validation, config.objective)
        else:
            training, validation = split_examples(training, config.validation, config.seed)
        if not training or not validation:
            raise UserError(
                f"validation={config.validation:g} leaves {len(training)} examples for training and {len(validation)} to "
                "measure on: choose another share, give more examples, or --validation-data"
            )
        if config.system:
            training, validation = (with_system(some, config.system) for some in (training, validation))
        return training, validation

    def _row_length(self, wanted: int) -> int:
        most = self.model_config.max_position_embeddings
        length = self.config.sequence_length or min(most, wanted)
        if length > most:
            raise UserError(f"sequence_length={length} is more than the model's context of {most} tokens: lower it")
        return length

    def _make_rows(self) -> None:
        config, (training, validation) = self.config, self.pieces
        packed = PackedRows(training, self.sequence_length, config.seed, packing=config.packing)
        held = PackedRows(validation, self.sequence_length, packing=config.packing)
        self.training, self.validation = packed, held
        self.rows_per_epoch, self.validation_rows = len(packed), len(held)
        if config.settings.general is not None:
            general = TokenDataset(
                _split_for(self.tokenizer, config.settings.general, "train"), self.sequence_length, config.seed
            )
            self.training = Mixed(packed, general, config.settings.general_share)
            self.rows_per_epoch = ceil(len(packed) / (1 - config.settings.general_share))

    def _show(self, training: Sequence[Example], validation: Sequence[Example], longest: int, left_out: int) -> None:
        kind = KINDS[type(training[0])]
        self.say(
            f"data: {kind}, {len(training):,} to learn from and {len(validation):,} to measure on; "
            f"the longest has {longest} tokens"
        )
        if left_out:
            self.say(f"{left_out} samples are longer than {self.sequence_length} tokens, and were left out")
        if self.labels.labels:
            several = ", of which a text may have several" if self.labels.several else ""
            self.say(f"{len(self.labels.labels)} labels{several}: {', '.join(self.labels.labels)}")
        self.say(f"the first: {_in_short(training[0])}")
        if not self.config.variables and (names := sorted({n for e in training for n in PLACEHOLDER.findall(repr(e))})):
            flags = " ".join(f"--variables.{name} VALUE" for name in names[:4])
            self.say(f"the texts hold {{{{{names[0]}}}}}, which is learned as it is: {flags} puts something else there")

    def first_rows(self) -> Batch:
        """What the first step trains on, or some rows of it."""
        return self.training.batch(range(min(4, self.rows_per_epoch)))

    # Settings that follow from the data and the machine

    def settled(self, machine: Machine, processes: Processes) -> FinetuneConfig:
        """What was left open filled in, here too.

        Raises:
            UserError: the batch cannot be shared by the processes.
        """
        config, rows, length, ranks = self.config, self.rows_per_epoch, self.sequence_length, processes.data_count
        if config.batch_size % ranks:
            raise UserError(f"batch_size={config.batch_size} must be a multiple of the {ranks} processes that share it")
        usual = min(rows, ceil(EXAMPLES_A_STEP * rows / self.examples))
        batch = config.batch_size or max(1, usual // ranks) * ranks
        steps = config.max_steps or max(1, ceil(config.epochs * rows / batch))
        config = depth_rule.resolve_intervals(replace(config, batch_size=batch, sequence_length=length), steps, length)
        if config.objective != "continue" and not self.config.eval_tokens:
            config = replace(config, eval_tokens=length * self.validation_rows)
        if not config.micro_batch_size:
            config = replace(config, micro_batch_size=fast_rows(max(1, batch // ranks), length, AT_ONCE))
        if config.compile == "auto":
            config = replace(config, compile="off")  # these are runs of minutes
        if config.attention == "auto":
            kind, why = choose_run_attention(self.model_config, self.training, machine, document_mask=True)
            self.say(why)
            config = replace(config, attention=kind)
        self.config = processes.agree(config)
        self.say(f"{steps} steps of {batch} rows of {length} tokens; {rows} rows are an epoch")
        return self.config

    # The run

    def trainer(self, machine: Machine, folder: ModelFolder, step: int | None, processes: Processes) -> Trainer:
        """The run at its start or at a checkpoint; `settled` has been called."""
        config = self.config
        if config.settings.l2_sp and processes.count > 1:
            raise UserError(f"l2_sp={config.settings.l2_sp:g} is for one process: set it to 0, or start without torchrun")
        torch.manual_seed(config.seed)
        if config.objective in ("dpo", "ipo", "kto"):
            self._add_reference(machine, folder)
        adapts = config.method.adapts
        # Frozen weights stay as few bits as they are computed in; those that are trained are float32.
        frozen = adapts and processes.count == 1
        model = self._model(machine, folder, step, machine.dtype if frozen else torch.float32)
        model.compute_dtype, model.checkpointing = machine.dtype, config.activation_checkpointing
        model.use_attention(config.attention)
        if config.compile == "on":
            compile_blocks(model)
        self.say(_trained(model, config.method.name))
        keep = (config.method, _lasting(config.model, self.source), self.tokenizer, self.eos_token_ids, self.labels)
        trainer = Trainer(
            model,
            self._objective(model, machine),
            self.training,
            self.validation,
            config,
            machine,
            folder,
            snapshot=lambda model: snapshot(model, *keep),
            sample=None if processes.mesh else self._sample,
            bytes_per_token=0.0,
            processes=processes,
            groups=lambda model: trained_groups(model, config.optimizer, config.method),
            command="finetune",
        )
        if step is not None:
            trainer.restore(step)
        return trainer

    def _model(self, machine: Machine, folder: ModelFolder, step: int | None, dtype: torch.dtype) -> Transformer:
        path = None if step is None else Checkpoints(folder.checkpoints).path(step)
        method = self.config.method
        if path is not None and not method.adapts:
            model = load_model(path, dtype=dtype, device=machine.device)
        else:
            model = build_model(self.source.checkpoint, dtype=dtype, device=machine.device)
        if self.has_head:
            add_head(model, max(1, len(self.labels.labels)))
        if path is not None and method.adapts:
            load_adapter(model, read_adapter(path))
        else:
            choose_trained(model, method)
        for p in model.parameters():
            if p.requires_grad:  # a memory of its own: the file's is also that of every other model read from it
                p.data = p.data.clone()
        if self.has_head:
            head = model.get_submodule(HEAD).requires_grad_(True)
            if path is not None:
                head.load_state_dict({"weight": read_head(path)})
        return model

    def start(self, machine: Machine) -> Transformer:
        """The model as it was before, frozen, in the type of the run's activations."""
        model = build_model(self.source.checkpoint, dtype=machine.dtype, device=machine.device).requires_grad_(False)
        model.use_attention(self.config.attention)
        return model

    def _add_reference(self, machine: Machine, folder: ModelFolder) -> None:
        self.pieces = with_reference(self.pieces, lambda: self.start(machine), self.source.fingerprint, folder)
        self._make_rows()

    def _objective(self, model: Transformer, machine: Machine) -> Objective:
        config, s = self.config, self.config.settings
        objective: Objective
        match config.objective:
            case "sft" | "continue":
                objective = Guided(self._start_guide(model, machine), 1.0, s.kl) if s.kl else NextToken()
            case "distil":
                objective = Guided(self._teacher_guide(machine), 1 - s.teacher_share, s.teacher_share, s.temperature)
            case "dpo" | "ipo" | "kto":
                weights = (1.0, s.undesirable_weight)
                objective = Preferences(config.objective, s.beta, s.length_normalized, weights)
            case "reward":
                objective = Reward()
            case "classify":
                labels, several = self.labels.labels, self.labels.several
                balanced = s.class_weights == "balanced"
                each = balanced_weights(self.all_examples, labels, several=several) if balanced else ()
                objective = Classification(len(labels), several, s.pooling, each)
            case "grpo":
                examples = [example for example in self.all_examples if isinstance(example, Conversation)]
                objective = GroupRelative(
                    load_reward(s.reward),
                    examples,
                    self.tokenizer,
                    self.eos_token_ids,
                    self._start_guide(model, machine),
                    s.beta,
                    s.answers,
                    GenerationConfig(do_sample=True, temperature=1.0, max_new_tokens=s.max_new_tokens),
                )
        if s.l2_sp:
            objective = NearStart(objective, s.l2_sp, {n: p.float() for n, p in self.start(machine).named_parameters()})
        return objective

    def _start_guide(self, model: Transformer, machine: Machine) -> Guide:
        return guide_without_adapters(model) if self.config.method.adapts else guide_of(self.start(machine))

    def _teacher_guide(self, machine: Machine) -> Guide:
        name = self.config.settings.teacher
        with open_model(name) as source:
            if source.tokenizer.vocabulary != self.tokenizer.vocabulary:
                raise UserError(f"teacher={name} has another vocabulary than the model: choose one of the same family")
            teacher = build_model(source.checkpoint, dtype=machine.dtype, device=machine.device).requires_grad_(False)
        teacher.use_attention(self.config.attention)
        return guide_of(teacher)

    # What it says on the way

    def prompts(self, most: int) -> list[tuple[list[int], str, str]]:
        """Held-out questions: token ids, what is asked, and the answer that is wanted."""
        found = []
        for example in self.held_out[:most]:
            messages = _conversation_of(example)
            tools = example.tools if isinstance(example, Conversation) else ()
            tokens = self.encoder.conversation(Conversation(messages, tools), last_answer_only=True)
            found.append(
                (
                    tokens.ids[: int(tokens.learned.argmax())].tolist(),
                    str(messages[-2]["content"]) if len(messages) > 1 else "",
                    str(messages[-1]["content"]),
                )
            )
        return found

    def _sample(self, model: Transformer) -> str:
        if self.has_head:
            model.eval()
            batch = Batch.stack([next(self.validation.ordered())]).trim_padding()
            with torch.no_grad():
                logits, _ = scores(model, to_device(batch, model.device), self.labels.pooling)
            return "outputs of the head: " + " ".join(f"{value:.2f}" for value in logits[0].tolist())
        plain = LanguageModel(model, self.tokenizer, eos_token_ids=self.eos_token_ids)
        if self.config.objective == "continue":
            begin = "\n" if plain.tokenizer.eos_token_id is None else ""
            return begin + plain.complete(begin, max_new_tokens=SAMPLE_TOKENS, temperature=0.8, top_p=0.95, seed=1)
        ids, asked, _ = self.prompts(1)[0]
        answer = plain.generate(ids, max_new_tokens=SAMPLE_TOKENS, do_sample=False)[0][len(ids) :]
        return f"{asked}\n-> {self.tokenizer.decode(answer)}"


def _lasting(model: str, source: ModelSource) -> str:
    """The address of the base model, as it is from any folder."""
    return str(Path(model).resolve()) if Path(model).exists() else source.address


def _with_template(tokenizer: Tokenizer, wanted: str, say: Callable[[str], object]) -> Tokenizer:
    if wanted and wanted != "plain":
        try:
            return tokenizer.with_chat_template(Path(wanted).read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"chat_template={wanted} cannot be read ({error}): give a file, or 'plain'") from error
    if wanted or tokenizer.chat_template is None:
        say("chat template: plain words (<|user|>, <|assistant|>), and the end token after an answer; kept in the folder")
        return tokenizer.with_chat_template(PLAIN_TEMPLATE)
    return tokenizer


def _split_for(tokenizer: Tokenizer, data: Path, name: str) -> TokenSplit:
    """A split of a dataset that was made with the model's own tokenizer."""
    split = TokenSplit(DatasetFolder(data), name)
    if Tokenizer.load(data).vocabulary != tokenizer.vocabulary:
        raise UserError(
            f"the dataset '{data}' was made with another tokenizer than the model's: "
            "make it again with `lmcraft prepare ... --tokenizer MODEL`"
        )
    return split


def _conversation_of(example: Example) -> tuple[dict[str, object], ...]:
    match example:
        case Conversation(messages, _) | Judgment(messages, _):
            last = max(n for n, message in enumerate(messages) if message["role"] == "assistant")
            return tuple(map(dict, messages[: last + 1]))
        case Preference(prompt, chosen, _):
            return (*map(dict, prompt), dict(chosen))
        case _:
            raise AssertionError(example)


def _in_short(example: Example, most: int = 300) -> str:
    match example:
        case Labeled(text, labels):
            said = f"{text!r} is {', '.join(labels) or 'nothing'}"
        case _:
            said = " | ".join(f"{message['role']}: {message['content']!r}" for message in _conversation_of(example))
    return said if len(said) <= most else said[:most] + "..."


def _trained(model: Transformer, method: str) -> str:
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    return f"{method} trains {trained:,} of {total:,} weights ({trained / total:.1%})"
