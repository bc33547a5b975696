"""Which part of the Moon a camera can see from about a pose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up
from trn.moon.pose import Pose

Array = NDArray[np.float64]

GRID_SIDE = 17
LEAST_UP = 0.2
"""Of a place's vertical in a direction that its gnomonic box reaches to."""


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
    rays = _rays(camera)
    position = np.asarray(pose.position_m, dtype=np.float64)
    directions = np.empty((2 * len(rays), 3))
    distances = np.empty(len(rays))
    seen, meets = _directions(
        rays, pose.rotation_body_to_camera(), position, *height_range_m, directions, distances
    )
    if meets == 0:
        return None
    directions = directions[:seen]
    centre = directions.mean(axis=0)
    centre /= np.linalg.norm(centre)
    return Footprint(
        centre,
        _gnomonic_box(directions, east_north_up(centre)),
        float(np.median(distances[:meets])),
        meets / len(rays),
    )


def median_range_m(camera: Camera, pose: Pose, lowest_m: float) -> float | None:
    """Footprint.median_range_m alone, over the lowest terrain; None where no ray meets the Moon."""
    rays = _rays(camera)
    distances = np.empty(len(rays))
    position = np.asarray(pose.position_m, dtype=np.float64)
    meets = _ranges_m(rays, pose.rotation_body_to_camera(), position, lowest_m, distances)
    return float(np.median(distances[:meets])) if meets else None


@lru_cache(maxsize=8)
def _rays(camera: Camera) -> NDArray[np.float64]:
    """Unit rays in camera axes of a grid over the frame, where the lens sees, (N, 3), read-only."""
    u = np.linspace(-0.5, camera.width - 0.5, GRID_SIDE)
    v = np.linspace(-0.5, camera.height - 0.5, GRID_SIDE)
    rays = camera.pixels_to_rays(np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2))
    rays = rays[np.isfinite(rays).all(axis=1)]
    rays.setflags(write=False)
    return rays


@njit(cache=True, nogil=True, error_model="numpy")
def _distance_m(along: float, square: float, height_m: float) -> tuple[float, bool]:
    """How far a ray goes to a sphere of a height, and whether it meets it.

    along: of the ray, times its origin. square: of the origin's distance from the Moon's centre. A
    ray that does not meet the sphere goes to its point nearest to the Moon.
    """
    inside = along * along - square + (REFERENCE_RADIUS_M + height_m) ** 2
    meets = along < 0.0 and inside > 0.0
    return max(-along - math.sqrt(inside) if meets else -along, 0.0), meets


@njit(cache=True, nogil=True, error_model="numpy")
def _dot(a: Array, b: Array) -> float:
    """Product of two vectors (3,), without the way to a library that `@` takes."""
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


@njit(cache=True, nogil=True, error_model="numpy")
def _ranges_m(
    rays: Array, rotation: Array, position: Array, height_m: float, distances: Array
) -> int:
    """Distances to a sphere of those rays (N, 3), in camera axes, that meet it; how many they are.

    rotation: body to camera. They stand at the beginning of distances (N,).
    """
    count = 0
    axis = rotation @ position
    square = _dot(position, position)
    for n in range(rays.shape[0]):
        distance, meets = _distance_m(_dot(rays[n], axis), square, height_m)
        if meets:
            distances[count] = distance
            count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _directions(
    rays: Array,
    rotation: Array,
    position: Array,
    low_m: float,
    high_m: float,
    directions: Array,
    distances: Array,
) -> tuple[int, int]:
    """Unit vectors from the Moon's centre to where rays (N, 3) meet the lowest and highest ground.

    Of rays towards the Moon; they stand at the beginning of directions (2 N, 3), and distances (N,)
    begin with those to the lowest ground that meet it. Returns how many there are of each.
    """
    seen = 0
    axis = rotation @ position
    square = _dot(position, position)
    for n in range(rays.shape[0]):
        along = _dot(rays[n], axis)
        if along >= 0.0:
            continue
        for height in (high_m, low_m):
            distance, _ = _distance_m(along, square, height)
            point = directions[seen]
            for i in range(3):
                point[i] = position[i] + distance * _dot(rays[n], rotation[:, i])
            point /= math.sqrt(_dot(point, point))
            seen += 1
    return seen, _ranges_m(rays, rotation, position, low_m, distances)


@njit(cache=True, nogil=True, error_model="numpy")
def _gnomonic_box(directions: Array, axes: Array) -> tuple[float, float, float, float]:
    """x_min, x_max, y_min, y_max of unit vectors (N, 3) about a place.

    axes: (3, 3), east, north and up of the place. Vectors far from it do not count.
    """
    x_min, x_max, y_min, y_max = math.inf, -math.inf, math.inf, -math.inf
    for n in range(directions.shape[0]):
        up = _dot(axes[2], directions[n])
        if up <= LEAST_UP:
            continue
        x, y = _dot(axes[0], directions[n]) / up, _dot(axes[1], directions[n]) / up
        x_min, x_max = min(x_min, x), max(x_max, x)
        y_min, y_max = min(y_min, y), max(y_max, y)
    return x_min, x_max, y_min, y_max
