"""`trn demo`: the pipeline on an embedded site, ending in a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the page.")] = Path("demo"),
) -> None:
    """Run the pipeline on an embedded synthetic site; ends with the path of a report.

    Example: trn demo --out demo
    """
    from trn.demo import run_demo

    result = run_demo(out, say=typer.echo)
    typer.echo(str(result))
