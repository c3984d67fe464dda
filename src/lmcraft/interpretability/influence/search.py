"""The training documents that taught a model a text, by each method, and what happens without those that they name."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, remove_path
from lmcraft.folder.lock import lock_folder
from lmcraft.hub.download_cache import cache_folder
from lmcraft.interpretability.explanation import MIN_RANDOM, Check, DocumentInfluence, Influence
from lmcraft.interpretability.influence.cosine import cosine_scores
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.ekfac import ekfac_scores, forecast
from lmcraft.interpretability.influence.gradients import FullGradients, text_rows
from lmcraft.interpretability.influence.metasmoothness import measure_metasmoothness
from lmcraft.interpretability.influence.replay import Replay, Trajectory, replay, stride_of
from lmcraft.interpretability.influence.step import TrainingStep
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.interpretability.interventions import draw_others
from lmcraft.json_lines import format_json_line, read_json_lines
from lmcraft.machine import free_memory
from lmcraft.model.storage import load_model
from lmcraft.model.transformer import Transformer
from lmcraft.terminal import format_bytes, format_duration, line_printer, progress_bar
from lmcraft.tokenizer import Tokenizer
from lmcraft.training.history import start_ids

Method = Literal["replay", "ekfac", "cosine"]
METHODS: tuple[Method, ...] = ("replay", "ekfac", "cosine")
TIME_LIMIT = 2 * 3600.0  # of the forecast of what is computed by going through the run, in seconds
EXCERPT_CHARS = 400
FORECAST_DOCUMENTS = 8  # whose gradients are timed
MEASURE = "loss of the text, nats per token"
MAX_DISTANCE = 0.5  # from the folder's weights to the replay's, as a share of the way from the initial ones
MIN_METASMOOTHNESS = 0.9  # below it, documents that are left out have other effects than predicted (benchmarks/influence.md)


def find_documents(
    folder: ModelFolder,
    text: str,
    *,
    data: Path | None = None,
    methods: Sequence[Method] = METHODS,
    count: int = 10,
    seed: int = 0,
    check: bool = True,
    time_limit: float = TIME_LIMIT,
) -> Influence:
    """The training documents that lowered a model's loss of a text most.

    Args:
        folder: of a model that `lmcraft pretrain` made.
        text: what the model knows.
        data: the dataset folder, if it is neither where it was nor beside the model.
        methods: replay is exact for small changes of the data, and takes a few times as long as the run; ekfac and cosine
            approximate it from the final weights.
        count: of documents by each method.
        seed: of random choices.
        check: train the model again without the first document of each method, and without random ones.
        time_limit: seconds that a replay, and the checks, may take by the forecast.

    Raises:
        UserError: the folder's run or data are not here, the text is too short, or none of the methods can run.
        KeyboardInterrupt: it was stopped; the same call goes on from there.
    """
    search = _Search(TrainingRun.open(folder, data), text, seed, time_limit)
    scores, omitted = dict[Method, NDArray[np.float64]](), list[tuple[str, str]]()
    with search.opened():
        for method in dict.fromkeys(methods):
            try:
                scores[method] = search.scores(method)
            except UserError as error:
                omitted.append((method, str(error)))
        if not scores:
            raise UserError("; ".join(reason for _, reason in omitted) or f"name a method: {', '.join(METHODS)}")
        checks = list[Check]()
        try:
            if check:
                checks = search.check({method: int(values.argmax()) for method, values in scores.items()})
        except UserError as error:
            omitted.append(("checks", str(error)))
    return search.result(scores, count, checks, omitted)


@dataclass
class _Search:
    """The search for the documents that taught a model one text."""

    run: TrainingRun
    text: str
    seed: int
    time_limit: float
    notes: list[str] = field(default_factory=list)
    metasmoothness: float | None = None

    def __post_init__(self) -> None:
        tokenizer = Tokenizer.load(self.run.folder.path)
        end = tokenizer.eos_token_id
        self.ids = [*([] if end is None else [end]), *tokenizer.encode(self.text)]
        if len(self.ids) < 2:
            raise UserError("the text has no token that a model could predict: give a longer one")
        self.rows = text_rows(self.ids, self.run.config.sequence_length)
        self.documents = Documents(self.run.dataset)
        self.print_line = line_printer()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """A folder for the states of the run; it is kept if the block is interrupted, and else removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with lock_folder(self.folder, wait=True, create=True):
                yield
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(str(error) or "stopped; the same command goes on from here") from error
        remove_path(self.folder)

    @cached_property
    def folder(self) -> Path:
        """In the cache: of this run and this text."""
        run = self.run
        key = [*start_ids(run.folder), str(run.folder.path.resolve()), str(run.steps), str(self.seed), *map(str, self.ids)]
        return cache_folder() / "influence" / hashlib.sha256("\n".join(key).encode()).hexdigest()[:24]

    def scores(self, method: Method) -> NDArray[np.float64]:
        """The scores of a method, (N,)."""
        length = self.run.config.sequence_length
        count = f"{len(self.documents):,} documents"
        if method == "cosine":
            self._forecast(f"the gradients of {count}", self._cosine_seconds())
            return cosine_scores(self.model, self.documents, self.ids, sequence_length=length)
        if method == "ekfac":
            self._forecast(f"EK-FAC over {count}", forecast(self.model, self.documents, sequence_length=length).seconds)
            return ekfac_scores(self.model, self.documents, self.ids, sequence_length=length, seed=self.seed)
        assert method == "replay", method
        return self._replay()

    @cached_property
    def model(self) -> Transformer:
        return load_model(self.run.folder.path, device=torch.device("cpu"))

    @cached_property
    def step(self) -> TrainingStep:
        return TrainingStep(self.run)

    @cached_property
    def trajectory(self) -> Trajectory:
        return Trajectory(self.step, self.folder)

    @cached_property
    def gradient_seconds(self) -> float:
        """Of one step, measured."""
        batch, weights_P = self.run.batch(0), self.step.first_state().weights
        ones_N = torch.ones(self.run.document_count, dtype=self.step.dtype)
        return min(_seconds(partial(self.step.gradient, weights_P, batch, ones_N)) for _ in range(2))

    def text_loss(self, weights_P: Tensor) -> Tensor:
        return self.step.text_loss(weights_P, self.rows)

    def _replay(self) -> NDArray[np.float64]:
        run, step = self.run, self.step
        self._check_memory()
        batch, weights_P = run.batch(0), step.first_state().weights
        ones_N = torch.ones(run.document_count, dtype=step.dtype)
        back = _seconds(partial(step.pull_back, weights_P, batch, ones_N, [weights_P]))
        seconds = run.steps * (2 * self.gradient_seconds + back) + 2 * run.steps * self.gradient_seconds
        self._forecast(f"replaying {self._length}", seconds)
        with progress_bar("replay") as report:
            result = replay(self.trajectory, [self.text_loss], report, key="text")
        self._compare(result)
        if not result.derivatives.isfinite().all():
            raise UserError(
                f"the derivatives through the {run.steps:,} steps of '{run.folder.path}' grow beyond all numbers, since "
                "small changes of its weights grow with each step (docs/influence.md): use ekfac and cosine"
            )
        with progress_bar("metasmoothness") as report:
            self.metasmoothness = measure_metasmoothness(self.trajectory, result.weights, self.seed, report)
        if self.metasmoothness < MIN_METASMOOTHNESS:
            self.notes.append(
                f"The metasmoothness of the run is {self.metasmoothness:.2f}, below {MIN_METASMOOTHNESS}: its weights jump "
                "about as documents are left out, so trust the checks rather than the scores of replay (docs/influence.md)."
            )
        self._final = result.weights
        return -result.derivatives[0].numpy()

    def _cosine_seconds(self) -> float:
        """Of the gradients of all documents, from some of them."""
        gradients, length = FullGradients(self.model), self.run.config.sequence_length
        step = max(1, len(self.documents) // FORECAST_DOCUMENTS)
        numbers = range(0, len(self.documents), step)
        tokens = [self.documents.sequence(number).tolist() for number in numbers]
        gradients.of(tokens[0], length)  # warms up
        return _seconds(lambda: [gradients.of(ids, length) for ids in tokens]) * len(self.documents) / len(tokens)

    def _check_memory(self) -> None:
        states = self.step.first_state().nbytes * stride_of(self.run.steps)
        needed, free = 2 * states, free_memory(torch.device("cpu"))
        if needed > free:
            raise UserError(
                f"replay needs about {format_bytes(needed)} of memory for the states of {self.run.steps:,} steps, and "
                f"{format_bytes(free)} are free: use ekfac and cosine"
            )

    def _forecast(self, work: str, seconds: float) -> None:
        """Say how long something takes, or refuse it."""
        if seconds > self.time_limit:
            raise UserError(
                f"{work} would take about {format_duration(seconds)} on this machine, more than "
                f"{format_duration(self.time_limit)}: raise --time-limit, or explain a smaller run"
            )
        self.print_line(f"{work}: about {format_duration(seconds)}")

    @property
    def _length(self) -> str:
        return f"{self.run.steps:,} steps of {self.step.weight_count:,} weights"

    def _compare(self, result: Replay) -> None:
        """Compare the weights after the replay with those in the folder."""
        step = self.step
        kept_P, first_P = step.weights_of(self.model), step.first_state().weights
        distance = float((result.weights - kept_P).norm() / (kept_P - first_P).norm().clamp(min=1e-30))
        if not distance <= MAX_DISTANCE:  # or it is not a number
            raise UserError(
                f"the replay of '{self.run.folder.path}' ends {distance:.0%} of the way off its weights, so its influences "
                "would be those of another model: such a run multiplies rounding errors (docs/influence.md)"
            )
        self.notes.append(
            f"Replay computes in float64 and ends within {distance:.2g} of the model's weights, as a share of the way that "
            "they went in training."
        )

    def check(self, named: dict[Method, int]) -> list[Check]:
        """Train again without the document that each method names, and without random ones."""
        self._check_memory()
        read = [number for number, first in enumerate(self.trajectory.first_steps.tolist()) if first < self.run.steps]
        others = draw_others(-1, (number for number in read if number not in named.values()), MIN_RANDOM, self.seed)
        numbers = list(dict.fromkeys([*named.values(), *others]))
        left = sum(self.run.steps - int(self.trajectory.first_steps[number]) for number in numbers)
        work = f"training {self._length} again without each of {len(numbers)} documents"
        self._forecast(work, left * self.gradient_seconds)
        with progress_bar("computing the run") as report:
            before = float(self.text_loss(self.trajectory.run(report).weights).detach())
        losses = self._leave_out(numbers)
        random = [losses[number] for number in others]
        return [
            Check(f"document {number} ({method})", "left out of training", MEASURE, before, losses[number], random, "rises")
            for method, number in named.items()
        ]

    def _leave_out(self, numbers: Sequence[int]) -> dict[int, float]:
        """The loss of the text without each document; those of an interrupted search are read."""
        file, losses = self.folder / "left-out.jsonl", dict[int, float]()
        if file.is_file():
            losses = {row["document"]: row["loss"] for row in read_json_lines(file)}
        with progress_bar("training without a document") as report, file.open("a", encoding="utf-8") as log:
            for done, number in enumerate(numbers):
                report(done, len(numbers))
                if number in losses:
                    continue
                weights_N = self.trajectory.document_weights.clone()
                weights_N[number] = 0
                losses[number] = float(self.text_loss(self.trajectory.retrain(weights_N)).detach())
                print(format_json_line({"document": number, "loss": losses[number]}), end="", file=log, flush=True)
        return losses

    def result(
        self,
        scores: dict[Method, NDArray[np.float64]],
        count: int,
        checks: Sequence[Check],
        omitted: Sequence[tuple[str, str]],
    ) -> Influence:
        """The most influential documents of each method, in the order of the first one."""
        best = {int(number) for values in scores.values() for number in np.argsort(-values)[:count]}
        first = next(iter(scores.values()))
        numbers = sorted(best, key=lambda number: -first[number])
        sources = self.documents.find_sources(numbers)
        rows = [
            DocumentInfluence(
                number,
                sources[number],
                self.documents.text(number)[:EXCERPT_CHARS],
                {method: float(values[number]) for method, values in scores.items()},
            )
            for number in numbers
        ]
        return Influence(
            tuple(scores),
            len(self.documents),
            rows,
            self.metasmoothness,
            checks,
            self.run.steps,
            tuple(self.notes),
            tuple(omitted),
        )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
