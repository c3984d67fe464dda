"""Opens a file or folder of items for the queue, recognizes what it is, and counts the rows that cannot be used."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lmcraft.annotation.records import NewItem, Source
from lmcraft.annotation.sources.audits import AUDIT_RECORD, audit_items
from lmcraft.annotation.sources.rows import ItemFormat, item_of_row
from lmcraft.data.documents import ReadStats
from lmcraft.data.formats import has_rows
from lmcraft.data.sources import read_documents, read_table
from lmcraft.errors import UserError
from lmcraft.folder.names import SET_ASIDE

MAX_DOCUMENT_CHARS = 200_000  # a longer text is cut, since nobody reads it in one sitting


def read_items(path: Path, form: ItemFormat, stats: ReadStats, encoding: str | None = None) -> Iterator[NewItem]:
    """Yield the items of a file or folder.

    - a table (.jsonl, .json, .csv, .tsv, .parquet, perhaps compressed): an item for each row, as `rows.py` lists
    - the folder of a safety audit: the answers that people should see
    - a dataset folder: the documents that its preparation set aside for review
    - any other file: a document

    Args:
        path: the file or folder.
        form: how rows become items.
        stats: counts the rows that cannot be used, with file and line.
        encoding: of the file; None: detected.

    Raises:
        UserError: there is no such file, it has nothing to review, or a row cannot be used and `stats` is to fail then.
    """
    if path.is_dir():
        yield from _read_folder(path, form, stats)
    elif path.exists() and not has_rows(path) and not _is_pipe(path):
        yield from _read_document(path, form, stats, encoding)
    else:
        yield from _read_rows(path, form, stats, encoding)


def _is_pipe(path: Path) -> bool:
    return not path.is_file()


def _read_folder(path: Path, form: ItemFormat, stats: ReadStats) -> Iterator[NewItem]:
    if (path / AUDIT_RECORD).is_file():
        yield from audit_items(path, form.guideline, stats)
    elif (path / SET_ASIDE).is_file():
        source: Source = "filter" if form.source == "file" else form.source
        yield from _read_rows(path / SET_ASIDE, replace(form, source=source), stats, None)
    else:
        raise UserError(
            f"folder '{path}' has nothing to review: name a file, the folder of `lmcraft audit safety`, or a dataset whose "
            "recipe sets documents aside for review"
        )


def _read_rows(path: Path, form: ItemFormat, stats: ReadStats, encoding: str | None) -> Iterator[NewItem]:
    for line, row in read_table(path, stats, encoding):
        try:
            item = item_of_row(row, form, str(path), line)
        except UserError as error:
            stats.malformed(str(path), line, str(error))
        except RecursionError:
            stats.malformed(str(path), line, "it is nested too deeply: flatten it")
        else:
            yield item


def _read_document(path: Path, form: ItemFormat, stats: ReadStats, encoding: str | None) -> Iterator[NewItem]:
    documents = read_documents([str(path)], stats=stats, document_chars=MAX_DOCUMENT_CHARS, encoding=encoding)
    for document in documents:
        try:
            item = item_of_row({form.text_field: document.text}, form, document.source, document.line)
        except UserError as error:
            stats.malformed(document.source, document.line, str(error))
        else:
            yield item
