"""`lmcraft report`: regenerate the HTML report of a model and its model card, or of a dataset; verify a lineage."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from lmcraft.config import SEVERAL_VALUES, Config, command_config, takes_settings
from lmcraft.errors import RunError, UserError
from lmcraft.folder import DatasetFolder, ModelFolder
from lmcraft.json_lines import format_json
from lmcraft.terminal import print_result, progress_bar

if TYPE_CHECKING:
    from lmcraft.lineage.verification import Check, Verification

MAX_PRINTED = 20  # files that changed
FIGURE = "figure "  # how the name of a check of the card begins
MAX_NAMED = 3  # of them, in the error


@command_config
@dataclass(frozen=True)
class ReportConfig(Config):
    """Regenerate `lmcraft/report.html` of a model folder (curves, evaluations, energy, data, lineage) and its model card,
    README.md; or `report.html` of a dataset.

    With --verify, write nothing: hash every file of the folder, of its parents and of its data, and name those that changed.
    """

    model: Path
    """Model folder (trained, quantized or downloaded; adapter), or dataset folder (prepared from a recipe, or --verify)."""
    _: KW_ONLY
    verify: bool = False
    """Compare the hashes of all files, down the lineage to the data, with those that were recorded."""
    data: Annotated[tuple[Path, ...], SEVERAL_VALUES] = ()
    """With --verify: folders that are, or hold, the data of a model that was copied elsewhere."""
    parents: Annotated[tuple[Path, ...], SEVERAL_VALUES] = ()
    """With --verify: folders that are, or hold, the models that it was made from."""
    strict: bool = False
    """With --verify: fail also if a parent, a dataset or a source file is not here."""
    json: bool = False
    """With --verify: print every check as JSON."""


@takes_settings(ReportConfig)
def report(config: ReportConfig) -> Path | dict[str, Any]:
    """Write the report and print its path, or verify the folder.

    Returns:
        The page. With `verify`: `intact`, `lineage` (its hash), `counts` of checks by state, and `checks`.

    Raises:
        UserError: the folder holds no model, and no dataset that was prepared from a recipe; or it has no lineage to verify.
        RunError: a file is not what was recorded.
    """
    if config.verify:
        return _verify(config)
    for name in ("data", "parents", "strict", "json"):
        if value := getattr(config, name):
            raise UserError(f"{name}={value} is for verifying: add --verify, or leave it out")
    from lmcraft.reports.card import update_card
    from lmcraft.reports.page import write_report
    from lmcraft.reports.preparation import write_preparation

    dataset = DatasetFolder(config.model)
    if dataset.manifest_file.is_file():
        page = write_preparation(dataset)
    else:
        page = write_report(ModelFolder(config.model))
        update_card(config.model)
    print(page)
    return page


def _verify(config: ReportConfig) -> dict[str, Any]:
    from lmcraft.lineage.verification import verify

    with progress_bar("verifying") as show:
        verification = verify(config.model, named=(*config.data, *config.parents), fetch=_find_download, report=show)
    verification = replace(verification, checks=[*verification.checks, *_card_checks(config.model)])
    failures, absent = verification.failures, verification.absent
    result = {
        "intact": not failures,
        "lineage": verification.lineage.sha256,
        "counts": dict(verification.counts),
        "checks": [vars(check) for check in verification.checks],
    }
    if config.json:
        print(format_json(result, indent=2))
    else:
        print_result(*_lines(verification))
    if failures:
        names = list(dict.fromkeys(f"'{_on_one_line(check.path)}' ({check.state})" for check in failures))
        listed = "; ".join(names[:MAX_NAMED])
        more = f"; and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
        raise RunError(f"'{config.model}' is not what was recorded: {listed}{more}")
    if absent and config.strict:
        raise RunError(f"'{config.model}' cannot be verified to the end: '{absent[0].path}' is not here")
    return result


def _card_checks(folder: Path) -> "list[Check]":
    """The figures of a model card, compared with their evidence."""
    from lmcraft.lineage.verification import Check
    from lmcraft.reports.card.check import check_card

    return [
        Check(
            "card" if check.id == "card" else f"{FIGURE}{check.id} of the card",
            str(folder / check.file),
            check.state,
            check.expected,
            check.actual,
        )
        for check in check_card(folder)
    ]


def _find_download(address: str) -> Path | None:
    """The local copy of an address, if it was downloaded before."""
    from lmcraft.errors import LmcraftError
    from lmcraft.hub import fetch_model

    try:
        return fetch_model(address, offline=True).path
    except LmcraftError:
        return None


def _lines(verification: "Verification") -> Iterator[str]:
    from lmcraft.data.documents import count_noun

    intact = Counter[tuple[int, str]]()
    for check in verification.checks:
        intact[check.depth, check.name] += check.state == "intact"
    figures = Counter(check.state for check in verification.checks if check.name.startswith(FIGURE))
    for (depth, name), count in intact.items():
        if not name.startswith(FIGURE):
            yield f"{'  ' * depth}{name}: {count_noun(count, 'file is', 'files are')} intact"
    if figures:
        yield f"figures of the card: {figures['intact']:,} of {figures.total():,} are those of their evidence"
    for title, checks in (("not here", verification.absent), ("", verification.failures)):
        for check in checks[:MAX_PRINTED]:
            yield f"{title or check.state}: {_on_one_line(check.path)} ({check.name})"
        if len(checks) > MAX_PRINTED:
            yield f"... and {len(checks) - MAX_PRINTED:,} more: --json prints them"
    if not verification.failures:
        rest = ", as far as it is here" if verification.absent else ", down to the data"
        yield f"{verification.folder} is intact{rest}."
        if verification.lineage.sha256:
            yield f"lineage: {verification.lineage.sha256}"


def _on_one_line(path: str) -> str:
    """A path from a lineage, which may come from strangers, so that it cannot look like another line of the output."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in path)
