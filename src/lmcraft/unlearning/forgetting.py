"""Writes a model folder without some documents or texts, and tests it: what `lmcraft forget` does."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.folder import ModelFolder, remove_path, write_json
from lmcraft.folder.output import MODEL, replace_output
from lmcraft.hub.download_cache import cache_folder
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.language_model import LanguageModel
from lmcraft.lineage.record import dataset_origin, record_change, write_lineage
from lmcraft.model.storage import load_model
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import ModelSource
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.terminal import PrintLine, format_duration, progress_bar
from lmcraft.training.checkpoint import Checkpoints
from lmcraft.training.history import start_ids
from lmcraft.unlearning.ascent import Ascent, ascend
from lmcraft.unlearning.corpus import Corpus, corpus_of_run, corpus_of_texts
from lmcraft.unlearning.levels import find_levels
from lmcraft.unlearning.limits import list_limits
from lmcraft.unlearning.pieces import cut
from lmcraft.unlearning.probes import Question, read_probes
from lmcraft.unlearning.proof import Tests
from lmcraft.unlearning.results import Forgetting, ForgottenText, Method, ModelName
from lmcraft.unlearning.retraining import config_without, count_same_losses, reads_any, seconds_of
from lmcraft.unlearning.selection import Selection, find_similar, first_steps, select_documents

CPU = torch.device("cpu")
Train = Callable[[PretrainConfig], ModelFolder]
WritePage = Callable[[ModelFolder, Forgetting], object]


@dataclass(frozen=True)
class ForgetSettings:
    """How to forget; the names are those of the command's settings."""

    out: Path
    method: Literal["auto", "retrain", "approximate"] = "auto"
    data: Path | None = None
    unread: tuple[str, ...] = ()
    retain: tuple[str, ...] = ()
    probes: Path | None = None
    time_limit: float = 3600.0
    """Of a retraining, in seconds."""
    max_steps: int = 300
    relearning_steps: int = 50
    seed: int = 0
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Tools:
    """What the layers above do for a forgetting."""

    train: Train
    """Trains a model folder (`lmcraft.pretrain`)."""
    write_page: WritePage
    """Writes the page of the results."""
    print_line: PrintLine
    """Prints a line of progress."""


def forget(
    source: ModelSource, numbers: Sequence[int], texts: Sequence[str], settings: ForgetSettings, tools: Tools
) -> Forgetting:
    """Write a model folder, with the record of the tests in `lmcraft/forgetting.json`.

    Args:
        source: the model.
        numbers: of training documents of the model's own run.
        texts: whose documents are to be forgotten; without the run's data, the texts themselves.
        settings: how.
        tools: of the command.

    Raises:
        UserError: there is no such document, the run did not read it, its steps cannot be repeated, or settings are missing
            for a model without data.
        InterruptedRunError: a signal stopped a retraining; resume continues it.
    """
    questions = read_probes(settings.probes) if settings.probes else []
    run: RunDocuments | None = None
    try:
        run = RunDocuments.open(source, numbers, texts, settings)
    except NoRunError as error:
        if numbers or settings.method == "retrain" or settings.data:
            raise UserError(str(error)) from error
        if not settings.unread:
            raise UserError(
                f"{error}; to make it forget texts without its data, name files of texts like them that it never read with "
                "--unread"
            ) from error
    model = LanguageModel.of(source, dtype=torch.float32)
    if run is None:
        corpus = corpus_of_texts(model, texts, settings.unread, settings.retain, settings.seed)
    else:
        corpus = corpus_of_run(run.documents, run.selection, run.run.config.without, settings.seed)
    forgetter = Forgetter(source, model, corpus, run, settings, tools, questions)
    return forgetter.retrain() if run is not None and run.chooses_retraining(settings) else forgetter.approximate()


class NoRunError(UserError):
    """The model has no run whose documents are known."""


