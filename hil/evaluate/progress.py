"""The bar that a long evaluation shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress(console: Console, what: str, of: int | None = None) -> Iterator[Callable[..., None]]:
    """Give a function to be told of what is done; where `of` is not known yet, it is told that too."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=of)
        yield lambda done, total=of: bar.update(task, completed=done, total=total)
