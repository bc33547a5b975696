"""`trn data`: known LRO products, and their download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trn.cli.progress import progress_bars

app = typer.Typer(
    help="Known LRO products, and their download.\n\nExample: trn data list",
    no_args_is_help=True,
)


@app.command("list")
def list_products(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say which products are known.

    Example: trn data list
    """
    from trn.maps.products import known_products

    known = known_products().values()
    if as_json:
        rows = [
            {
                "name": each.name, "title": each.title, "use": each.use, "page": each.page,
                "bytes": each.size_bytes, "files": [file.url for file in each.files],
            }
            for each in known
        ]  # fmt: skip
        typer.echo(json.dumps({"products": rows}))
        return
    width = max(len(each.name) for each in known)
    for each in known:
        size = "" if each.size_bytes is None else f" ({each.size_bytes / 1e9:.1f} GB)"
        typer.echo(f"{each.name:{width}}  {each.title}{size}")


@app.command("fetch")
def fetch_product(
    name: Annotated[str, typer.Argument(help="As `trn data list` has it.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to put it into.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Download a product, check it, and go on where an earlier download was cut off.

    Example: trn data fetch gld100-n045 --out products
    """
    from trn.maps.fetch import fetch
    from trn.maps.products import product

    wanted = product(name)
    with progress_bars() as show:
        paths = fetch(wanted, out, show)
    main = out / wanted.main_file.name
    if as_json:
        typer.echo(json.dumps({"files": [str(path) for path in paths], wanted.use: str(main)}))
        return
    for path in paths:
        typer.echo(str(path))
    typer.echo(f"next: trn map build --{wanted.use} {main} --bounds LAT0 LAT1 LON0 LON1 "
               "--out NAME.map")  # fmt: skip
