"""The frames that the benchmark locates: a place made by code, seen from 50 km."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.maps import LunarMap
from trn.maps.build import build_map
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose
from trn.prior import Prior
from trn.simulate.render import render
from trn.simulate.site import synthetic_site
from trn.simulate.terrain import TruthTerrain

SEED = 3
ALTITUDE_M = 5e4
MIDDLE_DEG = np.array([46.5, 44.5])
"""Latitude and longitude east."""

SIGMA_M = 1500.0
SUN_ELEVATION_SINE = 0.44


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame with what is believed before it and what is true.

    image: (height, width). position_m: float64 (3,), MOON_ME.
    """

    image: NDArray[np.generic]
    prior: Prior
    position_m: NDArray[np.float64]


def make_frames(folder: Path, side_px: int, count: int) -> tuple[LunarMap, Camera, list[Frame]]:
    """A map, a camera of side_px x side_px pixels, and `count` frames with priors 1.5 km off.

    Map and frames come from one elevation model: what is measured here is time. The same arguments
    give the same frames.
    """
    site = _site(folder)
    moon_map = build_map([site], folder / "site.map")
    terrain = TruthTerrain.from_geotiff(site, seed=SEED)
    camera = bench_camera(side_px)
    frames = []
    for k in range(count):
        random = np.random.default_rng(k)
        truth, sun = true_pose(random)
        image = render(terrain, camera, truth, sun, seed=k).image
        believed = truth.moved(random.normal(0, SIGMA_M, 3), random.normal(0, 1e-3, 3))
        prior = Prior(believed.position_m, SIGMA_M, believed.quaternion_xyzw, 1e-3, sun)
        frames.append(Frame(image, prior, truth.position_m))
    return moon_map, camera, frames


def make_terrain(folder: Path) -> TruthTerrain:
    """The ground that the frames show."""
    return TruthTerrain.from_geotiff(_site(folder), seed=SEED)


def bench_camera(side_px: int) -> Camera:
    """The camera of the frames, of side_px x side_px pixels."""
    focal_px, middle = 0.957 * side_px, 0.5 * (side_px - 1)
    return Camera(side_px, side_px, focal_px, focal_px, middle, middle)


def true_pose(random: np.random.Generator) -> tuple[Pose, NDArray[np.float64]]:
    """A place to take a frame from, straight down, and the unit vector to the Sun, MOON_ME."""
    offset = random.uniform(-0.2, 0.2, 2)
    latitude, longitude = np.deg2rad(MIDDLE_DEG + offset)
    position = position_from_geographic(latitude, longitude, ALTITUDE_M)
    east, north, up = east_north_up(position)
    axes = Rotation.from_matrix(np.stack([east, -north, -up]))
    sun = np.sqrt(1.0 - SUN_ELEVATION_SINE**2) * east + SUN_ELEVATION_SINE * up
    return Pose(position, np.asarray(axes.as_quat())), sun


def _site(folder: Path) -> Path:
    return synthetic_site(folder / "site.tif", seed=SEED, size_deg=5.0)
