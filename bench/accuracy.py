"""How far fixes are off, how often they come, and whether refusals are right.

    python -m bench.accuracy apollo --seeds 50
    python -m bench.accuracy rendered --frames 100 --cache SCENES
    python -m bench.accuracy refusals --seeds 200 --cache SCENES

Each prints a table; --json FILE keeps the numbers. `rendered` renders what the cache lacks
(about two seconds a frame).
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bench.apollo import apollo_15
from bench.scenes import Scene, estimator_map, rendered_scene
from bench.tables import data_folder, save, show
from trn.fix import PositionFix
from trn.localizer import Localizer
from trn.maps import LunarMap
from trn.moon.frames import east_north_up, position_from_geographic
from trn.prior import Prior

MAPS = ("atlas", "crisium", "frigoris", "hadley", "tycho")
WRONG_MAP_PIXELS = 2.0
APOLLO_WRONG_M = 500.0
SUN_BINS_DEG = (0, 15, 25, 35, 45, 90)


def apollo(seeds: int) -> dict[str, Any]:
    """Three Apollo 15 frames from drawn priors: spread over seeds, scatter over frames."""
    with apollo_15() as flight:
        frames = flight.frames
        listed = [np.array(frame.values["position_moon_me_m"]) for frame in frames]
        rows, medians = [], {}
        for sigma_m in (2000.0, 5000.0):
            for number, frame in enumerate(frames):
                fixes = []
                for seed in range(seeds):
                    fix = flight.localizer.locate(frame.image, frame.prior(sigma_m, seed))
                    if fix.position_m is not None:
                        fixes.append(fix.position_m)
                found = np.array(fixes)
                if sigma_m == 2000.0:
                    medians[number] = np.median(found, axis=0)
                spread = np.linalg.norm(found - medians[number], axis=1)
                rows.append(
                    {
                        "frame": frame.name,
                        "prior sigma m": sigma_m,
                        "runs": seeds,
                        "fixes": len(fixes),
                        "wrong": int((spread > APOLLO_WRONG_M).sum()),
                        "furthest from median m": float(spread.max()),
                    }
                )
    offsets = np.array([medians[k] - listed[k] for k in range(len(frames))])
    up = listed[1] / np.linalg.norm(listed[1])
    along = listed[-1] - listed[0]
    along = along - (along @ up) * up
    along /= np.linalg.norm(along)
    scatter = (offsets @ np.stack([along, np.cross(up, along), up]).T).std(axis=0, ddof=1)
    show("Apollo 15, fixes from drawn priors (attitude 1 deg)", rows)
    total = dict(zip(("along m", "across m", "height m"), map(float, scatter), strict=True))
    show("Apollo 15, scatter of (median fix - listed position) over three frames", [total])
    return {"runs": rows, "scatter": total}


def scene_prior(scene: Scene) -> Prior:
    """The prior that goes with a scene."""
    return Prior(
        scene.prior_pose.position_m,
        scene.position_sigma_m,
        scene.prior_pose.quaternion_xyzw,
        float(np.deg2rad(scene.attitude_sigma_deg)),
        scene.sun_direction,
    )


def rendered(frames: int, first: int, cache: Path) -> dict[str, Any]:
    """Rendered frames on five maps: 3-D error in map pixels, availability, NEES."""
    data = data_folder()
    rows = []
    everything: list[tuple[float, float]] = []
    elevation_deg: list[float] = []
    refusals: list[str] = []
    for name in MAPS:
        source = data / f"maps/{name}_256ppd.tif"
        moon_map = LunarMap.open(estimator_map(source, cache / "maps"))
        results = []
        for seed in range(first, first + frames):
            scene = rendered_scene(source, seed, cache_dir=cache)
            fix = Localizer(moon_map, scene.camera, "cpu").locate(scene.image, scene_prior(scene))
            results.append(error_and_nees(fix, scene, moon_map))
            elevation_deg.append(scene.sun_elevation_deg)
            if fix.status != "fix":
                refusals.append(f"{scene.name}: {fix.reason}")
        everything += results
        rows.append({"map": name, **_summary(results)})
    rows.append({"map": "all", **_summary(everything)})
    show("Rendered truth, 3-D error in map pixels (237 m)", rows)
    by_sun = [
        {"Sun deg": f"{low} to {high}", **_summary(chosen)}
        for low, high in itertools.pairwise(SUN_BINS_DEG)
        if (
            chosen := [r for r, e in zip(everything, elevation_deg, strict=True) if low <= e < high]
        )
    ]
    show("The same by the Sun's elevation", by_sun)
    for line in refusals:
        print("refused", line)
    return {"maps": rows, "sun": by_sun, "refusals": refusals}


def error_and_nees(fix: PositionFix, scene: Scene, moon_map: LunarMap) -> tuple[float, float]:
    """3-D error of a fix in map pixels, and NEES a degree of freedom; NaN for a refusal."""
    if fix.position_m is None or fix.covariance_m2 is None:
        return np.nan, np.nan
    error = fix.position_m - scene.true_pose.position_m
    nees = float(error @ np.linalg.solve(fix.covariance_m2, error)) / 3.0
    return float(np.linalg.norm(error)) / moon_map.resolution_m, nees


def _summary(results: list[tuple[float, float]]) -> dict[str, Any]:
    error, nees = np.array(results).T
    given = np.isfinite(error)
    return {
        "frames": len(results),
        "fixes": int(given.sum()),
        "wrong": int((error[given] > WRONG_MAP_PIXELS).sum()),
        "p50": float(np.median(error[given])),
        "p90": float(np.percentile(error[given], 90)),
        "p99": float(np.percentile(error[given], 99)),
        "max": float(error[given].max()),
        "NEES": float(nees[given].mean()),
    }


def refusals(seeds: int, cache: Path) -> dict[str, Any]:
    """Input that must not give a fix: fixes given, and reasons that are the right one."""
    data = data_folder()
    sources = [data / f"maps/{name}_256ppd.tif" for name in MAPS]
    maps = [LunarMap.open(estimator_map(source, cache / "maps")) for source in sources]
    words = {
        "noise": ("noise",),
        "black": ("black",),
        "saturated": ("saturated",),
        "stripes": ("stripes",),
        # The other map may end under the view.
        "another region": ("does not match the map", "no data"),
        "night side": ("night",),
        "no data": ("no data",),
        "reversed Sun": ("wrong way round",),
    }
    rows = []
    for kind, reasons_right in words.items():
        fixes, right = 0, 0
        for seed in range(seeds):
            which = seed % len(MAPS)
            scene = rendered_scene(sources[which], seed // len(MAPS), cache_dir=cache)
            image, prior, moon_map = _spoiled(kind, scene, seed, maps, which)
            fix = Localizer(moon_map, scene.camera, "cpu").locate(image, prior)
            fixes += fix.status == "fix"
            right += any(word in fix.reason for word in reasons_right)
        rows.append({"input": kind, "runs": seeds, "fixes": fixes, "reason right": right})
    show("Input that must be refused", rows)
    return {"refusals": rows}


def _spoiled(
    kind: str, scene: Scene, seed: int, maps: list[LunarMap], which: int
) -> tuple[NDArray[np.uint8], Prior, LunarMap]:
    """A scene turned into input without a right answer."""
    rng = np.random.default_rng([seed, 77])
    prior, image, moon_map = scene_prior(scene), scene.image, maps[which]
    shape = image.shape
    x, y = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    if kind == "noise":
        image = np.clip(rng.normal(rng.uniform(60, 200), 40, shape), 0, 255)
    elif kind == "black":
        image = rng.integers(0, 3, shape)
    elif kind == "saturated":
        image = np.where(rng.uniform(size=shape) < 0.9, 255, 240)
    elif kind == "stripes":
        angle = rng.uniform(0, np.pi)
        phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / rng.uniform(10, 200)
        image = 128 + 60 * np.sin(phase) + rng.normal(0, 3, shape)
    elif kind == "another region":
        moon_map = maps[(which + 1) % len(maps)]
        prior = _carried(prior, maps[which], moon_map)
    elif kind == "night side":
        up = prior.position_m / np.linalg.norm(prior.position_m)
        dark = prior.sun_direction - 2 * (prior.sun_direction @ up) * up
        prior = replace(prior, sun_direction=dark)
    elif kind == "no data":
        moon_map = maps[(which + 1) % len(maps)]
    elif kind == "reversed Sun":
        up = prior.position_m / np.linalg.norm(prior.position_m)
        prior = replace(
            prior, sun_direction=2 * (prior.sun_direction @ up) * up - prior.sun_direction
        )
    return image.astype(np.uint8), prior, moon_map


def _carried(prior: Prior, start: LunarMap, end: LunarMap) -> Prior:
    """The prior with everything turned from the middle of one map to that of another."""

    def middle(moon_map: LunarMap) -> NDArray[np.float64]:
        low, high, west, east = moon_map.bounds
        return position_from_geographic(
            np.deg2rad((low + high) / 2), np.deg2rad((west + east) / 2), 0.0
        )

    turn = Rotation.from_matrix(east_north_up(middle(end)).T @ east_north_up(middle(start)))
    return Prior(
        turn.apply(prior.position_m),
        prior.position_sigma_m,
        (Rotation.from_quat(prior.quaternion_xyzw) * turn.inv()).as_quat(),
        prior.attitude_sigma_rad,
        turn.apply(prior.sun_direction),
    )


def main() -> None:
    """Run one bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["apollo", "rendered", "refusals"])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--frames", type=int, default=100, help="rendered frames a map")
    parser.add_argument("--first", type=int, default=0, help="first scene of each map")
    parser.add_argument("--cache", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.what == "apollo":
        results = apollo(given.seeds)
    elif given.what == "rendered":
        results = rendered(given.frames, given.first, given.cache)
    else:
        results = refusals(given.seeds, given.cache)
    save(given.json, results)


if __name__ == "__main__":
    main()
