"""`trn locate`: one position fix."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trn.fix import PositionFix


def locate(
    image: Annotated[Path, typer.Argument(help="Frame: 8- or 16-bit single-channel PNG or TIFF.")],
    map_path: Annotated[Path, typer.Option("--map", help="Onboard map, NAME.map.")],
    camera_path: Annotated[Path, typer.Option("--camera", help="ROS camera_info YAML.")],
    prior_path: Annotated[Path, typer.Option("--prior", help="prior.json.")],
    backend: Annotated[
        str, typer.Option("--backend", help="auto, cpu, cuda, fpga-model or fpga-sim.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Give the position fix of one frame.

    Example: trn locate frame.png --map atlas.map --camera camera.yaml --prior prior.json
    """
    from trn.camera import Camera
    from trn.images import check_image_for_camera, load_image
    from trn.localizer import Localizer
    from trn.maps import LunarMap
    from trn.prior import Prior

    camera = Camera.load(camera_path)
    prior = Prior.load(prior_path)
    pixels = load_image(image)
    check_image_for_camera(pixels, camera, str(image))
    moon_map = LunarMap.open(map_path)
    fix = Localizer(moon_map, camera, backend=backend).locate(pixels, prior)
    typer.echo(json.dumps(fix.to_dict()) if as_json else _described(fix))


def _described(fix: PositionFix) -> str:
    """The fix in a few lines for a reader."""
    counts = fix.landmarks
    found = f"{counts.searched} searched, {counts.matched} matched, {counts.inliers} agree"
    rims = f"{fix.craters.detected} detected, {fix.craters.identified} identified"
    total = f"{fix.latency_ms.get('total', math.nan):.0f} ms on {fix.backend}"
    if fix.covariance_m2 is None or fix.protection_level is None:
        counted = f"landmarks  {found}\ncraters    {rims}"
        return f"no fix: {fix.reason}\n{counted}\nlatency    {total}"
    values = fix.to_dict()
    sigma = math.sqrt(fix.covariance_m2.trace())
    altitude = "unknown" if fix.altitude_m is None else f"{fix.altitude_m:.0f} m"
    return "\n".join(
        [
            f"fix        {values['latitude_deg']:.6f} N {values['longitude_east_deg']:.6f} E, "
            f"height {values['height_m']:.0f} m, altitude {altitude}",
            f"1 sigma    {sigma:.0f} m (3-D)",
            f"protection {fix.protection_level.horizontal_m:.0f} m horizontal, "
            f"{fix.protection_level.vertical_m:.0f} m vertical "
            f"at a risk of {fix.protection_level.integrity_risk:g}",
            f"landmarks  {found}",
            f"craters    {rims}",
            f"latency    {total}",
        ]
    )
