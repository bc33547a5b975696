"""Whether protection levels hold: true error against level in ten thousand fixes.

    python -m bench.integrity --folder runs/integrity --frames 220 --workers 2 --json FILE

Frames are drawn as in bench.scenes (20 to 100 km high, Sun 8 to 55 degrees, five maps), 512 pixels
wide instead of 1024 with the focal length halved: fixes work at the scale of the map's pixel, which
both resolve. Every frame is taken DRAWS times, each with its own sensor noise and prior, two by two
with one map noise. What each fix rests on is kept in the folder, a file a frame, so that a run that
was stopped goes on, and a change of the level's formula is judged without a new run.

Odd scenes, and all before number 160, are for tuning; the report is of even scenes from there on
(`--scenes odd`, `--since 0` for the others). Fixes of one frame share their
ground: intervals are given as if fixes were independent (Clopper and Pearson 1934) and from frames
drawn anew (cluster bootstrap).
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from bench.accuracy import MAPS, SUN_BINS_DEG
from bench.scenes import (
    ATTITUDE_SIGMA_DEG,
    POSITION_SIGMA_M,
    Conditions,
    draw_geometry,
    estimator_map,
    truth_terrain,
)
from bench.tables import data_folder, save, show
from trn.camera import Camera
from trn.channels.frame import ground_sigma_m, light_shift_m
from trn.localizer import ALERT_LIMIT_MAP_PIXELS, Localizer
from trn.maps import LunarMap
from trn.moon.frames import east_north_up
from trn.moon.pose import Pose
from trn.prior import Prior
from trn.simulate.camera_model import SensorSettings, expose
from trn.simulate.render import RenderSettings, render
from trn.solve.evidence import Evidence
from trn.solve.integrity import (
    INTEGRITY_RISK,
    protection_levels,
    separated_levels,
    solution_separations,
    untrusted,
)

HELD_OUT = 160
"""Scenes from this number on were never looked at while the level was made."""
DRAWS = 10
DRAWS_A_MAP_NOISE = 2
CONDITIONS = Conditions(size_px=512)
FAULTS_OF_MAP = (0.1, 0.3, 1.0, 3.0)
FAULT_FRAMES = 100
ALTITUDE_BINS_KM = (20, 40, 60, 80, 101)


def collect(name: str, seed: int, folder: Path, draws: int) -> None:
    """Render one frame, locate it in every draw and keep what the fixes rest on."""
    target = folder / f"{name}_{seed:05d}.npz"
    if target.exists():
        return
    source = data_folder() / f"maps/{name}_256ppd.tif"
    terrain = truth_terrain(source)
    word = int.from_bytes(name.encode()[:8].ljust(8, b"\0"), "little")
    scene = draw_geometry(terrain, np.random.default_rng([word, seed]), CONDITIONS)
    truth = scene.true_pose
    settings = RenderSettings(workers=1)
    frame = render(terrain, scene.camera, truth, scene.sun_direction, settings=settings)
    axes = east_north_up(truth.position_m)
    kept: dict[str, list[Any]] = {}
    for draw in range(draws):
        if draw % DRAWS_A_MAP_NOISE == 0:
            noise = draw // DRAWS_A_MAP_NOISE
            localizer = Localizer(_opened(source, folder / "maps", noise), scene.camera, "cpu")
        rng = np.random.default_rng([word, seed, draw])
        image = expose(frame.radiance, frame.exposure_s, SensorSettings(), rng)
        believed = truth.moved(
            rng.normal(0.0, POSITION_SIGMA_M, 3),
            rng.normal(0.0, np.deg2rad(ATTITUDE_SIGMA_DEG), 3),
        )
        prior = Prior(
            believed.position_m,
            POSITION_SIGMA_M,
            believed.quaternion_xyzw,
            float(np.deg2rad(ATTITUDE_SIGMA_DEG)),
            scene.sun_direction,
        )
        fix, trace = localizer.locate_with_trace(image, prior)
        evidence = None if trace is None else trace.evidence
        if evidence is None or trace is None or trace.landmarks is None:
            kept.setdefault("refused", []).append(fix.reason)
            continue
        for key, value in {
            "draw": draw,
            "position_m": evidence.start.position_m,
            "quaternion_xyzw": evidence.start.quaternion_xyzw,
            "prior_information": evidence.prior_information,
            "prior_pull": evidence.prior_pull,
            "information": evidence.information,
            "pull": evidence.pull,
            "landmarks_m": trace.landmarks.pose.position_m,
            "landmarks_covariance": trace.landmarks.covariance,
        }.items():
            kept.setdefault(key, []).append(value)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with temporary.open("wb") as out:
        np.savez(
            out,
            true_m=truth.position_m,
            axes=axes,
            sun_elevation_deg=scene.sun_elevation_deg,
            altitude_m=scene.altitude_m,
            map_pixel_m=localizer.map.resolution_m,
            map_height_sigma_m=localizer.map.height_sigma_m,
            sun_direction=scene.sun_direction,
            width_px=scene.camera.width,
            height_px=scene.camera.height,
            focal_px=scene.camera.fx,
            **{key: np.array(value) for key, value in kept.items()},
        )
    temporary.replace(target)


@lru_cache(maxsize=64)
def _opened(source: Path, folder: Path, noise: int) -> LunarMap:
    return LunarMap.open(estimator_map(source, folder, noise))


def _collect(job: tuple[str, int, Path, int]) -> None:
    cv2.setNumThreads(1)
    collect(*job)


@dataclass(frozen=True)
class Judged:
    """One try at a fix: what it says of its error, and its error.

    horizontal_m, vertical_m: error; NaN for a refusal. nees: a degree of freedom. levels_m:
    horizontal and vertical; plain_m: those of the covariance alone, before it is scaled.
    """

    name: str
    frame: int
    noise: int
    sun_elevation_deg: float
    altitude_m: float
    reason: str
    horizontal_m: float = np.nan
    vertical_m: float = np.nan
    nees: float = np.nan
    levels_m: tuple[float, float] = (np.nan, np.nan)
    plain_m: tuple[float, float] = (np.nan, np.nan)


def judged(path: Path, fault_of_map: float = 0.0) -> Iterator[Judged]:
    """Every try of one kept frame, under the level's formula as it is now.

    fault_of_map: how far, in map pixels, a part of the ground drawn by chance, a sixteenth of the
    view, is shifted sideways.
    """
    name, seed = path.stem.split("_")
    kept = np.load(path)
    map_pixel_m = float(kept["map_pixel_m"])
    place = (float(kept["sun_elevation_deg"]), float(kept["altitude_m"]))
    camera = Camera(*(int(kept[key]) for key in ("width_px", "height_px")),
                    *(float(kept[key]) for key in ("focal_px", "focal_px")), 0.0, 0.0)  # fmt: skip
    for reason in kept.get("refused", ()):
        yield Judged(name, int(seed), -1, *place, str(reason))
    for k, draw in enumerate(kept.get("draw", ())):
        evidence = Evidence(
            Pose(kept["position_m"][k], kept["quaternion_xyzw"][k]),
            *(kept[key][k] for key in ("prior_information", "prior_pull", "information", "pull")),
            ground_sigma_m(camera, place[1], map_pixel_m),
            light_shift_m=light_shift_m(
                kept["sun_direction"], kept["position_m"][k], float(kept["map_height_sigma_m"])
            ),
            aligned=True,
        )
        if fault_of_map:
            rng = np.random.default_rng([int(seed), int(draw)])
            part, heading = rng.integers(len(evidence.pull)), rng.uniform(0.0, 2.0 * np.pi)
            shift = fault_of_map * map_pixel_m * np.array([np.cos(heading), np.sin(heading), 0.0])
            evidence.pull[part] += evidence.information[part, :, :3] @ (kept["axes"].T @ shift)
        noise = int(draw) // DRAWS_A_MAP_NOISE
        estimate = evidence.solution()
        axes = east_north_up(estimate.pose.position_m)
        separations = solution_separations(evidence, axes)
        levels = separated_levels(separations)
        reason = untrusted(separations, levels, ALERT_LIMIT_MAP_PIXELS * map_pixel_m)
        if reason:
            yield Judged(name, int(seed), noise, *place, reason)
            continue
        error = axes @ (estimate.pose.position_m - kept["true_m"])
        covariance = separations.covariance_m2[0]
        yield Judged(
            name,
            int(seed),
            noise,
            *place,
            "",
            float(np.hypot(error[0], error[1])),
            abs(float(error[2])),
            float(error @ np.linalg.solve(covariance, error)) / 3.0,
            levels,
            protection_levels(covariance / separations.scale),
        )


def summary(tries: Sequence[Judged], plain: bool = False) -> dict[str, Any]:
    """Counts of errors beyond their level, and medians; plain: of the covariance's level alone."""
    given = [each for each in tries if not each.reason]
    error = np.array([[each.horizontal_m, each.vertical_m] for each in given]).reshape(-1, 2)
    level = np.array([each.plain_m if plain else each.levels_m for each in given]).reshape(-1, 2)
    beyond = error > level
    whole = np.hypot(*error.T), np.hypot(*level.T)
    ratio = np.median(level, axis=0) / np.median(error, axis=0)
    return {
        "tries": len(tries),
        "fixes": len(given),
        "frames": len({(each.name, each.frame) for each in given}),
        "beyond horizontal": int(beyond[:, 0].sum()),
        "beyond vertical": int(beyond[:, 1].sum()),
        "beyond either": int(beyond.any(axis=1).sum()),
        "error p50 m": float(np.median(whole[0])),
        "level p50 m": float(np.median(whole[1])),
        "level/error": float(np.median(whole[1]) / np.median(whole[0])),
        "horizontal": float(ratio[0]),
        "vertical": float(ratio[1]),
        "NEES": float(np.mean([each.nees for each in given])),
    }


