"""`lmcraft review sample`: a random sample of a pool, as a guideline's plan asks for it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Literal

from lmcraft.commands.review import ActorConfig, opened_store, stored_guideline
from lmcraft.config import DATA, SEVERAL_VALUES, command_config, takes_settings
from lmcraft.errors import UserError
from lmcraft.setting_values import expand_user


@command_config
@dataclass(frozen=True)
class ReviewSampleConfig(ActorConfig):
    """Draw a random sample from files, as the plan of a guideline asks for it, and add it to the queue.

    Each group of the pool has a share of the sample in proportion to its size. The same pool and seed give the same sample.
    `lmcraft review status` shows whether its verdicts reach the bar.
    """

    store: str
    """The review store: a file, such as reviews.sqlite, which is created, or postgresql://USER@HOST/NAME."""
    files: Annotated[tuple[str, ...], SEVERAL_VALUES]
    """The pool: files and folders as for `lmcraft review add`."""

    _: KW_ONLY

    guideline: str = "gbt45654"
    """The guideline with the plan: its name in the store, a template's name, or a Markdown file."""
    stratum: str
    """What to draw: the name of a [[sampling]] table in the guideline."""
    sample: str = ""
    """Name of the sample, such as 2026-11, if several are drawn for a stratum."""
    seed: int = 1
    """Seed of the random numbers."""
    text_field: Annotated[str, DATA] = "text"
    """Field that holds the text of a row; a.b is the field b of a."""
    group_field: Annotated[str, DATA] = ""
    """Field that holds the group of a row. [default: the one that the plan names]"""
    encoding: Annotated[str | None, DATA] = None
    """Encoding of the files, such as gb18030. [default: UTF-8, else detected for each file]"""
    malformed: Annotated[Literal["skip", "fail"], DATA] = "skip"
    """What to do with unusable rows: skip and count them, or fail."""


@takes_settings(ReviewSampleConfig)
def review_sample(config: ReviewSampleConfig) -> dict[str, int]:
    """Draw the sample, unless it was drawn before, and print how large it is.

    Returns:
        The numbers of items in the `pool`, of those that were `drawn`, and of those that are `new` in the queue.

    Raises:
        UserError: a file, the guideline or the store cannot be used, the pool is too small, or there is another sample of
            that name.
    """
    from lmcraft.annotation.guidelines.samples import add_sample
    from lmcraft.annotation.guidelines.sampling import find_stratum
    from lmcraft.annotation.queue.importing import check_items
    from lmcraft.annotation.sources.items import read_items
    from lmcraft.annotation.sources.rows import ItemFormat
    from lmcraft.data.documents import ReadStats, describe_losses
    from lmcraft.terminal import print_result

    if not config.files:
        raise UserError("files is empty: name the files of the pool")
    files = [expand_user(file) for file in config.files]
    for file in files:
        if not file.exists():
            raise UserError(f"'{file}' does not exist: check the path")
    stats = ReadStats(malformed_action=config.malformed)
    with opened_store(config.store, create=True) as store:
        guideline = stored_guideline(store, config.guideline, config.name())
        stratum = find_stratum(guideline, config.stratum)
        group_field = config.group_field or stratum.by
        form = ItemFormat(guideline, "file", stratum.subject, config.text_field, group_field)
        read = (item for file in files for item in read_items(file, form, stats, encoding=config.encoding))
        pool = (item for item, _ in check_items(read, guideline, stats))
        try:
            added = add_sample(
                store, guideline.name, config.stratum, pool, seed=config.seed, actor=config.name(), name=config.sample
            )
        except UserError as error:
            raise UserError(f"{error}{stats.describe_malformed()}") from error
    total, groups = sum(added.pool.values()), len(added.pool)
    if added.is_repeated:
        print_result(f"this sample of {added.drawn:,} items was drawn before; nothing changed")
    else:
        spread = f" in {groups:,} groups" if groups > 1 else ""
        queue = f"{added.new:,} of them are new in the queue of {guideline.name}"
        print_result(f"drew {added.drawn:,} of {total:,} items{spread}; {queue}")
    for line in describe_losses(stats.as_manifest()):
        print_result(line)
    return {"pool": total, "drawn": added.drawn, "new": added.new}
