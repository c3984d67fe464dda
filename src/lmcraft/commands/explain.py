"""`lmcraft explain`: look inside a model, on one page, with a check of every explanation."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from cyclopts import Parameter

from lmcraft.config import MACHINE, OUTPUT, SEVERAL_VALUES, Config, command_config, quantity, takes_settings
from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.hub.model_argument import ModelArgument
from lmcraft.interpretability.explanation import Check, Explanation
from lmcraft.quantities import Duration
from lmcraft.standard_streams import check_decoded, undecoded_error

if TYPE_CHECKING:
    import torch

    from lmcraft.language_model import LanguageModel
    from lmcraft.model_source import ModelSource

OPTION = re.compile(r"--\w[\w.-]*(=.*)?")
View = Literal["lens", "logits", "attention", "patching", "inputs", "influence", "training"]
Method = Literal["replay", "ekfac", "cosine"]
MAX_TOKENS = 2000
"""Of a text: a page with more would be too large to read and to send."""
TIME_LIMIT, REQUESTED_TIME_LIMIT = 60.0, 7200.0  # seconds of influence, unless the user chooses
MAX_NAME_CHARACTERS = 80
MAX_SHOWN_CHARACTERS = 200  # of a text in an error


@command_config
@dataclass(frozen=True)
class ExplainConfig(Config):
    """Look inside a model: one HTML page, which opens offline, about what it does with a text.

    It shows the surprise at each token, what each layer says, the components that decide, attention heads, the training
    documents that matter, and how it all arose in training. Whatever it names is ablated, beside random others.
    """

    model: ModelArgument
    """Model folder, GGUF file or address (hf:owner/name)."""
    text: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Text to explain; omitted or "-": read standard input. With --fit-lens it may be left out."""

    _: KW_ONLY

    against: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """A second prompt with as many tokens, for activation patching: the same sentence with another fact."""
    target: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """The token whose logit is explained, such as " Rome". [default: the most likely next one]"""
    contrast: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """The token that it is compared with. [default: the most likely other one]"""
    views: Annotated[tuple[View, ...], SEVERAL_VALUES] = ()
    """Only these views. [default: all for which the model has what they need]"""
    fit_lens: bool = False
    """Fit the model's Jacobian lens first, and keep it in its folder: minutes to hours, once for each model."""
    texts: Annotated[tuple[str, ...], SEVERAL_VALUES] = ()
    """Files or folders of texts to fit the lens on. [default: the run's validation data, or texts that the model writes]"""
    data: Path | None = None
    """The dataset that the model was trained on, if it was moved."""
    documents: int = 10
    """Number of training documents to list."""
    methods: Annotated[tuple[Method, ...], SEVERAL_VALUES] = ("replay", "ekfac", "cosine")
    """How the influence of training documents is computed."""
    time_limit: Annotated[Duration, quantity("1m; 2h with --views influence")] = Duration(0)
    """Longest that the influence of training documents, and its check, may take by their forecasts: 10m, 1.5h."""
    seed: int = 0
    """Of the random others that the checks compare with."""
    out: Annotated[Path | None, OUTPUT] = None
    """HTML file to write. [default: NAME-explanation.html]"""
    overwrite: Annotated[bool, OUTPUT] = False
    """Replace an earlier page."""
    json: Annotated[bool, OUTPUT] = False
    """Print the explanation as JSON instead of a summary."""
    device: Annotated[str, MACHINE] = "auto"
    """cpu, cuda, mps (Apple), or one GPU such as cuda:1; auto: a GPU if there is one."""

    def resolved(self) -> Self:
        if self.text and OPTION.fullmatch(self.text):  # allow_leading_hyphen lets "-" be a text
            raise UserError(f"there is no option {self.text}: see --help (to explain this text, use standard input)")
        for name in ("text", "against"):
            if getattr(self, name) == "":
                raise UserError(f"{name}='' has no tokens: give some text")
        if self.documents < 1:
            raise UserError(f"documents={self.documents} must be 1 or more")
        if not self.methods:
            raise UserError("methods is empty: name replay, ekfac or cosine")
        if self.texts and not self.fit_lens:
            raise UserError("texts are what --fit-lens reads: add it, or leave out --texts")
        if "patching" in self.views and self.against is None:
            raise UserError("views=patching compares two prompts: give the second one with --against")
        if not self.time_limit:
            seconds = REQUESTED_TIME_LIMIT if "influence" in self.views else TIME_LIMIT
            return replace(self, time_limit=Duration(seconds))
        return self


@takes_settings(ExplainConfig)
def explain(config: ExplainConfig) -> Explanation | None:
    """Write the page, print a summary, and return the explanation; None if there is no text, and only the lens is fitted.

    Raises:
        UserError: there is no such model, it does not write text, the text has no or too many tokens, a target is not one
            token, `out` exists, or a view that `views` names cannot be shown; the page has the others.
        RunError: a download failed, the model's outputs are not numbers, or the disk is full.
        InterruptedRunError: a signal stopped it; the page has the views that were complete.
    """
    from lmcraft.training.environment import let_threads_sleep

    let_threads_sleep()
    import torch

    from lmcraft.folder.output import EXPLANATION, replace_output
    from lmcraft.machine import choose_device
    from lmcraft.model_source import open_model

    config = config.resolved()
    text = config.text
    if text == "-" or (text is None and not config.fit_lens):
        text = _read_standard_input()
    with ExitStack() as stack:
        source = stack.enter_context(open_model(config.model))
        source.check_writes_text()
        if text is None:
            _fit_lens(source, config)
            return None
        ids = _encode(source, text, "text")  # before anything is computed
        out = config.out or Path(f"{_file_name(source.name)}-explanation.html")
        temporary = stack.enter_context(replace_output(out, EXPLANATION, overwrite=config.overwrite, inputs=source.inputs))
        if config.fit_lens:
            _fit_lens(source, config)
        # In float32: what is measured are small differences of logits, which 16 bits would drown.
        model = _load(source, torch.float32, choose_device(config.device))
        explanation, stopped = _explain(config, source, model, text, ids)
        _write(temporary, explanation)
    _print(explanation, out, as_json=config.json)
    if stopped is not None:
        raise InterruptedRunError(f"stopped; '{out}' has the views that were complete", stopped.exit_status - 128)
    if missing := [(view, reason) for view, reason in explanation.omitted if view in config.views]:
        raise UserError("; ".join(f"views={view} cannot be shown: {reason}" for view, reason in missing))
    return explanation


