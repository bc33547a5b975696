"""`trn detect`: craters in one image."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trn.errors import InputError, quoted

if TYPE_CHECKING:
    from trn.detect import Ellipses

_ROWS_SHOWN = 20


def detect(
    image: Annotated[Path, typer.Argument(help="Frame: 8- or 16-bit single-channel PNG or TIFF.")],
    detector: Annotated[str, typer.Option("--detector", help="kernel or network.")] = "kernel",
    sun_azimuth_deg: Annotated[
        float | None,
        typer.Option(
            "--sun-azimuth-deg",
            help="Where the light comes from in the image, from +x (right) towards +y (down); "
            "kernel only, read off the image where left out.",
        ),
    ] = None,
    least_score: Annotated[
        float | None, typer.Option("--least-score", help="Drop craters less sure, 0 to 1.")
    ] = None,
    smallest_px: Annotated[
        float | None,
        typer.Option(
            "--smallest-px",
            help="Diameter from which craters are sought, 4 or more (8 where left out); a find may "
            "come out a tenth smaller.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find the craters in one image, as ellipses, surest first.

    Example: trn detect frame.png --json > detections.json
    """
    from trn.detect.ellipses import check_smallest
    from trn.images import load_image

    if detector not in ("kernel", "network"):
        raise InputError(f"--detector: {quoted(detector)} is not known; give kernel or network")
    if detector == "network" and sun_azimuth_deg is not None:
        raise InputError("--sun-azimuth-deg: the network does not use it; leave it out")
    if least_score is not None and not 0.0 <= least_score <= 1.0:
        raise InputError(f"--least-score: {least_score:g}; give a number from 0 to 1")
    if sun_azimuth_deg is not None and not abs(sun_azimuth_deg) <= 360.0:
        raise InputError(f"--sun-azimuth-deg: {sun_azimuth_deg:g}; give -360 to 360")
    if smallest_px is not None:
        check_smallest(smallest_px, "--smallest-px")
    pixels = load_image(image)
    given = {"least_score": least_score, "smallest_px": smallest_px}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if detector == "network":
        from trn.detect.network import detect_craters_network

        found = detect_craters_network(pixels, **options)
    else:
        from trn.detect import detect_craters

        sun = None if sun_azimuth_deg is None else math.radians(sun_azimuth_deg)
        found = detect_craters(pixels, sun_px=sun, **options)
    typer.echo(json.dumps(found.to_dict()) if as_json else _described(found))


def _described(found: Ellipses) -> str:
    """The surest craters, a line each."""
    lines = [f"{len(found)} craters"]
    if len(found):
        lines.append("score        x        y   major   minor  angle (pixels, degrees)")
    for (x, y, a, b, theta), score in zip(found.values[:_ROWS_SHOWN], found.score[:_ROWS_SHOWN]):
        lines.append(
            f"{score:5.2f} {x:8.1f} {y:8.1f} {2.0 * a:7.1f} {2.0 * b:7.1f} "
            f"{math.degrees(theta):6.0f}"
        )
    if len(found) > _ROWS_SHOWN:
        lines.append(f"and {len(found) - _ROWS_SHOWN} more (--json gives all)")
    return "\n".join(lines)
