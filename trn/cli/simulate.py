"""`trn simulate`: a synthetic descent."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from trn.cli.progress import progress_bars


def simulate(
    scenario: Annotated[
        str, typer.Argument(help="A scenario of trn by name, or a path that ends in .toml.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Dataset to write.")],
    map_path: Annotated[
        Path | None,
        typer.Option("--map", help="NAME.map of the site; without it a region made by code."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of ground, sensors and faults.")] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help="NAME or NAME:onset=S,size=X,duration=S; repeat to combine."),
    ] = None,
    begin_s: Annotated[
        float, typer.Option("--from", help="First second to write, since the start.")
    ] = 0.0,
    end_s: Annotated[float, typer.Option("--to", help="Last second to write.")] = math.inf,
    backend: Annotated[
        str, typer.Option("--backend", help="cpu or cuda: where frames are rendered.")
    ] = "cpu",
    preview: Annotated[
        bool, typer.Option("--preview", help="Add a contact sheet and plots (needs [viz]).")
    ] = False,
) -> None:
    """Write the imagery and sensor logs of a descent, with their truth.

    A run that was stopped goes on where it was when the same command is given again. Scenarios:
    hakuto-r-m1, resilience, blue-ghost-m1, tycho-highlands, mare-flat.

    Example: trn simulate hakuto-r-m1 --map atlas.map --out hakuto --fault lrf-bias:size=50
    """
    from trn.simulate.dataset import Request
    from trn.simulate.dataset import simulate as write_dataset
    from trn.simulate.faults import parse_fault
    from trn.simulate.preview import write_preview
    from trn.simulate.scenario import read_text, scenario_path

    path = scenario_path(scenario)
    faults = tuple(parse_fault(text) for text in fault or [])
    request = Request(read_text(path), path, map_path, seed, faults, begin_s, end_s, backend)
    with progress_bars() as show:
        write_dataset(request, out, show)
    typer.echo(str(out))
    if preview:
        for picture in write_preview(out):
            typer.echo(str(picture))
