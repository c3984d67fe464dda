"""The data of a pretraining run: rows of one text, or of the sources of a recipe, mixed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lmcraft.data.canaries import REPETITIONS, Canaries, CanaryRows, draw_canaries
from lmcraft.data.document_numbers import LeftOut
from lmcraft.data.loader import Dataset, TokenDataset, TokenSplit
from lmcraft.data.marks import Marks
from lmcraft.data.mixture import Mixture, SourceUse, format_epochs
from lmcraft.data.parts import MixedText, validation_rows
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.objectives.registry import build_objective
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.dp.units import DocumentUnits
from lmcraft.training.fill_in_middle import open_fill_in_middle
from lmcraft.training.validation import ValidationSource


@dataclass(frozen=True)
class RunData:
    """The splits and the tokenizer of a run's dataset."""

    training: TokenDataset | MixedText | DocumentUnits
    validation: Dataset
    holdout: Dataset | None
    """The end of the validation data, if it is left out until the end of the run."""
    tokenizer: Tokenizer
    training_tokens: int
    bytes_per_token: float
    """Of the validation text."""
    marks: Marks | None = None
    """Those in the text, if any."""
    validation_sources: Mapping[str, ValidationSource] = field(default_factory=dict)
    """Those of a mixture of several sources."""
    canaries: Canaries | None = None
    """Those that the run reads, if any; their period is not known yet."""

    @classmethod
    def open(cls, config: PretrainConfig) -> "RunData":
        """Open the dataset folder of a resolved configuration.

        Raises:
            UserError: a split or shard is missing, a shard is damaged, or there is too little text for the canaries.
        """
        data = cls._open_text(config)
        return replace(data, canaries=open_canaries(config, data.tokenizer)) if config.canaries else data

    @classmethod
    def _open_text(cls, config: PretrainConfig) -> "RunData":
        folder, length, border = DatasetFolder(config.data), config.sequence_length, 1 - config.holdout
        mixture, objective = open_mixture(config), build_objective(config)
        if config.dp.epsilon and mixture is not None:
            _check_uniform(mixture, config.data)
        marks = Marks.of(folder.token_manifest())
        training_marks, validation_marks = (
            (objective.training(marks), objective.validation(marks)) if marks else (None, None)
        )
        training, validation = (TokenSplit(folder, name) for name in ("train", "validation"))
        tokenizer, text_share = Tokenizer.load(config.data), 1 - (marks.share if marks else 0)
        bytes_per_token = validation.bytes / len(validation) / text_share
        if marks and objective.begins_good:
            tokenizer = tokenizer.with_borders(begin=[marks.good])
        reading = training_marks or open_fill_in_middle(config.fim_rate, config.fim_spm_rate, tokenizer)
        units = DocumentUnits(training, length, tokenizer.eos_token_id) if config.dp.epsilon else None
        if mixture is None:
            return cls(
                units or TokenDataset(training, length, config.seed, reading=reading),
                TokenDataset(validation, length, part=(0.0, border), reading=validation_marks),
                TokenDataset(validation, length, part=(border, 1.0), reading=validation_marks) if config.holdout else None,
                tokenizer,
                len(training),
                bytes_per_token,
                marks,
            )
        rows = validation_rows(folder, length, (0.0, border), validation_marks)
        whole = rows.pop("")
        sources = {
            name: ValidationSource(
                mixed, mixed.targets_per_epoch / whole.targets_per_epoch, mixed.bytes_per_token / text_share
            )
            for name, mixed in rows.items()
        }
        return cls(
            units or MixedText(folder, length, config.seed, mixture, reading),
            whole,
            validation_rows(folder, length, (border, 1.0), validation_marks)[""] if config.holdout else None,
            tokenizer,
            len(training),
            bytes_per_token,
            marks,
            sources if len(sources) > 1 else {},
        )

    def training_rows(self, config: PretrainConfig) -> Dataset:
        """The rows of a run with the length of the configuration, without the documents that it leaves out.

        Raises:
            UserError: the weights of a mixture leave nothing to read, the run is longer than the one that it stands for, or
                there is no document of a number that it leaves out.
        """
        if isinstance(self.training, DocumentUnits):
            return self.training.with_documents([] if self.canaries is None else self.canaries.documents())
        rows: Dataset = (
            self.training.rows(config.max_steps * config.batch_size)
            if isinstance(self.training, MixedText)
            else self.training
        )
        rows = LeftOut(rows, DatasetFolder(config.data), config.without) if config.without else rows
        canaries = self.placed_canaries(config)
        return rows if canaries is None else CanaryRows(rows, canaries)

    def placed_canaries(self, config: PretrainConfig) -> Canaries | None:
        """The canaries of a run, with the length of the epochs in whose rows they are; None without canaries.

        Raises:
            UserError: they do not fit into the rows.
        """
        if self.canaries is None or isinstance(self.training, DocumentUnits):
            return self.canaries
        text, rows_of_run = self.training, config.max_steps * config.batch_size
        period = text.samples_per_epoch if isinstance(text, TokenDataset) else rows_of_run
        canaries = replace(self.canaries, period=period)
        canaries.check_rows(config.sequence_length)
        return canaries

    @property
    def is_readable_at_any_length(self) -> bool:
        """Whether the rows of a run do not depend on its length, as those of a mixture do."""
        return isinstance(self.training, TokenDataset)

    def check_length(self, config: PretrainConfig) -> None:
        """Raise UserError if the run is too short for the number of epochs of a source."""
        if isinstance(self.training, MixedText):
            self.training.mixture.check_length(config.max_steps * config.batch_size, config.sequence_length)

    def uses(self, config: PretrainConfig) -> list[SourceUse]:
        """How much of each source a run reads; empty if the dataset was not made from a recipe."""
        if not isinstance(self.training, MixedText):
            return []
        return self.training.mixture.uses(config.max_steps * config.batch_size, config.sequence_length)

    def describe_mixture(self, config: PretrainConfig) -> list[str]:
        """Sentences about the canaries and the sources that a run reads, and warnings."""
        canaries = [] if self.canaries is None else [self.canaries.describe()]
        if not isinstance(self.training, MixedText):
            return canaries
        uses = ", ".join(f"{use.source} {use.share:.1%} ({format_epochs(use.epochs)} epochs)" for use in self.uses(config))
        warnings = self.training.mixture.warnings(config.max_steps * config.batch_size, config.sequence_length)
        return [*canaries, f"mixture: {uses}", *warnings]

    def write_canaries(self, config: PretrainConfig) -> None:
        """Write the canaries of a run to its folder, if it has some."""
        if (canaries := self.placed_canaries(config)) is not None:
            canaries.write(ModelFolder(config.out).canaries)


