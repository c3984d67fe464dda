"""`lmcraft review verify`: whether somebody edited a review store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from lmcraft.commands.review import opened_store
from lmcraft.config import SEVERAL_VALUES, Config, command_config, takes_settings
from lmcraft.errors import RunError, UserError
from lmcraft.json_lines import format_json
from lmcraft.terminal import print_result, progress_bar

if TYPE_CHECKING:
    from lmcraft.annotation.audit_log.chain import Verification

MAX_PROBLEMS_PRINTED = 20


@command_config
@dataclass(frozen=True)
class ReviewVerifyConfig(Config):
    """Verify that nobody edited a review store, or name the first row of its audit log that is not what was written."""

    store: str
    """The review store: a file, or postgresql://USER@HOST/NAME."""

    _: KW_ONLY

    expect: Annotated[tuple[str, ...] | None, SEVERAL_VALUES] = None
    """Anchors that rows must have: SEQ:HASH, files of such lines, or manifests of exports."""
    json: bool = False
    """Print JSON instead of text."""


@takes_settings(ReviewVerifyConfig)
def review_verify(config: ReviewVerifyConfig) -> dict[str, Any]:
    """Verify a store, and print the anchor of its last row.

    Returns:
        `intact`, `seq` and `hash` of the last row that follows from the first, `problems` with `seq` and `text`, and the
        number of rows that were `rewritten` when texts were erased.

    Raises:
        UserError: the store or an anchor cannot be read.
        RunError: the store is not what was written.
    """
    from lmcraft.annotation.audit_log.anchors import read_anchors
    from lmcraft.annotation.audit_log.verification import verify

    if config.expect == ():
        raise UserError("expect is empty: give SEQ:HASH, a file of such lines, or the manifest of an export")
    anchors = [anchor for expect in config.expect or () for anchor in read_anchors(expect)]
    with opened_store(config.store) as store, progress_bar("verifying") as report:
        verification, name = verify(store.engine, anchors, report), store.name
    problems = verification.problems
    result = {
        "intact": not problems,
        **verification.head._asdict(),
        "problems": [problem._asdict() for problem in problems],
        "rewritten": verification.num_rewritten,
    }
    if config.json:
        print(format_json(result, indent=2))
    else:
        print_result(*_verification_lines(verification, name, len(anchors)))
    if problems:
        raise RunError(f"'{name}' is not what was written: {problems[0].text}")
    return result


def _verification_lines(verification: Verification, name: str, num_anchors: int) -> Iterator[str]:
    from lmcraft.data.documents import count_noun

    head, problems = verification.head, verification.problems
    if not problems:
        anchors = f" {count_noun(num_anchors, 'anchor fits', 'anchors fit')}." if num_anchors else ""
        rows = count_noun(head.seq, "row", "rows")
        yield f"{name} is intact: its audit log is one chain of {rows}, and its tables are what the log says.{anchors}"
        if verification.num_rewritten:
            rewritten = count_noun(verification.num_rewritten, "row", "rows")
            yield f"Texts were erased from {rewritten}, whose hashes do not cover what is left of their payloads."
        yield f"The log ends with {head}"
        yield "Keep that somewhere else; --expect compares it with the log later."
        return
    yield from (problem.text for problem in problems[:MAX_PROBLEMS_PRINTED])
    if len(problems) > MAX_PROBLEMS_PRINTED:
        yield f"... and {len(problems) - MAX_PROBLEMS_PRINTED:,} more: --json prints them"
