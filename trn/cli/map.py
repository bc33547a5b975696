"""`trn map`: build an onboard map, look into one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from trn.cli.progress import progress_bars

app = typer.Typer(
    help="Build onboard maps and look into them.\n\nExample: trn map info atlas.map",
    no_args_is_help=True,
)


@app.command("build", context_settings={"allow_extra_args": True})
def build(
    context: typer.Context,
    dem: Annotated[list[Path], typer.Option("--dem", help="Elevation GeoTIFF; one or more files.")],
    out: Annotated[Path, typer.Option("--out", help="Map to write, NAME.map.")],
    albedo: Annotated[Path | None, typer.Option("--albedo", help="Albedo GeoTIFF.")] = None,
    craters: Annotated[Path | None, typer.Option("--craters", help="Catalogue CSV.")] = None,
    craters_from_dem: Annotated[
        bool, typer.Option("--craters-from-dem", help="Find craters in the elevation too.")
    ] = False,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option("--bounds", help="LAT0 LAT1 LON0 LON1, degrees."),
    ] = None,
    height_sigma_m: Annotated[
        float, typer.Option("--height-sigma", help="1-sigma height error, metres.")
    ] = 15.0,
) -> None:
    """Make an onboard map from LRO products.

    Example: trn map build --dem tile1.tif tile2.tif --bounds 42 52 37 53 --out atlas.map

    Example: trn map build --dem tile.tif --craters robbins.csv --craters-from-dem --out atlas.map
    """
    from trn.maps.build import build_map

    files = [*dem, *(Path(extra) for extra in context.args)]
    with progress_bars() as show:
        built = build_map(
            files,
            out,
            albedo=albedo,
            craters=craters,
            bounds=bounds,
            height_sigma_m=height_sigma_m,
            progress=lambda share: show("building", share, 1.0),
            craters_from_dem=craters_from_dem,
        )
    listed = built.craters()
    count = "" if listed is None else f", {len(listed)} craters"
    typer.echo(f"{built.path}: {built.resolution_m:.0f} m a pixel{count}")


@app.command("info")
def info(
    map_path: Annotated[Path, typer.Argument(help="NAME.map.", metavar="MAP")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what is in a map, and whether its checksums hold (exit status 2 if not).

    Example: trn map info atlas.map
    """
    from trn.maps.build import map_info

    facts = map_info(map_path)
    if as_json:
        typer.echo(json.dumps(facts, default=str))
    else:
        _print_lines(facts, "")
    if not facts.get("intact", True):
        typer.echo(f"trn: {map_path}: a checksum does not hold; build the map again", err=True)
        raise typer.Exit(2)


def _print_lines(facts: dict[str, Any], indent: str) -> None:
    for name, value in facts.items():
        if isinstance(value, dict):
            typer.echo(f"{indent}{name}:")
            _print_lines(value, indent + "  ")
        else:
            typer.echo(f"{indent}{name}: {value}")