def _read_standard_input() -> str:
    """The text on standard input without the line feed at its end, which `echo` adds.

    Raises:
        UserError: it is empty or not text.
    """
    if sys.stdin.isatty():
        print("Type the text to explain, then press Ctrl-D on an empty line.", file=sys.stderr)
    try:
        text = sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise undecoded_error("the text on standard input") from error
    check_decoded(text, "the text on standard input")
    if not text:
        raise UserError("the text on standard input is empty: give some text")
    return text


def _load(source: ModelSource, dtype: torch.dtype, device: str | torch.device) -> LanguageModel:
    from lmcraft.language_model import LanguageModel

    return LanguageModel.of(source, dtype=dtype, device=device, tier="eager")


def _encode(source: ModelSource, text: str, name: str) -> list[int]:
    """The token ids of a text.

    Raises:
        UserError: there are none, or too many for the model or the page.
    """
    from lmcraft.inference.prompt import encode_prompt

    ids = encode_prompt(source.tokenizer, text)
    context = source.checkpoint.config().max_position_embeddings
    if len(ids) > context:
        raise UserError(f"{name} has {len(ids):,} tokens, but the model's context is {context:,}: shorten it")
    if len(ids) > MAX_TOKENS:
        raise UserError(f"{name} has {len(ids):,} tokens, but a page shows at most {MAX_TOKENS:,}: shorten it")
    return ids


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:MAX_NAME_CHARACTERS] or "model"


def _fit_lens(source: ModelSource, config: ExplainConfig) -> None:
    """Fit the lens and keep it in the model's folder; in bfloat16, where that is faster."""
    from lmcraft.folder import ModelFolder
    from lmcraft.interpretability.lenses import FitSettings, fit_folder
    from lmcraft.machine import choose_machine
    from lmcraft.terminal import line_printer

    if not source.path.is_dir() or source.adapter is not None:
        raise UserError(
            f"model='{config.model}' is no folder of a whole model, in which its lens could be kept: write one with "
            "`lmcraft pull` or `lmcraft export`, and fit its lens"
        )
    machine = choose_machine(config.device, "auto")
    model = _load(source, machine.dtype, machine.device)
    fit_folder(model, source.path, files=config.texts, settings=FitSettings(seed=config.seed))
    line_printer()(f"Jacobian lens: {ModelFolder(source.path).jacobian_lens}")


def _explain(
    config: ExplainConfig, source: ModelSource, model: LanguageModel, text: str, ids: list[int]
) -> tuple[Explanation, InterruptedRunError | None]:
    """The explanation, and what stopped it."""
    from lmcraft.commands.explain_views import Question, Views, ViewSettings, find_token

    other_ids = None if config.against is None else _encode(source, config.against, "against")
    if other_ids is not None and len(other_ids) != len(ids):
        raise UserError(
            f"against has {len(other_ids)} tokens and text {len(ids)}, but patching goes token by token: make them equally "
            f"long (text: {_spell_all(model, ids)}; against: {_spell_all(model, other_ids)})"
        )
    target, contrast = (
        None if token is None else find_token(model, token, name)
        for name, token in (("target", config.target), ("contrast", config.contrast))
    )
    if target is not None and target == contrast:
        raise UserError(f"target and contrast are both {config.target!r}: choose another contrast")
    question = Question(model, source, text, ids, other_ids, target, contrast)
    settings = ViewSettings(
        config.views, config.data, config.methods, config.documents, config.seed, float(config.time_limit), config.json
    )
    views = Views(question, settings)
    stopped = views.run()
    return views.explanation(), stopped


def _spell_all(model: LanguageModel, ids: list[int]) -> str:
    from lmcraft.interpretability.choices import token_text

    spelled = "|".join(token_text(model.tokenizer, token) for token in ids)
    return repr(spelled if len(spelled) <= MAX_SHOWN_CHARACTERS else f"{spelled[:MAX_SHOWN_CHARACTERS]}...")


def _write(path: Path, explanation: Explanation) -> None:
    from lmcraft.reports.explanation import write_explanation

    write_explanation(path, explanation)


def _print(explanation: Explanation, out: Path, *, as_json: bool) -> None:
    from lmcraft.json_lines import format_json
    from lmcraft.reports.explanation import summarize
    from lmcraft.terminal import line_printer, print_result

    if as_json:
        print(format_json(_as_json(explanation), indent=2))
    else:
        print_result(*summarize(explanation))
    line_printer()(f"page: {out}")


def _as_json(value: Any) -> Any:
    """Dataclasses as objects, and the verdict of each check beside its numbers."""
    if is_dataclass(value):
        verdict = {"p_value": value.p_value, "is_passed": value.is_passed} if isinstance(value, Check) else {}
        return {field.name: _as_json(getattr(value, field.name)) for field in fields(value)} | verdict
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_json(item) for item in value]
    return value
