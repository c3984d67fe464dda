"""The recipe of a preparation: sources, stages in order, the mixture, and where the work runs, read from a TOML file."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import tomli_w

from lmcraft.config import read_toml
from lmcraft.data.mixture import MixtureConfig, MixtureStage, describe_zero_shares
from lmcraft.data.source_files import check_source_path, list_files
from lmcraft.errors import UserError
from lmcraft.folder import atomic_write
from lmcraft.preparation.stages.catalog import suggest
from lmcraft.preparation.stages.language_codes import check_languages
from lmcraft.setting_values import convert_value, expand_user, field_types, is_group

RESERVED_NAMES = ("read", "output", "licenses", "malformed", "poisoned", "groups")  # what a tally counts besides stages
SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
USUAL_STAGES = ("normalize", "language", "quality", "exact-duplicates", "near-duplicates")
T = TypeVar("T")
Format = Literal["auto", "text", "html", "jsonl", "csv", "tsv", "parquet", "warc", "code", "man", "rst", "po"]
SourceKind = Literal["auto", "web", "prose", "code", "reference"]
UNIT_BYTES = 16 << 20
MIN_UNIT_BYTES = 1 << 10


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Files of one origin."""

    name: str
    """Names the source in the manifest, on the page and in training: lowercase letters, digits and hyphens."""
    paths: tuple[str, ...]
    """Files, folders, patterns, and addresses such as s3://bucket/folder/ or https://host/file.jsonl.zst."""
    format: Format = "auto"
    """Format of the files. [default: by name]"""
    kind: SourceKind = "auto"
    """Which quality rules apply: web pages, prose, code, or reference such as manual pages. [default: by format]"""
    languages: tuple[str, ...] = ()
    """Languages to keep, such as en and zh. [default: all]"""
    license: str = ""
    """License as an SPDX identifier or text; files of code may name their own."""
    weight: float | None = None
    """Share of the mixture, relative to the other weights. [default: in proportion to its tokens]"""
    epochs: float | None = None
    """Instead of a weight: how many times training reads the source."""
    priority: int = 0
    """Of two duplicates, the one in the source of higher priority is kept."""
    text_field: str = "text"
    """Field that holds the text in rows; a.b is the field b of a."""
    encoding: str | None = None
    """Encoding of the files. [default: UTF-8, else detected for each file]"""
    include: tuple[str, ...] = ()
    """Patterns of files to read in folders, such as "*.py". [default: all]"""
    exclude: tuple[str, ...] = ()
    """Patterns of files to skip in folders."""

    def check(self) -> None:
        """Raise UserError for an impossible setting."""
        if not SOURCE_NAME.fullmatch(self.name):
            raise UserError(f"source name {self.name!r} cannot be used as a name: use lowercase letters, digits and hyphens")
        if not self.paths:
            raise UserError(f"source {self.name!r}: paths is empty: name at least one file, folder, pattern or address")
        for path in self.paths:
            check_source_path(path)
        if self.weight is not None and self.epochs is not None:
            raise UserError(f"source {self.name!r}: weight and epochs both set its share: leave one of them out")
        for name in ("weight", "epochs"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UserError(f"source {self.name!r}: {name}={value} is negative: use 0 or more")


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """A stage: what it is, and which documents it judges. `settings` are those of its class in `stages/`."""

    kind: str
    name: str
    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UserError for a name that no file can have, or that counts something else."""
        if not SOURCE_NAME.fullmatch(self.name) or self.name in RESERVED_NAMES:
            raise UserError(
                f"stage name {self.name!r} cannot be used as a name: use lowercase letters, digits and hyphens, "
                f"but not {', '.join(RESERVED_NAMES)}"
            )

    def applies_to(self, source: str, language: str) -> bool:
        """Whether it judges the documents of a source in a language."""
        return (not self.sources or source in self.sources) and (not self.languages or language in self.languages)


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Where the work runs. Only `unit_bytes` may change the dataset."""

    backend: Literal["processes", "ray", "slurm"] = "processes"
    """Processes on this machine, tasks on a Ray cluster, or a job script for Slurm."""
    workers: int = 0
    """Number of workers; 0: one per core."""
    work: Path | None = None
    """Folder in which a hidden work folder is made. [default: that of the dataset]"""
    unit_bytes: int = UNIT_BYTES
    """Size of a unit of work, in stored bytes."""
    document_seconds: float = 60.0
    """A document that takes longer is skipped and reported."""

    def check(self) -> None:
        """Raise UserError for a setting out of range."""
        if self.workers < 0:
            raise UserError(f"executor.workers={self.workers} is negative: use 0 for one worker per core")
        if self.unit_bytes < MIN_UNIT_BYTES:
            raise UserError(f"executor.unit_bytes={self.unit_bytes} is too small: use at least {MIN_UNIT_BYTES}")
        if self.document_seconds <= 0:
            raise UserError(f"executor.document_seconds={self.document_seconds} is too short: use a positive number")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a dataset depends on."""

    source: tuple[SourceConfig, ...]
    """Where text comes from."""
    stage: tuple[StageConfig, ...] = ()
    """What happens to each document, in order."""
    tokenizer: Path | None = None
    """Folder of a tokenizer or a model. [default: train a tokenizer on the text]"""
    tokenizer_type: Literal["bpe", "characters"] = "bpe"
    """Type of tokenizer to train."""
    vocab_size: int = 8192
    """Vocabulary size of the tokenizer to train (BPE)."""
    digits: int = 1
    """Maximum number of digits per token (BPE); 0: no limit."""
    fim: bool = False
    """Give the tokenizer the tokens of fill-in-the-middle, for `lmcraft pretrain --fim-rate`."""
    validation: float = 0.01
    """Share of each source held out for validation."""
    document_chars: int = 1_000_000
    """Maximum length of a document in characters; longer texts are split."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """How training draws from the sources."""
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    """Where the work runs."""

    def check(self) -> None:
        """Raise UserError for settings that are impossible, alone or together."""
        if not self.source:
            raise UserError("the recipe has no sources: add a table [[source]] with name and paths")
        for source in self.source:
            source.check()
        self.executor.check()
        _check_distinct([source.name for source in self.source], "source")
        _check_distinct([stage.name for stage in self.stage], "stage")
        names = [source.name for source in self.source]
        for stage in self.stage:
            stage.check()
            for name in stage.sources:
                if name not in names:
                    raise UserError(
                        f"stage {stage.name!r}: there is no source {name!r}: {suggest(name, dict.fromkeys(names))}"
                    )
        self._check_marks()
        self._check_scrubbing()
        self._check_weights()
        self._check_languages()
        if not 0 <= self.validation < 1:
            raise UserError(f"validation={self.validation} is not a share of the text: use at least 0 and less than 1")
        if self.document_chars < 1:
            raise UserError(f"document_chars={self.document_chars} is too small: the minimum is 1")

    @property
    def has_marks(self) -> bool:
        """Whether a stage puts marks into the text."""
        return any(stage.kind == "mark" for stage in self.stage)

    def _check_marks(self) -> None:
        """Raise UserError for a stage after one that notes positions in the text."""
        kinds = [stage.kind for stage in self.stage]
        if self.has_marks and set(kinds[kinds.index("mark") :]) != {"mark"}:
            later = next(stage for stage in self.stage[kinds.index("mark") :] if stage.kind != "mark")
            raise UserError(
                f"stage {later.name!r} comes after stage {self.stage[kinds.index('mark')].name!r}, whose marks stand in the "
                "finished text: move the stage of kind 'mark' to the end"
            )

    def _check_scrubbing(self) -> None:
        """Raise UserError for a stage that would set documents aside with their personal data."""
        moderate: StageConfig | None = None
        for stage in self.stage:
            if stage.kind == "moderate":
                moderate = moderate or stage
            elif stage.kind == "scrub" and moderate:
                raise UserError(
                    f"stage {moderate.name!r} sets documents aside for review before stage {stage.name!r} has removed their "
                    f"personal data: move stage {stage.name!r} before it"
                )

    def _check_weights(self) -> None:
        """Raise UserError for weights of what is no source, and for weights that leave nothing to read."""
        names = [source.name for source in self.source]
        for name in (name for stage in self.mixture.schedule for name in stage.weights):
            if name not in names:
                raise UserError(
                    f"mixture.schedule: weights name {name!r}, which is not a source: {suggest(name, dict.fromkeys(names))}"
                )
        shares = {
            source.name: next((value for value in (source.weight, source.epochs) if value is not None), 1.0)
            for source in self.source
        }
        for stage in self.mixture.schedule or (MixtureStage(),):
            if not any({**shares, **stage.weights}.values()):
                setting = f"until={stage.until:g} of mixture.schedule: " if self.mixture.schedule else ""
                raise UserError(f"{setting}{describe_zero_shares(names)}")

    def _check_languages(self) -> None:
        """Raise UserError for languages that no document can have."""
        identifying = [stage for stage in self.stage if stage.kind == "language"]
        scripts_only = bool(identifying) and all(stage.settings.get("model") == "scripts" for stage in identifying)
        for source in self.source:
            if len(source.languages) > 1 and not identifying:
                raise UserError(
                    f"source {source.name!r}: languages={list(source.languages)} needs a stage that tells them apart: add "
                    '{ kind = "language" } to stage'
                )
            check_languages(source.languages, f"source {source.name!r}: languages", scripts_only=scripts_only)
        for stage in self.stage:
            if stage.kind == "hook":
                break  # it may write any language
            check_languages(stage.languages, f"stage {stage.name!r}: languages")


def read_recipe(path: Path, **flags: Any) -> Recipe:
    """Read a recipe; relative paths in it are relative to the current folder, as on the command line.

    Args:
        path: the TOML file.
        flags: top-level settings that replace those of the file.

    Raises:
        UserError: the file cannot be read, a setting is unknown (the nearest is named), or a value does not fit.
    """
    return build_recipe(read_toml(path) | flags)


def write_recipe(path: Path, sources: Sequence[str], **settings: Any) -> None:
    """Write a recipe with the usual stages, to edit.

    Args:
        path: the file; must not exist.
        sources: one source of the recipe for each.
        settings: of all sources, as in `SourceConfig`.

    Raises:
        UserError: the file exists, or there is nothing at a source's path.
    """
    if path.exists():
        raise UserError(f"write_recipe='{path}' already exists: choose another file, or delete it")
    for source in sources:
        if "://" not in source:
            list_files(source)
    names: list[str] = []
    tables = []
    for source in sources:
        words = re.findall("[a-z0-9]+", Path(source.rstrip("/*")).name.lower()) or ["source"]
        stem = "-".join(words)
        taken = sum(name == stem or name.startswith(f"{stem}-") for name in names)
        names.append(f"{stem}-{taken + 1}" if taken else stem)
        changed = {name: value for name, value in settings.items() if value not in (None, (), "text")}
        tables.append({"name": names[-1], "paths": [source], **changed})
    stages = [{"kind": kind} for kind in USUAL_STAGES]
    recipe = {"vocab_size": 8192, "validation": 0.01, "stage": stages, "source": tables}
    with atomic_write(path) as temporary:
        temporary.write_text(tomli_w.dumps(recipe), "utf-8")


def check_sources(sources: Sequence[str]) -> None:
    """Raise UserError for an empty path, and for a recipe beside other sources, which would be read as text."""
    for source in sources:
        check_source_path(source)
        if len(sources) > 1 and _is_recipe(expand_user(source)):
            raise UserError(
                f"'{source}' is a recipe, which names its sources itself: add the others to it, each as a table [[source]], "
                "and prepare it alone"
            )


def _is_recipe(path: Path) -> bool:
    if path.suffix != ".toml" or not path.is_file():
        return False
    try:
        return bool({"source", "stage"} & read_toml(path).keys())
    except UserError:  # not TOML: text
        return False


def build_recipe(table: Mapping[str, Any]) -> Recipe:
    """Check and convert a recipe as TOML has it; for what is raised, see `read_recipe`."""
    values = dict(table)
    sources = [
        build_settings(SourceConfig, entry, _title("source", entry, number)) for number, entry in _tables(values, "source")
    ]
    stages = [_build_stage(entry, number) for number, entry in _tables(values, "stage")]
    for name in ("source", "stage"):
        values.pop(name, None)
    for name in ("tokenizer_type", "vocab_size", "digits"):
        if "tokenizer" in values and name in values:
            raise UserError(
                f"{name}={values[name]!r} is for a tokenizer to train, and tokenizer={values['tokenizer']!r} is there "
                "already: leave one of them out"
            )
    recipe = build_settings(Recipe, {**values, "source": tuple(sources), "stage": _with_names(stages)}, "")
    if recipe.tokenizer is not None:
        recipe = replace(recipe, tokenizer=expand_user(recipe.tokenizer))
    recipe.check()
    return recipe


def _tables(values: Mapping[str, Any], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    entries = values.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise UserError(f"{name}={entries!r} is not a list of tables: begin each with [[{name}]]")
    return enumerate(entries, 1)


def _title(kind: str, entry: Mapping[str, Any], number: int) -> str:
    name = entry.get("name", entry.get("kind"))
    return f"{kind} {name!r}: " if isinstance(name, str) else f"{kind} {number}: "


def build_settings(cls: Callable[..., T], table: Mapping[str, Any], title: str) -> T:
    """A dataclass from a table of a TOML file; nested dataclasses from its tables.

    Args:
        cls: the class.
        table: the values of its fields.
        title: what begins an error, such as "source 'web': ".

    Raises:
        UserError: a setting is unknown (the nearest is named) or missing, or a value does not fit.
    """
    types = field_types(cls)
    values = {}
    for name, value in table.items():
        if name not in types:
            raise UserError(f"{title}there is no setting {name!r}: {suggest(name, types)}")
        hint: Any = types[name]
        if is_group(hint) and isinstance(value, Mapping):
            values[name] = build_settings(hint, value, f"{title}{name}: ")
        else:
            values[name] = convert_value(hint, value, f"{title}{name}")
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]  # type: ignore[arg-type]
    for name in required:
        if name not in values:
            raise UserError(f"{title}{name} is missing: add {name} = ...")
    return cls(**values)


def _build_stage(entry: Mapping[str, Any], number: int) -> StageConfig:
    title = _title("stage", entry, number)
    if "kind" not in entry:
        raise UserError(f'{title}kind is missing: add kind = "normalize", or another')
    own = {name: entry[name] for name in ("kind", "name", "sources", "languages") if name in entry}
    settings = {name: value for name, value in entry.items() if name not in own}
    return build_settings(StageConfig, {"name": "", **own, "settings": settings}, title)


def _with_names(stages: Sequence[StageConfig]) -> tuple[StageConfig, ...]:
    """The stages; those without a name are named by their kind, and numbered from the second on."""
    named: list[StageConfig] = []
    for stage in stages:
        before = sum(other.kind == stage.kind for other in named)
        named.append(replace(stage, name=stage.name or (f"{stage.kind}-{before + 1}" if before else stage.kind)))
    return tuple(named)


def _check_distinct(names: Sequence[str], kind: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two {kind}s are named {name!r}: give each its own name")
