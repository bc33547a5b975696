"""Which part of the Moon a camera can see from about a pose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up
from trn.moon.pose import Pose

GRID_SIDE = 17


@dataclass(frozen=True, eq=False)
class Footprint:
    """A place and the gnomonic box around it that covers the view.

    centre: unit vector, body-fixed. bounds: gnomonic (x_min, x_max, y_min, y_max) about it.
    median_range_m: median distance from the camera to the sphere over the frame.
    seen_share: share of the frame that looks at the Moon rather than at the sky.
    """

    centre: NDArray[np.float64]
    bounds: tuple[float, float, float, float]
    median_range_m: float
    seen_share: float

    def widened(self, margin: float) -> tuple[float, float, float, float]:
        """The bounds with a margin (gnomonic units, about radians) on every side."""
        x_min, x_max, y_min, y_max = self.bounds
        return x_min - margin, x_max + margin, y_min - margin, y_max + margin


def footprint_of(
    camera: Camera, pose: Pose, height_range_m: tuple[float, float]
) -> Footprint | None:
    """The footprint of a view on terrain of a height range; None where no ray meets the Moon.

    Rays are cut with the spheres of the lowest and the highest terrain. A ray that misses them
    counts with its point nearest to the Moon, so that the limb lies inside the box.
    """
    rays = _rays(camera) @ pose.rotation_body_to_camera()
    position = np.asarray(pose.position_m, dtype=np.float64)
    (high_m, _), (low_m, meets) = (
        _distances_m(rays, position, height) for height in reversed(height_range_m)
    )
    if not meets.any():
        return None
    towards = rays @ position < 0.0
    directions = np.concatenate(
        [(position + distance[:, None] * rays)[towards] for distance in (high_m, low_m)]
    )
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centre = directions.mean(axis=0)
    centre /= np.linalg.norm(centre)
    local = directions @ east_north_up(centre).T
    local = local[local[:, 2] > 0.2]
    x, y = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    return Footprint(
        centre,
        (float(x.min()), float(x.max()), float(y.min()), float(y.max())),
        float(np.median(low_m[meets])),
        float(meets.mean()),
    )


def median_range_m(camera: Camera, pose: Pose, lowest_m: float) -> float | None:
    """Footprint.median_range_m alone, over the lowest terrain; None where no ray meets the Moon."""
    rays = _rays(camera) @ pose.rotation_body_to_camera()
    distances, meets = _distances_m(rays, np.asarray(pose.position_m, dtype=np.float64), lowest_m)
    return float(np.median(distances[meets])) if meets.any() else None


@lru_cache(maxsize=8)
def _rays(camera: Camera) -> NDArray[np.float64]:
    """Unit rays in camera axes of a grid over the frame, where the lens sees, (N, 3), read-only."""
    u = np.linspace(-0.5, camera.width - 0.5, GRID_SIDE)
    v = np.linspace(-0.5, camera.height - 0.5, GRID_SIDE)
    rays = camera.pixels_to_rays(np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2))
    rays = rays[np.isfinite(rays).all(axis=1)]
    rays.setflags(write=False)
    return rays


def _distances_m(
    rays: NDArray[np.float64], position: NDArray[np.float64], height_m: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How far rays (N, 3) from a position go to a sphere of a height, and which of them meet it.

    A ray that does not goes to its point nearest to the Moon.
    """
    along = rays @ position
    square = along**2 - position @ position + (REFERENCE_RADIUS_M + height_m) ** 2
    meets = (along < 0.0) & (square > 0)
    distance = np.where(meets, -along - np.sqrt(np.where(meets, square, 0.0)), -along)
    return np.maximum(distance, 0.0), meets
