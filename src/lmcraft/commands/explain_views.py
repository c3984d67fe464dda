"""The views of `lmcraft explain`, one after the other; one that cannot be shown is left out with its reason."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lmcraft.errors import InterruptedRunError, LmcraftError, UserError
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.choices import token_text
from lmcraft.interpretability.explanation import Explanation
from lmcraft.interpretability.surprise import measure_surprise
from lmcraft.terminal import format_duration, line_printer, progress_bar
from lmcraft.training.signals import interrupt_on_signals

if TYPE_CHECKING:
    from lmcraft.interpretability.influence.search import Method
    from lmcraft.interpretability.lenses.jacobian import JacobianLens
    from lmcraft.language_model import LanguageModel
    from lmcraft.model_source import ModelSource


@dataclass(frozen=True)
class Question:
    """What is explained: a text, and the logit of a token after it."""

    model: LanguageModel
    source: ModelSource
    text: str
    ids: list[int]
    other_ids: list[int] | None
    """Of the prompt to compare with."""
    target: int | None
    contrast: int | None

    def folder(self, purpose: str) -> ModelFolder:
        """The model's folder.

        Raises:
            UserError: the model is a file or an adapter, which has no such thing.
        """
        if not self.source.path.is_dir():
            raise UserError(f"a model file has no {purpose}: name the model's folder")
        return ModelFolder(self.source.path)


@dataclass(frozen=True)
class ViewSettings:
    """Which views are computed, and how; the names are those of the command's settings."""

    views: Sequence[str]
    """Empty: all."""
    data: Path | None
    methods: Sequence[Method]
    documents: int
    seed: int
    time_limit: float
    """Of the influence of documents, in seconds."""
    quiet: bool
    """Print no times."""


def find_token(model: LanguageModel, text: str, name: str) -> int:
    """The id of the token with this text.

    Raises:
        UserError: it is not one token; the message says how it is split.
    """
    if text in model.tokenizer.special_tokens:
        return model.tokenizer.special_tokens[text]
    ids = model.tokenizer.encode(text)
    if len(ids) != 1:
        parts = ", ".join(repr(token_text(model.tokenizer, token)) for token in ids) or "nothing"
        raise UserError(f"{name}={text!r} is not one token, but {parts}: choose one token, with the space before it if any")
    return ids[0]


@dataclass
class Views:
    """The views of a question, as far as they are complete."""

    question: Question
    settings: ViewSettings
    parts: dict[str, Any] = field(default_factory=dict)
    """Fields of the `Explanation`."""
    omitted: list[tuple[str, str]] = field(default_factory=list)

    def run(self) -> InterruptedRunError | None:
        """Compute the views; returns what stopped it.

        Raises:
            UserError: the text cannot be explained at all.
            RunError: the model's outputs are not numbers.
        """
        question = self.question
        self.parts["surprise"] = measure_surprise(question.model, question.ids)
        stopped: InterruptedRunError | None = None
        for name, build in self._builders().items():
            if self.settings.views and name not in self.settings.views:
                continue
            if stopped is not None:
                self.omitted.append((name, "the explanation was stopped before"))
                continue
            start = perf_counter()
            try:
                with interrupt_on_signals():
                    self.parts |= build()
            except InterruptedRunError as error:
                stopped = error
            except KeyboardInterrupt as error:
                stopped = InterruptedRunError(str(error), signal.SIGINT)
            except LmcraftError as error:
                self.omitted.append((name, str(error)))
                continue
            if stopped is not None:
                self.omitted.append((name, "it was stopped before its end"))
                continue
            line_printer(quiet=self.settings.quiet)(f"{name}: {format_duration(perf_counter() - start)}")
        return stopped

    def explanation(self) -> Explanation:
        """What is complete."""
        question = self.question
        return Explanation(
            model=question.source.name,
            description=question.model.transformer.describe(),
            text=question.text,
            tokens=[token_text(question.model.tokenizer, token) for token in question.ids],
            omitted=self.omitted,
            **self.parts,
        )

    def _builders(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """What builds each view, as fields of the explanation."""
        return {
            "lens": self._lens,
            "logits": self._logits,
            "attention": self._attention,
            "patching": self._patching,
            "inputs": self._inputs,
            "training": self._training,
            "influence": self._influence,
        }

    @property
    def _decision(self) -> dict[str, Any]:
        """Arguments of the views about one decision: why this token, and not that one."""
        return {"target": self.question.target, "contrast": self.question.contrast, "seed": self.settings.seed}

    def _lens(self) -> dict[str, Any]:
        from lmcraft.interpretability.lenses import check_swap, load_jacobian_lens, read_lens

        question = self.question
        jacobians: list[JacobianLens | None] = [None]
        if question.source.path.is_dir() and question.source.adapter is None:
            try:
                jacobian = load_jacobian_lens(question.source.path)
            except UserError as error:
                self.omitted.append(("jacobian", str(error)))
            else:
                jacobians += [] if jacobian is None else [jacobian]
        lenses = []
        for lens in jacobians:
            check = check_swap(question.model, question.ids, lens, **self._decision)
            lenses.append(read_lens(question.model, question.ids, lens, checks=[check]))
        return {"lenses": lenses}

    def _logits(self) -> dict[str, Any]:
        from lmcraft.interpretability.attribution.direct_logit import attribute_logit

        question = self.question
        return {"logit_attribution": attribute_logit(question.model, question.ids, **self._decision)}

    def _attention(self) -> dict[str, Any]:
        from lmcraft.interpretability.attention.view import explain_attention, why_without_reasons

        attention = explain_attention(self.question.model, self.question.ids, seed=self.settings.seed)
        if reason := why_without_reasons(self.question.model.transformer.config):
            self.omitted.append(("reasons of attention", reason))
        return {"attention": attention}

    def _patching(self) -> dict[str, Any]:
        from lmcraft.interpretability.attribution.patching import patch_activations

        question = self.question
        if question.other_ids is None:
            raise UserError("it compares two prompts: give a second one with --against")
        return {
            "patching": patch_activations(
                question.model,
                question.ids,
                question.other_ids,
                answer=question.target,
                other_answer=question.contrast,
                seed=self.settings.seed,
            )
        }

    def _inputs(self) -> dict[str, Any]:
        from lmcraft.interpretability.attribution.integrated_gradients import integrate_gradients

        question = self.question
        return {"input_attribution": integrate_gradients(question.model, question.ids, **self._decision)}

    def _training(self) -> dict[str, Any]:
        from lmcraft.interpretability.checkpoints import follow_training

        folder = self.question.folder("checkpoints")
        with progress_bar("checkpoints") as report:
            training = follow_training(folder, self.question.ids, seed=self.settings.seed, on_step=report)
        return {"training": training}

    def _influence(self) -> dict[str, Any]:
        from lmcraft.interpretability.influence.search import find_documents

        settings = self.settings
        influence = find_documents(
            self.question.folder("training data"),
            self.question.text,
            data=settings.data,
            methods=settings.methods,
            count=settings.documents,
            seed=settings.seed,
            time_limit=settings.time_limit,
        )
        self.omitted += influence.omitted
        return {"influence": influence}
