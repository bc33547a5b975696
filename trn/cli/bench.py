"""`trn bench`: how long everything takes here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trn.cli.progress import progress_bars


def bench(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend", help="cpu or cuda, may be repeated; all usable ones if left out."
        ),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Timed runs of each thing.")] = 100,
    side_px: Annotated[
        int, typer.Option("--side", min=256, max=4096, help="Side of the frames, pixels.")
    ] = 1024,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write JSON to this file, .md beside it.")
    ] = None,
) -> None:
    """Time whole fixes, their stages and single operations on every usable backend.

    Example: trn bench --json > bench.json
    """
    from trn.bench.report import as_markdown
    from trn.bench.run import run_bench
    from trn.errors import InputError
    from trn.files import write_whole

    for name in backend or ():
        if name not in ("cpu", "cuda"):
            raise InputError(f"--backend: unknown backend {name!r}; use cpu or cuda")
    if out is not None and out.suffix == ".md":
        raise InputError(f"--out: {out} would be overwritten by the table; name a .json file")
    if out is not None and not out.resolve().parent.is_dir():
        raise InputError(f"--out: {out.parent} is no folder; make it first")
    with progress_bars() as show:
        results = run_bench(list(dict.fromkeys(backend or ())) or None, runs, side_px, show)
    document, text = json.dumps(results, indent=1), as_markdown(results)
    if out is not None:
        write_whole(out, document + "\n")
        write_whole(out.with_suffix(".md"), text + "\n")
    typer.echo(document if as_json else text)