@dataclass(frozen=True)
class RunDocuments:
    """The run that made the model, and what is to be forgotten of its data."""

    run: TrainingRun
    documents: Documents
    selection: Selection
    first_steps: dict[int, int]
    """The step that read each document first."""

    @classmethod
    def open(
        cls, source: ModelSource, numbers: Sequence[int], texts: Sequence[str], settings: ForgetSettings
    ) -> "RunDocuments":
        """Open the run of a model, and find the documents.

        Raises:
            NoRunError: there is none whose data are here and whose steps can be repeated.
            UserError: there is no such document, or the weights were kept before the run read one.
        """
        folder = ModelFolder(source.path)
        if guarantee := Guarantee.read(folder):
            raise NoRunError(
                f"'{folder.path}' was trained with differential privacy (epsilon {guarantee.epsilon:.3g}) on batches that "
                "were drawn in secret, so its run cannot be repeated: prepare the data without them, and train again"
            )
        try:
            run = TrainingRun.open(folder, settings.data, allow_dropout=True)
        except UserError as error:
            raise NoRunError(str(error)) from error
        documents = Documents(run.dataset)
        selection = select_documents(documents, numbers, texts)
        if again := sorted({*selection.numbers} & {*run.config.without}):
            raise UserError(
                f"document={again[0]} is left out of the run of '{folder.path}' already: there is nothing to forget"
            )
        if selection.unknown and selection.numbers:
            raise UserError(
                f"text={selection.unknown[0][:40]!r} is in none of the {len(documents):,} training documents, and others "
                "are in some: forget it in a command of its own, with --method approximate"
            )
        steps = first_steps(run, selection.numbers)
        if selection.numbers and not steps:
            raise UserError(
                f"the {run.steps:,} steps that made '{run.folder.path}' read none of the documents "
                f"{', '.join(map(str, selection.numbers))}: there is nothing to forget"
            )
        return cls(run, documents, selection, steps)

    def chooses_retraining(self, settings: ForgetSettings) -> bool:
        """Whether the exact method is used.

        Raises:
            UserError: it was requested, and a text is in no document.
        """
        seconds, unknown = seconds_of(self.run.folder), self.selection.unknown
        if settings.method == "approximate":
            return False
        if not unknown:
            return settings.method == "retrain" or seconds <= settings.time_limit
        if settings.method == "retrain":
            raise UserError(
                f"text={unknown[0][:40]!r} is in none of the {len(self.documents):,} training documents, so a model trained "
                "without it would be the same: leave it out, or use --method approximate"
            )
        return False


