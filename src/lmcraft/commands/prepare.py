"""`lmcraft prepare`: turn text into a dataset folder of token shards, or stored conversations into examples."""

from dataclasses import KW_ONLY, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from lmcraft.commands.prepare_examples import export_review, export_store, print_examples
from lmcraft.commands.prepare_summary import (
    print_energy,
    print_losses,
    print_set_aside,
    print_splits,
    print_stage_examples,
    print_stages,
    print_summary,
)
from lmcraft.commands.review import check_store
from lmcraft.config import DATA, RECIPE, Config, as_dict, command_config, takes_settings
from lmcraft.energy.meter import open_meter
from lmcraft.energy.record import ENERGY_FILE, EnergyRecord, EnergyRow
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, replace_output
from lmcraft.folder.names import SOURCE_FILES
from lmcraft.folder.output import DATASET
from lmcraft.json_lines import write_packed_lines
from lmcraft.lineage.record import write_dataset_lineage
from lmcraft.setting_values import expand_user

if TYPE_CHECKING:
    from lmcraft.data import TextSources
    from lmcraft.energy.reading import Reading
    from lmcraft.preparation import Recipe
    from lmcraft.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TextConfig(Config):
    """How a command reads text."""

    text_field: Annotated[str, DATA] = "text"
    """Field that holds the text in rows of .jsonl, .json, .csv, .tsv, .parquet and datasets; a.b is the field b of a."""

    encoding: Annotated[str | None, DATA] = None
    """Encoding of the files, such as gb18030, big5 or cp1252. [default: UTF-8, else detected for each file]"""

    include: Annotated[tuple[str, ...], DATA] = ()
    """Patterns of files to read in folders, such as "*.py". [default: all text files]"""

    exclude: Annotated[tuple[str, ...], DATA] = ()
    """Patterns of files to skip in folders."""

    def source_settings(self) -> dict[str, Any]:
        """These settings, as arguments of `TextSources`."""
        return {field.name: getattr(self, field.name) for field in fields(TextConfig)}


RECIPE_FLAGS = ("write_recipe", "dry_run", "sample_bytes", "backend", "workers", "work", "fresh", "step", "units", "reviews")


