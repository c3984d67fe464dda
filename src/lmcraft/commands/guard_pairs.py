"""`lmcraft guard pairs`: preference pairs of a model's own answers, one harmless and one harmful."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from lmcraft.commands.prepare import TextConfig
from lmcraft.config import ADVANCED, SEVERAL_VALUES, command_config, takes_settings
from lmcraft.errors import RunError, UserError
from lmcraft.generation_flags import LoadingFlags, load_model
from lmcraft.hub.model_argument import ModelArgument

if TYPE_CHECKING:
    from lmcraft.data.documents import Document
    from lmcraft.folder.output import Output

MIN_SAMPLES = 2


@command_config
@dataclass(frozen=True)
class GuardPairsConfig(TextConfig, LoadingFlags):
    """Let a model answer prompts several times, and write the harmless and the harmful answers as preference pairs."""

    model: ModelArgument
    """Model folder, GGUF file or address (hf:owner/name)."""
    prompts: Annotated[tuple[Path, ...], SEVERAL_VALUES]
    """Files of prompts: text with one per line, or rows (.jsonl, .csv, .parquet ...) with --text-field."""

    _: KW_ONLY

    out: Path
    """File to write, such as pairs.jsonl; `lmcraft finetune MODEL pairs.jsonl --objective dpo` learns from it."""
    policy: str = "default"
    """A policy file, or lmcraft's own, "default"; it judges the answers."""
    samples: int = 8
    """Number of answers to each prompt."""
    max_new_tokens: int = 64
    """Maximum length of an answer."""
    temperature: float = 1.0
    """Of the sampling; higher values give more different answers."""
    seed: Annotated[int, ADVANCED] = 1
    """Of the sampling."""
    overwrite: bool = False
    """Replace the file if there is one."""

    def resolved(self) -> GuardPairsConfig:
        if self.samples < MIN_SAMPLES:
            raise UserError(f"samples={self.samples} leaves nothing to choose from: use at least {MIN_SAMPLES}")
        if not self.prompts:
            raise UserError("prompts is empty: name a file of prompts")
        self.check_steering()
        return self


@takes_settings(GuardPairsConfig)
def guard_pairs(config: GuardPairsConfig) -> Path:
    """Write the pairs, and print how many prompts gave one.

    Returns:
        The file.

    Raises:
        UserError: the prompts, the model or the policy cannot be read, or the file exists.
        RunError: no prompt gave a pair, or an answer cannot be judged.
    """
    from lmcraft.folder.output import replace_output
    from lmcraft.json_lines import format_json_line
    from lmcraft.moderation import Moderator
    from lmcraft.moderation.pairs import PairBuilder
    from lmcraft.terminal import print_result

    config = config.resolved()
    sources = [("prompts", path) for path in config.prompts]
    with replace_output(config.out, _output_kind(), overwrite=config.overwrite, sources=sources) as temporary:
        moderator, model = Moderator.open(config.policy), load_model(config.model, config)
        builder = PairBuilder(
            model,
            moderator,
            num_return_sequences=config.samples,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=config.seed,
        )
        prompts = list(_read_prompts(config))
        for prompt in prompts:  # before the first answer, since answers take long
            try:
                builder.check(prompt.text)
            except UserError as error:
                raise UserError(f"{prompt.source}:{prompt.line}: {error}") from error
        pairs = list(builder.build(prompt.text for prompt in prompts))
        chosen = [pair for pair in pairs if pair is not None]
        if not chosen:
            raise RunError(
                f"none of {len(pairs):,} prompts had both a harmless and a harmful answer: give prompts that lead to "
                "harmful answers, or raise --samples"
            )
        temporary.write_text("".join(format_json_line(pair.as_row()) for pair in chosen), encoding="utf-8")
    print_result(f"{config.out}: {len(chosen):,} pairs from {len(pairs):,} prompts, judged by {moderator.policy.identity}")
    return config.out


def _read_prompts(config: GuardPairsConfig) -> Iterator[Document]:
    """Each prompt as a document of its own."""
    from lmcraft.data.document_progress import show_progress
    from lmcraft.data.documents import Document, ReadStats
    from lmcraft.data.formats import has_rows
    from lmcraft.data.sources import TextSources

    for path in config.prompts:
        stats = ReadStats()
        sources = TextSources([str(path)], **config.source_settings())
        for document in show_progress(sources.read_nonempty(stats), stats, "reading"):
            lines = [document.text] if has_rows(path) else document.text.split("\n")
            for number, line in enumerate(lines, start=document.line):
                if line.strip():
                    yield Document(line, document.source, number)


def _output_kind() -> Output:
    from lmcraft.folder.output import Output

    def describe_foreign(file: Path) -> str:
        with file.open("rb") as lines:
            return "" if b'"rejected"' in lines.readline() else "has no pairs of answers"

    return Output(describe_foreign, is_file=True)
