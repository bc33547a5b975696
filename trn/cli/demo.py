"""`trn demo`: a whole descent over an embedded region, ending in a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for dataset and run.")] = Path("demo"),
) -> None:
    """Fly and replay HAKUTO-R Mission 1 over a region made by code; ends with a report's path.

    Example: trn demo --out demo
    """
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from trn.demo import run_demo

    console = Console(stderr=True)
    with Progress(console=console, disable=not sys.stderr.isatty(), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(part: str, done: int, total: int) -> None:
            if part not in tasks:
                tasks[part] = bar.add_task(part, total=total)
            bar.update(tasks[part], completed=done)

        result = run_demo(out, typer.echo, show)
    typer.echo(str(result))