@command_config
@dataclass(frozen=True)
class PrepareConfig(TextConfig):
    """Tokenize text into a dataset folder, run a recipe, or export stored conversations as examples."""

    sources: tuple[str, ...] = ()
    """Text, code, .html, .jsonl, .json, .csv, .tsv, .parquet (also .gz and .zst), folders, patterns, or hf:owner/name; or
    one recipe.toml."""

    _: KW_ONLY

    out: Path
    """Dataset folder to write."""

    from_store: str | None = None
    """Instead of sources: export the conversations of `lmcraft serve` (chats.sqlite or postgresql://...) for finetune."""

    from_review: str | None = None
    """Instead of sources: export reviewers' verdicts (reviews.sqlite or postgresql://...) for finetune and evaluate."""

    guideline: str | None = None
    """With --from-review: only the verdicts under this guideline."""

    tokenizer: Path | None = None
    """Folder of a tokenizer or a model. [default: train a tokenizer on the text]"""

    tokenizer_type: Literal["bpe", "characters"] = "bpe"
    """Type of tokenizer to train: byte-level BPE, or one token per character."""

    vocab_size: int = 8192
    """Vocabulary size of the tokenizer to train (BPE)."""

    digits: int = 1
    """Maximum number of digits per token (BPE); 0: no limit."""

    fim: bool = False
    """Give the tokenizer the tokens of fill-in-the-middle, for `lmcraft pretrain --fim-rate`."""

    validation: float = 0.05
    """Share of the tokens held out for validation."""

    split: Literal["hash", "tail"] | None = None
    """Validation text: documents chosen by hash, or the end of the text. [default: tail for one text file, else hash]"""

    document_chars: int = 1_000_000
    """Maximum length of a document in characters; longer texts are split."""

    malformed: Literal["skip", "fail"] = "skip"
    """What to do with unusable rows: skip and count them, or fail."""

    overwrite: bool = False
    """Replace --out if it is a dataset folder."""

    write_recipe: Annotated[Path | None, RECIPE] = None
    """Write a recipe with the usual stages for these sources into this file, to edit, and stop."""

    dry_run: Annotated[bool, RECIPE] = False
    """Run the recipe on a sample: what each stage removes, and time and disk for the whole."""

    sample_bytes: Annotated[int, RECIPE] = 64 << 20
    """Size of the sample of --dry-run."""

    backend: Annotated[Literal["processes", "ray", "slurm"] | None, RECIPE] = None
    """Processes on this machine, tasks on a Ray cluster, or a job script for Slurm. [default: the recipe's]"""

    workers: Annotated[int | None, RECIPE] = None
    """Number of workers; 0: one per core. [default: the recipe's]"""

    work: Annotated[Path | None, RECIPE] = None
    """Folder in which a hidden work folder is made. [default: the recipe's, or that of --out]"""

    fresh: Annotated[bool, RECIPE] = False
    """Forget unfinished work instead of going on with it."""

    step: Annotated[str | None, RECIPE] = None
    """Run only some units of this step, as a job script does."""

    units: Annotated[str | None, RECIPE] = None
    """Which units of the step: I::N is every N-th from the I-th on."""

    reviews: Annotated[str | None, RECIPE] = None
    """Review store that gets the documents set aside for review: a file, such as reviews.sqlite, or postgresql://..."""

    def resolved(self) -> "PrepareConfig":
        inputs = {"sources": ", ".join(self.sources), "from_store": self.from_store, "from_review": self.from_review}
        used = [f"{name} ({value})" for name, value in inputs.items() if value]
        if len(used) > 1:
            raise UserError(f"{' and '.join(used)} cannot be combined: give one of them")
        if not used:
            raise UserError("sources is empty: give files or folders, `--from-store STORE` or `--from-review STORE`")
        if self.guideline is not None and self.from_review is None:
            raise UserError(f"guideline='{self.guideline}' is for verdicts of reviewers: add `--from-review STORE`")
        from lmcraft.preparation.recipe import check_sources

        check_sources(self.sources)
        self._check_recipe_flags()
        if self.split is not None or self.is_export or self.is_recipe:
            return self
        from lmcraft.data.formats import has_rows
        from lmcraft.data.pipes import find_contents

        # The end of a single text is unseen; choosing by hash would need it split into many documents first.
        only = expand_user(self.sources[0]) if len(self.sources) == 1 else None
        if only and only.exists():
            only = find_contents(only, "source")
        return replace(self, split="tail" if only and only.is_file() and not has_rows(only) else "hash")

    @property
    def is_export(self) -> bool:
        """Whether examples are exported from a database, instead of tokens made of texts."""
        return self.from_store is not None or self.from_review is not None

    @property
    def is_recipe(self) -> bool:
        """Whether the source is a recipe, which has the settings of its sources itself."""
        return len(self.sources) == 1 and Path(self.sources[0]).suffix == ".toml"

    def _check_recipe_flags(self) -> None:
        """Raise UserError for flags of recipes without one, and for others beside one."""
        beside = ("sources", "out", "overwrite", *RECIPE_FLAGS)
        for f in fields(self):
            value = getattr(self, f.name)
            if value == f.default or f.name in ("sources", "out", "overwrite"):
                continue
            if self.is_recipe and f.name not in beside:
                raise UserError(f"{f.name}={value!r} is set in the recipe: change it in {self.sources[0]}")
            if not self.is_recipe and f.name in RECIPE_FLAGS and f.name != "write_recipe":
                raise UserError(
                    f"--{f.name.replace('_', '-')} is for recipes: write one for these sources with "
                    "--write-recipe recipe.toml, and prepare that"
                )
        if self.write_recipe is not None and (self.is_recipe or self.is_export):
            raise UserError(f"write_recipe='{self.write_recipe}' is for sources: name the files and folders that it reads")
        if self.reviews is not None and self.dry_run:
            raise UserError(f"reviews='{self.reviews}' is for the whole, not for a sample: leave out --dry-run")
        if (self.step is None) != (self.units is None):
            raise UserError("step and units belong together: give both, or neither")


