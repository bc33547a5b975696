"""Landmarks and craters, each alone and together, under the right light and under stale light.

    python -m bench.fusion --frames 8 --cache SCENES
    python -m bench.fusion --frames 100 --turned-deg 60

The rendered frames of `bench.accuracy rendered`. Stale light: the Sun's direction in the prior is
turned in azimuth by --turned-deg, to either side by turns, so that the view is predicted under a
light that the image was not taken in. Prints availability, wrong fixes, errors in map pixels, NEES,
and how often the true error exceeds the protection level, by channel.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bench.accuracy import MAPS, WRONG_MAP_PIXELS, error_and_nees, scene_prior
from bench.scenes import Scene, estimator_map, rendered_scene
from bench.tables import data_folder, save, show
from trn.backend.select import select_backend
from trn.channels.light import light_axis, turn_of_light
from trn.fix import PositionFix
from trn.localizer import CHANNELS, Localizer
from trn.maps import LunarMap
from trn.moon.frames import east_north_up
from trn.prior import Prior

CHOICES: tuple[tuple[str, ...], ...] = (("landmarks",), ("craters",), CHANNELS)


@dataclass(frozen=True)
class Judged:
    """One try: error in map pixels and NEES a degree of freedom (NaN for a refusal), and whether
    the error is beyond either protection level.
    """

    error_px: float
    nees: float
    beyond: bool
    reason: str


def turned(prior: Prior, angle_rad: float) -> Prior:
    """The prior with the Sun turned about the vertical."""
    up = prior.position_m / np.linalg.norm(prior.position_m)
    sun: NDArray[np.float64] = Rotation.from_rotvec(angle_rad * up).apply(prior.sun_direction)
    return replace(prior, sun_direction=sun)


def judged(fix: PositionFix, scene: Scene, moon_map: LunarMap) -> Judged:
    """A fix against the truth."""
    error_px, nees = error_and_nees(fix, scene, moon_map)
    if fix.position_m is None or fix.protection_level is None:
        return Judged(error_px, nees, False, fix.reason)
    local = east_north_up(fix.position_m) @ (fix.position_m - scene.true_pose.position_m)
    level = fix.protection_level
    return Judged(
        error_px,
        nees,
        bool(np.hypot(local[0], local[1]) > level.horizontal_m or abs(local[2]) > level.vertical_m),
        "",
    )


def row_of(tries: Sequence[Judged]) -> dict[str, Any]:
    """What one table row says of tries."""
    given = [each for each in tries if not each.reason]
    error = np.array([each.error_px for each in given])
    return {
        "frames": len(tries),
        "fixes": len(given),
        "available": f"{100 * len(given) / len(tries):.1f} %",
        "wrong": int((error > WRONG_MAP_PIXELS).sum()),
        "p50 px": float(np.median(error)) if given else "",
        "p99 px": float(np.percentile(error, 99)) if given else "",
        "NEES": float(np.mean([each.nees for each in given])) if given else "",
        "beyond level": sum(each.beyond for each in given),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=8, help="a map")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--turned-deg", type=float, default=60.0)
    parser.add_argument("--cache", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    data = data_folder()
    rows, refused = [], Counter[str]()
    backend = select_backend("cpu")
    off_deg: list[float] = []
    tries: dict[tuple[str, str], list[Judged]] = {}
    for name in MAPS:
        source = data / f"maps/{name}_256ppd.tif"
        catalog = data / f"catalogs/{name}_craters_1km.csv"
        moon_map = LunarMap.open(estimator_map(source, given.cache / "maps", craters=catalog))
        for seed in range(given.first, given.first + given.frames):
            scene = rendered_scene(source, seed, cache_dir=given.cache)
            angle = np.deg2rad(given.turned_deg) * (1 if seed % 2 else -1)
            axis = light_axis(backend.load_image(scene.image), backend)
            if axis is not None:
                turn = turn_of_light(axis, scene.true_pose, scene.sun_direction)
                off_deg.append(abs(float(np.rad2deg(turn))))
            for light, prior in (
                ("right", scene_prior(scene)),
                ("stale", turned(scene_prior(scene), angle)),
            ):
                for channels in CHOICES:
                    localizer = Localizer(moon_map, scene.camera, "cpu", channels=channels)
                    result = judged(localizer.locate(scene.image, prior), scene, moon_map)
                    tries.setdefault((light, " + ".join(channels)), []).append(result)
                    if result.reason:
                        refused[f"{light}, {' + '.join(channels)}: {result.reason[:60]}"] += 1
    for (light, channels), chosen in tries.items():
        rows.append({"light": light, "channels": channels, **row_of(chosen)})
    show(f"Channels, five maps; stale light: Sun {given.turned_deg:g} deg off in azimuth", rows)
    light = {
        "frames": len(MAPS) * given.frames,
        "told": len(off_deg),
        "off p50 deg": float(np.median(off_deg)),
        "off max deg": max(off_deg),
    }
    show("Axis of the light as the frame tells it, about the vertical", [light])
    show("Refused", [{"why": why, "frames": count} for why, count in refused.most_common()])
    save(given.json, {"rows": rows, "light": light, "refused": dict(refused)})


if __name__ == "__main__":
    main()
