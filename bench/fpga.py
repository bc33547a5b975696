"""Fixes whose correlation is done as in the FPGA core, against those of the float path.

    python -m bench.fpga --frames 8 --priors 5 --cache SCENES [--bits 8] [--json FILE]

Frames are those of `bench.accuracy rendered`. Each is located from its own prior and from others
drawn with the same sigmas, by the float path (`cpu`) and with `fpga-model`; `apart` says how far
the two fixes are from each other, in map pixels, and `cpu from another prior` how far the float
path's own fixes of one frame are from that of its first prior.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.accuracy import MAPS, WRONG_MAP_PIXELS, scene_prior
from bench.scenes import Scene, estimator_map, rendered_scene
from bench.tables import data_folder, save, show
from trn.backend.fixed_point import BITS
from trn.backend.fpga import FpgaBackend
from trn.fix import PositionFix
from trn.localizer import Localizer
from trn.maps import LunarMap
from trn.prior import Prior

GOAL_MAP_PIXELS = 0.05


def drawn_prior(scene: Scene, number: int) -> Prior:
    """The scene's own prior (number 0), or another with errors of the same sigmas."""
    own = scene_prior(scene)
    if number == 0:
        return own
    rng = np.random.default_rng([scene.seed, number, 41])
    pose = scene.true_pose.moved(
        rng.normal(0.0, scene.position_sigma_m, 3),
        rng.normal(0.0, np.deg2rad(scene.attitude_sigma_deg), 3),
    )
    return Prior(
        pose.position_m,
        own.position_sigma_m,
        pose.quaternion_xyzw,
        own.attitude_sigma_rad,
        own.sun_direction,
    )


def compared(frames: int, priors: int, bits: int, cache: Path) -> dict[str, Any]:
    """Both kinds of fix of every frame and prior: status, distance apart, time."""
    data = data_folder()
    pairs: list[tuple[str, PositionFix, PositionFix, float, float]] = []
    spent_s = {"cpu": 0.0, "fpga-model": 0.0}
    own_apart: list[float] = []
    for name in MAPS:
        source = data / f"maps/{name}_256ppd.tif"
        moon_map = LunarMap.open(estimator_map(source, cache / "maps"))
        for seed in range(frames):
            scene = rendered_scene(source, seed, cache_dir=cache)
            localizers = {each: Localizer(moon_map, scene.camera, each) for each in spent_s}
            model = localizers["fpga-model"].backend
            assert isinstance(model, FpgaBackend)
            model.bits = bits
            first: PositionFix | None = None
            for number in range(priors):
                prior = drawn_prior(scene, number)
                fixes = {}
                for each, localizer in localizers.items():
                    start = time.perf_counter()
                    fixes[each] = localizer.locate(scene.image, prior)
                    spent_s[each] += time.perf_counter() - start
                floating, whole = fixes["cpu"], fixes["fpga-model"]
                first = first or floating
                if number and first.position_m is not None and floating.position_m is not None:
                    moved = np.linalg.norm(floating.position_m - first.position_m)
                    own_apart.append(float(moved) / moon_map.resolution_m)
                apart = error = np.nan
                if whole.position_m is not None:
                    error = np.linalg.norm(whole.position_m - scene.true_pose.position_m)
                    if floating.position_m is not None:
                        apart = np.linalg.norm(whole.position_m - floating.position_m)
                pairs.append(
                    (
                        f"{scene.name}, prior {number}",
                        floating,
                        whole,
                        float(apart) / moon_map.resolution_m,
                        float(error) / moon_map.resolution_m,
                    )
                )
    return _summary(pairs, own_apart, spent_s, bits)


def _summary(
    pairs: list[tuple[str, PositionFix, PositionFix, float, float]],
    own_apart: list[float],
    spent_s: dict[str, float],
    bits: int,
) -> dict[str, Any]:
    same = [floating.status == whole.status for _, floating, whole, _, _ in pairs]
    apart = np.array([distance for *_, distance, _ in pairs])
    apart = apart[np.isfinite(apart)]
    error = np.array([error for *_, error in pairs])
    row = {
        "bits": bits,
        "pairs": len(pairs),
        "fixes cpu": sum(floating.status == "fix" for _, floating, *_ in pairs),
        "fixes fpga-model": sum(whole.status == "fix" for _, _, whole, *_ in pairs),
        "same status %": 100.0 * float(np.mean(same)),
        "apart p50": float(np.median(apart)),
        "apart p99": float(np.percentile(apart, 99)),
        "apart max": float(apart.max()),
        f"beyond {GOAL_MAP_PIXELS}": int((apart > GOAL_MAP_PIXELS).sum()),
        "wrong": int((error > WRONG_MAP_PIXELS).sum()),
        "cpu from another prior p50": float(np.median(own_apart)) if own_apart else np.nan,
        "p99": float(np.percentile(own_apart, 99)) if own_apart else np.nan,
        "max": max(own_apart, default=np.nan),
        "s a frame cpu": spent_s["cpu"] / len(pairs),
        "s a frame fpga-model": spent_s["fpga-model"] / len(pairs),
    }
    show("Fixes with fpga-model against the float path, map pixels (237 m)", [row])
    for (name, floating, whole, *_), alike in zip(pairs, same, strict=True):
        if not alike:
            reason = floating.reason or whole.reason
            print(f"{name}: cpu {floating.status}, fpga-model {whole.status}: {reason}")
    return {"summary": row, "apart_map_px": apart.tolist()}


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=8, help="rendered frames a map")
    parser.add_argument("--priors", type=int, default=5, help="priors a frame")
    parser.add_argument("--bits", type=int, default=BITS, choices=range(2, 9))
    parser.add_argument("--cache", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    save(given.json, compared(given.frames, given.priors, given.bits, given.cache))


if __name__ == "__main__":
    main()