@takes_settings(PrepareConfig)
def prepare(config: PrepareConfig) -> DatasetFolder:
    """Turn text into token shards for training, or stored conversations or verdicts into examples for fine-tuning.

    Returns:
        The folder written. A folder of examples has files for `lmcraft finetune` instead of tokens.

    Raises:
        UserError: a source cannot be read, the folder already exists, or a split would be empty.
    """
    config = config.resolved()
    if config.is_recipe:
        return _prepare_recipe(config)
    if config.write_recipe is not None:
        return _write_recipe(config)
    if config.from_store is not None:
        export_store(config.from_store, config.out, overwrite=config.overwrite)
    elif config.from_review is not None:
        export_review(config.from_review, config.out, config.guideline or "", overwrite=config.overwrite)
    else:
        sources = [("source", source) for source in config.sources]
        begin = open_meter().read()
        with replace_output(config.out, DATASET, overwrite=config.overwrite, sources=sources) as folder:
            _tokenize_text(config, folder)
            _write_energy(folder, begin)
    dataset = DatasetFolder(config.out)
    (print_examples if config.is_export else print_summary)(dataset)
    return dataset


def _write_energy(folder: Path, begin: "Reading") -> None:
    """Write what a dataset has drawn since a reading."""
    from lmcraft.preparation.energy import KIND, count_tokens

    row = EnergyRow.of(KIND, open_meter().energy(begin), tokens=count_tokens(folder))
    EnergyRecord([row]).write(folder / ENERGY_FILE)


def _prepare_recipe(config: PrepareConfig) -> DatasetFolder:
    from lmcraft.preparation import read_recipe

    recipe = read_recipe(expand_user(config.sources[0]))
    changes = {name: getattr(config, name) for name in ("backend", "workers", "work") if getattr(config, name) is not None}
    recipe = replace(recipe, executor=replace(recipe.executor, **changes))
    recipe.check()
    if config.reviews is not None:
        check_store(config.reviews)
    if config.dry_run:
        return _dry_run(recipe, config)
    if config.step is not None and config.units is not None:
        from lmcraft.preparation.run import run_element

        run_element(recipe, config.out, config.step, config.units)
        return DatasetFolder(config.out)
    if recipe.executor.backend == "slurm":
        return _write_job_script(recipe, config)
    from lmcraft.preparation import prepare_recipe
    from lmcraft.reports.preparation import write_preparation

    dataset = prepare_recipe(recipe, config.out, overwrite=config.overwrite, fresh=config.fresh, describe=write_preparation)
    print_stages(dataset)
    print_splits(dataset)
    print_losses(dataset)
    print_set_aside(dataset, config.reviews)
    print_energy(dataset)
    print(f"what each stage did, with examples: {dataset.path / 'report.html'}")
    return dataset


def _write_job_script(recipe: "Recipe", config: PrepareConfig) -> DatasetFolder:
    """Write the script that submits the work to Slurm; the dataset folder is not written yet."""
    import shlex
    import sys

    from lmcraft.preparation.execution.slurm import write_job_script
    from lmcraft.preparation.pipeline import compile_steps
    from lmcraft.preparation.run import work_folder

    work_folder(recipe, config.out)  # refused here, before any job is
    script = config.out.with_name(f"{config.out.name}.slurm.sh")
    command = [sys.executable, "-m", "lmcraft", "prepare", config.sources[0], "--out", str(config.out)]
    command += ["--backend", "processes", "--workers", "0", *(["--overwrite"] if config.overwrite else [])]
    command += [] if config.work is None else ["--work", str(config.work)]
    command += [] if config.reviews is None else ["--reviews", config.reviews]
    steps = [step.name for step in compile_steps(recipe, []).steps]
    write_job_script(script, command, steps, elements=recipe.executor.workers)
    print(f"the jobs are not submitted: where Slurm is, with this folder, run {shlex.join(['bash', str(script)])}")
    return DatasetFolder(config.out)


