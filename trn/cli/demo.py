"""`trn demo`: a whole descent over an embedded region, ending in a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trn.cli.progress import progress_bars


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for dataset and run.")] = Path("demo"),
) -> None:
    """Fly and replay HAKUTO-R Mission 1 over a region made by code; ends with a report's path.

    Example: trn demo --out demo
    """
    from trn.demo import run_demo

    with progress_bars() as show:
        result = run_demo(out, typer.echo, show)
    typer.echo(str(result))
