"""`trn replay`: the whole loop over a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trn.cli.progress import progress_bars


def replay(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder, as trn simulate writes it.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    map_path: Annotated[
        Path | None,
        typer.Option("--map", help="NAME.map; without it the one inside a dataset made by code."),
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="auto, cpu, cuda, fpga-model or fpga-sim.")
    ] = "auto",
    fix_latency_s: Annotated[
        float,
        typer.Option("--fix-latency", help="Seconds from a frame's exposure to its fix, up to 10."),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json.")] = False,
) -> None:
    """Run navigation, cross-check and baseline over a dataset, in time order.

    A run that was stopped takes up the fixes it had made when the same command is given again.

    Example: trn replay hakuto --map atlas.map --out run
    """
    from trn.replay.run import replay as run

    with progress_bars() as show:
        summary = run(
            dataset,
            map_path,
            out,
            backend,
            lambda done, total: show("replay", done, total),
            fix_latency_s,
        )
    typer.echo(json.dumps(summary) if as_json else str(out / "report.html"))
