"""`lmcraft guard check` and `lmcraft guard init`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from lmcraft.commands.prepare import TextConfig
from lmcraft.config import Config, command_config, takes_settings
from lmcraft.errors import RunError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmcraft.data.documents import Document
    from lmcraft.moderation.decision import Decision

MAX_EXCERPT_CHARS = 60


@command_config
@dataclass(frozen=True)
class GuardCheckConfig(TextConfig):
    """Judge texts by a policy, and say why."""

    sources: tuple[str, ...] = ()
    """Text, .html, .jsonl, .json, .csv, .tsv, .parquet (also .gz and .zst), folders or patterns; "-": standard input."""

    _: KW_ONLY

    text: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Instead of sources: one text."""

    policy: str = "default"
    """A policy file, or lmcraft's own, "default"."""

    stage: Literal["training", "prompt", "answer"] = "answer"
    """The stage whose thresholds and actions apply."""

    by_line: bool = False
    """Judge each line of a text by itself."""

    complete: bool = False
    """Ask every tier, even if a cheap one refuses the text."""

    show_all: bool = False
    """Print the texts that pass, too."""

    fail: bool = False
    """Exit with status 1 if a text is refused."""

    out: Path | None = None
    """File to write the decision records to, one JSON object per line."""


@command_config
@dataclass(frozen=True)
class GuardInitConfig(Config):
    """Write lmcraft's policy to a file, to edit."""

    file: Path
    """File to write, such as policy.toml."""

    _: KW_ONLY

    overwrite: bool = False
    """Replace the file if there is one."""


@takes_settings(GuardCheckConfig)
def check_texts(config: GuardCheckConfig = GuardCheckConfig()) -> dict[str, int]:
    """Print the decision about each text that does not simply pass, then the counts.

    Returns:
        The number of texts by action.

    Raises:
        UserError: a source or the policy cannot be read, or --out cannot be written.
        RunError: a text is refused, and `fail` is set.
    """
    from lmcraft.data.documents import count_noun
    from lmcraft.moderation import Action, Moderator
    from lmcraft.terminal import key_value_table, print_result

    if (config.text is None) == (not config.sources):
        raise UserError("there is nothing to check, or too much: name files, or give one text with --text")
    moderator = Moderator.open(config.policy)
    actions, categories = Counter[Action](), Counter[str]()
    with _record_writer(config.out) as record:
        for document in _documents(config):
            decision = moderator.judge(document.text, config.stage, complete=config.complete or config.text is not None)
            actions[decision.action] += 1
            categories.update(decision.categories)
            record(document, decision)
            if config.show_all or decision.action > Action.ALLOW or config.text is not None:
                print_result(_describe(document, decision))
                if config.text is not None:
                    print_result(*(f"  {name} {score:.3f}" for name, score in decision.scores.items()))
    if config.text is None:
        rows = {str(action): f"{actions[action]:,}" for action in Action if actions[action]}
        rows |= {f"  {name}": f"{count:,}" for name, count in categories.most_common()}
        judged = count_noun(sum(actions.values()), "text", "texts")
        print_result(key_value_table(f"{judged}, policy {moderator.policy.identity}", rows))
    if config.fail and (refused := actions[Action.REFUSE]):
        raise RunError(f"the policy {moderator.policy.identity} refuses {refused:,} of {sum(actions.values()):,} texts")
    return {str(action): count for action, count in sorted(actions.items())}


@takes_settings(GuardInitConfig)
def init_policy(config: GuardInitConfig) -> Path:
    """Copy the default policy to a file.

    Raises:
        UserError: there is such a file.
    """
    from lmcraft.folder import write_text
    from lmcraft.moderation.policy import default_policy_file
    from lmcraft.terminal import line_printer

    if config.file.is_dir():
        raise UserError(f"'{config.file}' is a folder: name a file in it, such as {config.file / 'policy.toml'}")
    if config.file.exists() and not config.overwrite:
        raise UserError(f"'{config.file}' exists: choose another name, or replace it with --overwrite")
    if not config.file.parent.is_dir():
        raise UserError(f"the folder '{config.file.parent}' does not exist: create it first")
    write_text(config.file, default_policy_file().read_text(encoding="utf-8"))
    line_printer()(f"Wrote '{config.file}'. Edit it, then try it: lmcraft guard check FILE --policy {config.file}")
    return config.file


def _documents(config: GuardCheckConfig) -> Iterator[Document]:
    from lmcraft.data.document_progress import show_progress
    from lmcraft.data.documents import Document, ReadStats
    from lmcraft.data.sources import TextSources

    if config.text is not None:
        yield Document(config.text, "text", 1)
        return
    stats = ReadStats(remedy="fix the row, or name the field that holds its text with --text-field")
    sources = TextSources(config.sources, malformed="fail", **config.source_settings())  # nothing passes without judgment
    for document in show_progress(sources.read_nonempty(stats), stats, "checking"):
        yield from _lines(document) if config.by_line else (document,)


def _lines(document: Document) -> Iterator[Document]:
    from lmcraft.data.documents import Document

    for number, line in enumerate(document.text.split("\n"), start=document.line):
        if line.strip():
            yield Document(line, document.source, number)


def _describe(document: Document, decision: Decision) -> str:
    excerpt = " ".join(document.text[: MAX_EXCERPT_CHARS * 2].split())
    shown = excerpt[:MAX_EXCERPT_CHARS] + ("…" if len(excerpt) > MAX_EXCERPT_CHARS else "")
    return f"{document.source}:{document.line}: {decision.action}: {decision.reason}: {shown}"


@contextmanager
def _record_writer(out: Path | None) -> Iterator[Callable[[Document, Decision], None]]:
    """The function that writes a record. The file appears when it is complete."""
    from lmcraft.folder import atomic_write
    from lmcraft.json_lines import format_json_line

    if out is None:
        yield lambda document, decision: None
        return
    if out.is_dir():
        raise UserError(f"out='{out}' is a folder: name a file in it, such as {out / 'decisions.jsonl'}")
    with atomic_write(out) as temporary, temporary.open("w", encoding="utf-8") as file:

        def record(document: Document, decision: Decision) -> None:
            file.write(format_json_line({"file": document.source, "line": document.line, **decision.as_json()}))

        yield record