def risk_intervals(tries: Sequence[Judged]) -> list[dict[str, Any]]:
    """Share of fixes beyond either level, with 95 % intervals of both kinds."""
    given = [each for each in tries if not each.reason]
    rows = []
    for name, beyond in {
        "horizontal": [each.horizontal_m > each.levels_m[0] for each in given],
        "vertical": [each.vertical_m > each.levels_m[1] for each in given],
        "either": [
            each.horizontal_m > each.levels_m[0] or each.vertical_m > each.levels_m[1]
            for each in given
        ],
    }.items():
        low, high = clopper_pearson(sum(beyond), len(beyond))
        frame_low, frame_high = _bootstrap(given, np.array(beyond))
        rows.append(
            {
                "level": name,
                "stated": INTEGRITY_RISK if name == "either" else INTEGRITY_RISK / 2,
                "beyond": sum(beyond),
                "fixes": len(beyond),
                "rate": f"{sum(beyond) / len(beyond):.1e}",
                "95 % independent": f"{low:.1e} to {high:.1e}",
                "95 % by frame": f"{frame_low:.1e} to {frame_high:.1e}",
            }
        )
    return rows


def clopper_pearson(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval of a probability of which `count` in `of` came true."""
    tail = (1.0 - confidence) / 2.0
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.isf(tail, count + 1, of - count)) if count < of else 1.0
    return low, high


def _bootstrap(given: Sequence[Judged], beyond: NDArray[np.bool_]) -> tuple[float, float]:
    """Interval of the rate when whole frames are drawn anew; zero where there is nothing beyond."""
    _, which = np.unique([f"{each.name} {each.frame}" for each in given], return_inverse=True)
    fixes = np.bincount(which)
    hits = np.bincount(which, weights=beyond)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(fixes), (2000, len(fixes)))
    rates = hits[drawn].sum(axis=1) / fixes[drawn].sum(axis=1)
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)


def _planted(paths: Sequence[Path], fault_of_map: float) -> dict[str, Any]:
    """What becomes of about FAULT_FRAMES of the frames when a part of the ground is shifted."""
    chosen = paths[:: max(1, len(paths) // FAULT_FRAMES)]
    tries = [each for path in chosen for each in judged(path, fault_of_map)]
    whole, alone = summary(tries), summary(tries, plain=True)
    return {
        "shift": fault_of_map,
        "tries": len(tries),
        "refused": len(tries) - whole["fixes"],
        "beyond covariance alone": alone["beyond either"],
        "beyond either level": whole["beyond either"],
        "error p50 m": whole["error p50 m"],
        "level p50 m": whole["level p50 m"],
    }


def report(folder: Path, scenes: str, since: int) -> dict[str, Any]:
    """The tables of what the folder holds, for the even or the odd scenes from a number on."""
    parity = 1 if scenes == "odd" else 0
    numbers = {path: int(path.stem.split("_")[1]) for path in folder.glob("*.npz")}
    paths = sorted(path for path, n in numbers.items() if n % 2 == parity and n >= since)
    if not paths:
        raise SystemExit(f"{folder}: no {scenes} scenes from {since} on there")
    tries = [each for path in paths for each in judged(path)]
    given = [each for each in tries if not each.reason]
    total = {
        "frames": len({(each.name, each.frame) for each in tries}),
        "frames with a fix": len({(each.name, each.frame) for each in given}),
        "map errors": len({(each.name, each.noise) for each in given}),
        "map errors x frames": len({(each.name, each.frame, each.noise) for each in given}),
        "tries": len(tries),
        "fixes": len(given),
    }
    show(f"Protection levels: what the {scenes} scenes from {since} on hold", [total])
    risks = risk_intervals(tries)
    show("True error beyond the level", risks)
    groups = {
        "all": tries,
        **{name: [each for each in tries if each.name == name] for name in MAPS},
        **{
            f"Sun {low} to {high} deg": [
                each for each in tries if low <= each.sun_elevation_deg < high
            ]
            for low, high in itertools.pairwise(SUN_BINS_DEG)
        },
        **{
            f"{low} to {high} km": [each for each in tries if low <= each.altitude_m / 1e3 < high]
            for low, high in itertools.pairwise(ALTITUDE_BINS_KM)
        },
    }
    rows = [
        {"of": name, **summary(chosen)}
        for name, chosen in groups.items()
        if any(not each.reason for each in chosen)
    ]
    rows.insert(1, {"of": "covariance alone", **summary(tries, plain=True)})
    show("By map, Sun and altitude; level/error: of medians, in space", rows)
    planted = [_planted(paths, fault) for fault in FAULTS_OF_MAP]
    show("A sixteenth of the view shows ground shifted by so many map pixels", planted)
    reasons = Counter(re.sub(r"[-\d.]+", "#", each.reason) for each in tries if each.reason)
    refused = [{"reason": reason, "tries": count} for reason, count in reasons.most_common()]
    if refused:
        show("Refused", refused)
    return {"held": total, "risk": risks, "groups": rows, "planted": planted, "refused": refused}


def main() -> None:
    """Collect what the folder lacks, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/integrity"))
    parser.add_argument("--frames", type=int, default=200, help="frames a map; 0: only the tables")
    parser.add_argument("--draws", type=int, default=DRAWS, help="tries a frame")
    parser.add_argument("--scenes", choices=["even", "odd"], default="even")
    parser.add_argument("--since", type=int, default=HELD_OUT, help="first scene")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    first = given.since + (given.since % 2 != (given.scenes == "odd"))
    seeds = range(first, first + 2 * given.frames, 2)
    jobs = [(name, seed, given.folder, given.draws) for seed in seeds for name in MAPS]
    if given.workers > 1:
        with multiprocessing.get_context("spawn").Pool(given.workers) as pool:
            for _ in pool.imap_unordered(_collect, jobs):
                pass
    else:
        for job in jobs:
            _collect(job)
    save(given.json, report(given.folder, given.scenes, given.since))


if __name__ == "__main__":
    main()
