"""A progress bar over documents as they are read."""

from collections.abc import Iterable, Iterator

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from lmcraft.data.documents import Document, ReadStats
from lmcraft.terminal import shows_bars, stderr_console


def show_progress(documents: Iterable[Document], stats: ReadStats, description: str) -> Iterator[Document]:
    """Pass documents through, with a bar of rate and remaining time if `shows_bars`.

    Args:
        documents: the documents.
        stats: filled in while they are read; gives the position.
        description: label of the bar.
    """
    console = stderr_console()
    if not shows_bars(console):
        yield from documents
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(description, total=None, rate="")
        characters = 0
        for document in documents:
            yield document
            characters += len(document.text)
            rate = f"{characters / (progress.tasks[0].elapsed or 1e-9) / 1e6:.1f}M characters/s"
            progress.update(task, completed=stats.position, total=stats.total, rate=rate)