def open_canaries(config: PretrainConfig, tokenizer: Tokenizer) -> Canaries:
    """The canaries of a run: those in its folder, or new ones.

    Raises:
        UserError: their file is damaged, or there is too little text for them.
    """
    return Canaries.read(ModelFolder(config.out).canaries) or draw_canaries(
        TokenSplit(config.data, "train"),
        config.canaries,
        vocab_size=tokenizer.vocab_size,
        special=list(tokenizer.special_tokens.values()),
        end=DatasetFolder(config.data).token_manifest().get("eos_token_id"),
        seed=config.seed,
        repetitions=(1,) if config.dp.epsilon else REPETITIONS,
    )


def open_mixture(config: PretrainConfig) -> Mixture | None:
    """The mixture of a run; None if its dataset was not made from a recipe."""
    manifest = DatasetFolder(config.data).token_manifest()
    if "parts" not in manifest:
        return None
    return Mixture.read(manifest, config.mixture, config.mixture_target_tokens, copies=config.mixture_copies)


def _check_uniform(mixture: Mixture, data: Path) -> None:
    """Raise UserError if a recipe reads some documents more often than others."""
    copies = max((part.copies for part in mixture.parts), default=1)
    if mixture.weights or mixture.epochs or mixture.config.schedule or mixture.config.temperature != 1 or copies > 1:
        setting = f"copies of up to {copies}" if copies > 1 else "weights"
        raise UserError(
            f"the recipe of dataset '{data}' has {setting}, but with differential privacy each document is read with the "
            f"same probability: {'add --no-mixture-copies' if copies > 1 else 'prepare it without them'}"
        )


def fingerprint(config: PretrainConfig) -> str:
    """Hash of the tokens of both splits, and of what the dataset says about their mixture."""
    folder = DatasetFolder(config.data)
    digests = [TokenSplit(folder, name).fingerprint for name in ("train", "validation")]
    manifest = folder.token_manifest()
    if "parts" in manifest:
        mixture = json.dumps([manifest["parts"], manifest.get("mixture")], sort_keys=True)
        digests.append(hashlib.sha256(mixture.encode()).hexdigest())
    return " ".join(digests)
