"""Progress bars on standard error: none when it is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[str, float, float], None]


@contextmanager
def progress_bars() -> Iterator[Show]:
    """A function that shows how far a part is: its name, how much is done, and all of it."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(
        console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def show(part: str, done: float, total: float) -> None:
            if part not in tasks:
                tasks[part] = bar.add_task(part, total=total)
            bar.update(tasks[part], completed=done)

        yield show
