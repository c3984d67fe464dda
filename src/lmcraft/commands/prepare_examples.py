"""Folders of examples that `lmcraft prepare` writes: conversations of a server, and verdicts of reviewers."""

from contextlib import closing
from pathlib import Path

from lmcraft.folder import DatasetFolder, replace_output
from lmcraft.folder.output import DATASET
from lmcraft.lineage.record import write_dataset_lineage


def export_store(address: str, out: Path, *, overwrite: bool) -> None:
    """Write the rated conversations of a server's store.

    Args:
        address: of the store.
        out: folder to write.
        overwrite: replace it if it is a folder of a dataset.

    Raises:
        UserError: the store cannot be read, or the folder exists.
    """
    from lmcraft.extras import import_optional

    import_optional("sqlalchemy", "serve", "from_store")
    from lmcraft.server.conversations.exporter import export_examples
    from lmcraft.server.conversations.store import Store

    with (
        closing(Store.open(address, create=False)) as store,
        replace_output(out, DATASET, overwrite=overwrite, sources=[("store", address)]) as folder,
    ):
        export_examples(store, folder)
        write_dataset_lineage(folder)


def export_review(address: str, out: Path, guideline: str, *, overwrite: bool) -> None:
    """Write the verdicts of a review store, and note the export in its audit log.

    Args:
        address: of the store.
        out: folder to write.
        guideline: only the verdicts under this one; empty: all.
        overwrite: replace the folder if it is that of a dataset.

    Raises:
        UserError: the store cannot be read, or the folder exists.
    """
    from lmcraft.commands.review import ActorConfig
    from lmcraft.extras import import_optional

    import_optional("sqlalchemy", "review", "from_review")
    from lmcraft.annotation.export import export_verdicts, record_export
    from lmcraft.annotation.store import ReviewStore

    with closing(ReviewStore.open(address, create=False)) as store:
        with replace_output(out, DATASET, overwrite=overwrite, sources=[("store", address)]) as folder:
            folder.mkdir()
            export = export_verdicts(store, folder, guideline)
            write_dataset_lineage(folder)
        # after a crash before this line, the same command writes and records the same again
        record_export(store, export, out, ActorConfig().name())


def print_examples(dataset: DatasetFolder) -> None:
    """What a folder of examples holds, and the next commands."""
    manifest = dataset.manifest()
    for name, file in manifest["files"].items():
        print(f"{dataset.path / name}: {file['rows']:,} {file['kind']}")
    for reason, rows in manifest["left_out"].items():
        print(f"  skipped: {rows:,} ({reason})")
    tasks = [name for name, file in manifest["files"].items() if file["kind"] == "task"]
    if (first := next(iter(manifest["files"]))) not in tasks:
        print(f"next: lmcraft finetune MODEL {dataset.path / first}")
    for name in tasks:
        print(f"then: lmcraft evaluate MODEL --tasks {dataset.path / name} --require {Path(name).stem}=1")
