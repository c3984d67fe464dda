"""A progress bar over documents as they are read."""

import sys
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from lmcraft.data.documents import Document, ReadStats


def show_progress(documents: Iterable[Document], stats: ReadStats, description: str) -> Iterator[Document]:
    """Pass documents through, showing rate and remaining time if stderr is a terminal.

    Args:
        documents: the documents.
        stats: filled in while they are read; gives the position.
        description: label of the bar.
    """
    if not sys.stderr.isatty():
        yield from documents
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=None, rate="")
        characters = 0
        for document in documents:
            yield document
            characters += len(document.text)
            rate = f"{characters / (progress.tasks[0].elapsed or 1e-9) / 1e6:.1f}M characters/s"
            progress.update(task, completed=stats.position, total=stats.total, rate=rate)