@dataclass(frozen=True)
class Forgetter:
    """Makes one model forget."""

    source: ModelSource
    model: LanguageModel
    """The original one, in float32."""
    corpus: Corpus
    run: RunDocuments | None
    settings: ForgetSettings
    tools: Tools
    questions: Sequence[Question]

    def retrain(self) -> Forgetting:
        """Train the model again without the documents."""
        assert self.run is not None
        begin, settings = time.perf_counter(), self.settings
        config = config_without(self.run.run, self.run.selection.numbers, settings.out)
        self._announce()
        try:
            folder = self.tools.train(replace(config, resume=settings.resume))
        except InterruptedRunError as error:
            message = "the retraining was stopped, and saved; continue with the same command and --resume"
            raise InterruptedRunError(message, error.exit_status - 128) from error
        retrained = load_model(folder.path, device=CPU)
        models: dict[ModelName, Transformer] = {"original": self.model.transformer, "unlearned": retrained}
        seconds = time.perf_counter() - begin
        result = self._result("retrain", models, config.max_steps, seconds, folder)
        write_json(folder.forgetting, result.to_json())
        self.tools.write_page(folder, result)
        record_change(folder, folder.forgetting)
        return result

    def approximate(self) -> Forgetting:
        """Write a copy of the model whose losses of the texts were raised to those of unread ones."""
        begin, settings, original = time.perf_counter(), self.settings, self.model.transformer
        data = [] if self.run is None else [("dataset", self.run.run.dataset.path)]
        inputs = [*self.source.inputs, *data]
        with replace_output(settings.out, MODEL, overwrite=settings.overwrite, inputs=inputs) as temporary:
            folder = ModelFolder(temporary)
            learner, steps = self._ascend()
            seconds = time.perf_counter() - begin
            learner.to(self.source.checkpoint.dtype or torch.float32)
            LanguageModel(learner, self.model.tokenizer, self.model.generation_config).save_files(temporary)
            models: dict[ModelName, Transformer] = {"original": original, "unlearned": load_model(temporary, device=CPU)}
            if (retrained := self._train_beside()) is not None:
                models["retrained"] = load_model(retrained.path, device=CPU)
            result = self._result("approximate", models, steps, seconds, retrained)
            write_json(folder.forgetting, result.to_json())
            self.tools.write_page(folder, result)
            write_lineage(
                folder,
                "forget",
                parents=[self.source.origin("original")],
                data=[dataset_origin("training data", path) for _, path in data],
                license=self.source.license,
                summary={"without": [number for number in self.corpus.numbers if number is not None]},
                out=settings.out,
            )
        if retrained is not None:
            remove_path(retrained.path)
        return result

    def _ascend(self) -> tuple[Transformer, int]:
        length = self.model.transformer.config.max_position_embeddings - 1
        pieces, retained = cut(self.corpus.forgotten, length), cut(self.corpus.retained, length)
        unread, seed = cut(self.corpus.for_tests().unseen, length), self.settings.seed
        levels = find_levels(self.model.transformer, pieces, unread, retained, seed=seed)
        ascent = Ascent(self.settings.max_steps, seed=seed)
        with progress_bar("forgetting") as report:
            learner, steps = ascend(self.model.transformer, pieces, levels, retained, ascent, report)
        if not steps:
            raise UserError(
                "the texts are no likelier to the model than unread ones "
                f"({np.mean([level.expected for level in levels]):.2f} nats per token): there is nothing to forget"
            )
        return learner, steps

    def _train_beside(self) -> ModelFolder | None:
        """The folder of a model without the documents, to compare with; None if there can be none, or it takes too long."""
        if self.run is None or self.run.selection.unknown or seconds_of(self.run.run.folder) > self.settings.time_limit:
            return None
        run, numbers = self.run.run, self.run.selection.numbers
        key = "\n".join([*start_ids(run.folder), str(run.folder.path.resolve()), *map(str, numbers)])
        out = cache_folder() / "unlearning" / hashlib.sha256(key.encode()).hexdigest()[:24]
        self._announce()
        return self.tools.train(
            replace(config_without(run, numbers, out), resume=bool(Checkpoints(ModelFolder(out)).steps()))
        )

    def _announce(self) -> None:
        assert self.run is not None
        seconds, count = seconds_of(self.run.run.folder), len(self.run.selection.numbers)
        self.tools.print_line(
            f"training again without {count} document{'s' * (count > 1)}: the run took {format_duration(seconds)}"
        )

    def _result(
        self, method: Method, models: dict[ModelName, Transformer], steps: int, seconds: float, retrained: ModelFolder | None
    ) -> Forgetting:
        """The tests of the models."""
        corpus, run, settings = self.corpus.for_tests(), self.run, self.settings
        tests = Tests(
            models,
            self.model.tokenizer,
            corpus.forgotten,
            corpus.forgotten_texts,
            corpus.unseen,
            corpus.unseen_texts,
            self.questions,
            settings.relearning_steps,
            settings.seed,
        )
        self.tools.print_line("testing")
        proof = tests.run()
        similar: list[tuple[int, float]] = []
        never_read: list[int] = []
        if run is not None:
            proof = replace(proof, first_read=min(run.first_steps.values(), default=None))
            if retrained is not None:
                proof = replace(proof, same_losses=count_same_losses(run.run.folder, retrained))
            if method == "retrain":
                again = TrainingRun.open(ModelFolder(settings.out), run.run.config.data, allow_dropout=True)
                proof = replace(proof, is_unread=not reads_any(again, run.selection.numbers))
            similar = find_similar(run.documents, run.selection.numbers)
            never_read = [number for number in run.selection.numbers if number not in run.first_steps]
        result = Forgetting(
            model=self.source.name,
            method=method,
            texts=self._texts(tests, method),
            similar=similar,
            never_read=never_read,
            steps=steps,
            seconds=seconds,
            proof=proof,
            limits=(),
        )
        return replace(
            result,
            limits=list_limits(
                result,
                has_probes=bool(self.questions),
                has_canaries=run is not None and bool(run.run.config.canaries),
                is_tested_in_part=self.corpus.is_tested_in_part,
                retained=corpus.retained_source,
            ),
        )

    def _texts(self, tests: Tests, method: Method) -> list[ForgottenText]:
        losses, corpus = {name: tests.losses(name) for name in tests.models}, self.corpus.for_tests()
        levels: Sequence[float | None] = [None] * len(corpus.forgotten)
        if method == "approximate":
            model = self.model.transformer
            levels = [level.expected for level in find_levels(model, corpus.forgotten, corpus.unseen, corpus.retained)]
        return [
            ForgottenText(
                corpus.numbers[index],
                hashlib.sha256(self.corpus.forgotten_texts[index].encode("utf-8", "surrogatepass")).hexdigest(),
                len(self.corpus.forgotten[index]),
                {name: float(values[index]) for name, values in losses.items()},
                levels[index],
            )
            for index in range(len(corpus.forgotten))
        ]
