"""`trn identify`: which craters ellipses show, with no position known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trn.identify import Identification

LISTED = 10


def identify(
    detections: Annotated[Path, typer.Argument(help="Ellipses, as `trn detect --json` prints.")],
    catalog_path: Annotated[Path, typer.Option("--catalog", help="Crater catalogue, CSV.")],
    camera_path: Annotated[Path, typer.Option("--camera", help="ROS camera_info YAML.")],
    attitude: Annotated[
        str | None,
        typer.Option("--attitude", metavar="X,Y,Z,W", help="Quaternion, MOON_ME to camera axes."),
    ] = None,
    attitude_sigma_deg: Annotated[
        float | None, typer.Option("--attitude-sigma-deg", help="Its sigma about each axis.")
    ] = None,
    map_path: Annotated[
        Path | None,
        typer.Option(
            "--map", help="Map that tells how high the rims stand; without, that is not known."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell which craters an image shows and from where, with no position prior.

    Example: trn identify ellipses.json --catalog craters.csv --camera camera.yaml
    """
    from trn.camera import Camera
    from trn.detect import load_detections
    from trn.errors import InputError
    from trn.identify import CraterIndex
    from trn.identify import identify as identified
    from trn.identify.heights import index_over
    from trn.maps import LunarMap
    from trn.maps.catalog_file import read_catalog

    camera = Camera.load(camera_path)
    ellipses = load_detections(detections)
    quaternion = _quaternion(attitude)
    sigma_rad = None if attitude_sigma_deg is None else math.radians(attitude_sigma_deg)
    listed = read_catalog(catalog_path)
    if listed.skipped_count:
        typer.echo(f"trn: {catalog_path}: {listed.summary()}", err=True)
    if map_path is None:
        index = CraterIndex.of(listed.catalog, height_known=False)
    else:
        index = index_over(LunarMap.open(map_path), listed.catalog)
        if not index.height_known.any():
            raise InputError(
                f"--map: {map_path} holds none of the craters of {catalog_path}; give a map of the "
                "place, or leave it out"
            )
    found = identified(ellipses, camera, index, quaternion, sigma_rad)
    typer.echo(json.dumps(found.to_dict()) if as_json else _described(found, len(ellipses)))


def _quaternion(text: str | None) -> list[float] | None:
    """Four numbers of X,Y,Z,W."""
    from trn.errors import InputError, quoted

    if text is None:
        return None
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise InputError(f"--attitude: {quoted(text)} is not X,Y,Z,W; give four numbers")
    return numbers


def _described(found: Identification, count: int) -> str:
    """The identification in a few lines for a reader."""
    from trn.moon.frames import geographic_from_position

    latency = f"latency    {found.latency_ms:.0f} ms"
    if found.pose is None or found.covariance is None:
        return f"unidentified: {found.reason}\n{latency}"
    latitude, longitude, height = geographic_from_position(found.pose.position_m)
    sigma = math.sqrt(found.covariance[:3, :3].trace())
    named = [f"{k}: {name}" for k, name in zip(found.detection[:LISTED], found.ids[:LISTED])]
    more = ", ..." if len(found.ids) > LISTED else ""
    return "\n".join(
        [
            f"identified {len(found.ids)} of {count} ellipses",
            f"from       {math.degrees(latitude):.4f} N {math.degrees(longitude):.4f} E, "
            f"height {height:.0f} m",
            f"1 sigma    {sigma:.0f} m (3-D)",
            f"craters    {', '.join(named)}{more}",
            latency,
        ]
    )