def _dry_run(recipe: "Recipe", config: PrepareConfig) -> DatasetFolder:
    """Prepare a sample in a temporary folder beside the output; only the page stays."""
    from tempfile import TemporaryDirectory

    from lmcraft.preparation.dry_run import dry_run
    from lmcraft.reports.preparation import write_preparation
    from lmcraft.terminal import format_bytes, format_duration

    if config.sample_bytes < 1:
        raise UserError(f"sample_bytes={config.sample_bytes} is too small: use a size in bytes, such as 64000000")
    page = config.out.with_name(f"{config.out.name}.dry-run.html")
    page.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{config.out.name}.dry-run-", dir=page.parent) as work:
        sample = DatasetFolder(Path(work) / "dataset")
        forecast = dry_run(recipe, Path(work) / "work", sample.path, sample_bytes=config.sample_bytes)
        write_preparation(sample, page, forecast)
        share = forecast.sample_bytes / max(forecast.total_bytes, 1)
        print(f"a sample of {format_bytes(forecast.sample_bytes)}, {share:.1%} of {format_bytes(forecast.total_bytes)}:")
        print_stages(sample)
        print_stage_examples(sample)
    time, disk = format_duration(forecast.seconds), format_bytes(forecast.disk_bytes)
    print(f"the whole takes about {time} with {forecast.workers} workers, and {disk} of disk while it runs")
    print("a sample shows fewer near-duplicates than the whole: pairs grow with the square of the size")
    print(f"the same as a page: {page}")
    return DatasetFolder(config.out)


def _write_recipe(config: PrepareConfig) -> DatasetFolder:
    """Write a recipe with the usual stages; the dataset folder is not written yet."""
    from lmcraft.preparation.recipe import write_recipe

    assert config.write_recipe is not None
    write_recipe(config.write_recipe, config.sources, **config.source_settings())
    print(f"next: edit {config.write_recipe}, and run lmcraft prepare {config.write_recipe} --out {config.out}")
    return DatasetFolder(config.out)


def _tokenize_text(config: PrepareConfig, folder: Path) -> None:
    from lmcraft.data import TextSources, write_dataset

    assert config.split is not None
    sources = TextSources.open(
        config.sources, malformed=config.malformed, document_chars=config.document_chars, **config.source_settings()
    )
    tokenizer = _load_or_train_tokenizer(config, sources)
    notes = {**sources.notes, "settings": _text_settings(config)}
    write_dataset(folder, sources.read_nonempty, tokenizer, validation=config.validation, split=config.split, notes=notes)
    write_packed_lines(folder / SOURCE_FILES, sources.file_rows())
    write_dataset_lineage(folder)


def _text_settings(config: PrepareConfig) -> dict[str, Any]:
    return {name: value for name, value in as_dict(config).items() if name not in RECIPE_FLAGS}


def _load_or_train_tokenizer(config: PrepareConfig, sources: "TextSources") -> "Tokenizer":
    from lmcraft.data import ReadStats, show_progress
    from lmcraft.tokenizer import Tokenizer, train_bpe, train_characters
    from lmcraft.tokenizer.fill_in_middle import FILL_IN_MIDDLE_TOKENS, with_fill_in_middle
    from lmcraft.tokenizer.train import END_OF_TEXT

    if config.tokenizer is not None:
        tokenizer = Tokenizer.load(config.tokenizer)
        return with_fill_in_middle(tokenizer) if config.fim else tokenizer
    fim_tokens = (END_OF_TEXT, *FILL_IN_MIDDLE_TOKENS)
    stats = ReadStats()
    texts = (document.text for document in show_progress(sources.read_nonempty(stats), stats, "training a tokenizer"))
    if config.tokenizer_type == "characters":
        return train_characters(texts, special_tokens=fim_tokens if config.fim else ())
    special_tokens = fim_tokens if config.fim else (END_OF_TEXT,)
    return train_bpe(texts, vocab_size=config.vocab_size, digits=config.digits, special_tokens=special_tokens)
