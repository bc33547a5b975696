"""Whole fixes and detections of the CUDA backend, its kernels executed on the CPU, and the CPU's.

Run as `python -m tests.host_cuda.parity --frames 8`: the rendered frames of `bench.accuracy
rendered`, each from its own prior, from one whose Sun is 60 degrees off in azimuth, and from one
whose Sun stands on the opposite side, which is refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
from rich.progress import track

from bench.accuracy import MAPS, scene_prior
from bench.fusion import turned
from bench.scenes import Scene, estimator_map, rendered_scene
from bench.tables import data_folder
from tests.host_cuda.fake_cupy import FakeCupy
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.detect import detect_craters
from trn.localizer import Localizer
from trn.maps import LunarMap

TURNS_DEG = (0.0, 60.0, 180.0)
SAME_MAP_PX = 0.02
SAME_PX = 0.1


def fixes_apart(scene: Scene, moon_map: LunarMap, cuda: CudaBackend) -> list[float]:
    """How far the two fixes of a frame are apart, in map pixels, for each prior.

    0 where both refuse, infinite where one does.
    """
    with mock.patch("trn.localizer.select_backend", return_value=cuda):
        ours = Localizer(moon_map, scene.camera)
    theirs = Localizer(moon_map, scene.camera, "cpu")
    apart = []
    for turn_deg in TURNS_DEG:
        prior = turned(scene_prior(scene), np.deg2rad(turn_deg))
        one, other = (each.locate(scene.image, prior).position_m for each in (ours, theirs))
        if one is None or other is None:
            apart.append(0.0 if one is other else np.inf)
        else:
            apart.append(float(np.linalg.norm(one - other)) / moon_map.resolution_m)
    return apart


def detections(scene: Scene, cuda: CudaBackend, cpu: CpuBackend) -> tuple[int, int]:
    """Craters found by both, centre and axes within SAME_PX, and craters found by either."""
    ours, theirs = (detect_craters(scene.image, backend=each).values for each in (cuda, cpu))
    if not len(ours) or not len(theirs):
        return 0, max(len(ours), len(theirs))
    near = np.abs(ours[:, None, :4] - theirs[None, :, :4]).max(axis=2) < SAME_PX
    both = int(near.any(axis=1).sum())
    return both, len(ours) + len(theirs) - both


def main() -> None:
    """Print how many fixes and detections are the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=8, help="a map")
    parser.add_argument("--cache", type=Path, default=Path("runs/scenes"))
    given = parser.parse_args()
    # Counting builds are not checked for accesses, and ten times as fast.
    cuda, cpu = CudaBackend(FakeCupy(counting=True), strict=True), CpuBackend()
    apart: list[float] = []
    both = either = 0
    for name in MAPS:
        source = data_folder() / f"maps/{name}_256ppd.tif"
        moon_map = LunarMap.open(estimator_map(source, given.cache / "maps"))
        for seed in track(range(given.frames), name, transient=True):
            scene = rendered_scene(source, seed, cache_dir=given.cache)
            apart += fixes_apart(scene, moon_map, cuda)
            here, there = detections(scene, cuda, cpu)
            both, either = both + here, either + there
    distance = np.array(apart)
    print(
        f"{distance.size} tries: {np.isfinite(distance).sum()} of the same status, "
        f"{(distance < SAME_MAP_PX).sum()} within {SAME_MAP_PX} map pixels, furthest "
        f"{distance[np.isfinite(distance)].max():.2g}; detections: {both} of {either} found by "
        f"both within {SAME_PX} px"
    )


if __name__ == "__main__":
    main()
