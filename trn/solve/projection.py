"""Projection of points and its slopes, compiled.

Projection is the same as Camera.project, Camera.project_jacobian and Pose.to_camera one after the
other, which stay the reference (tests/test_solve_projection.py).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.moon.quaternions import rotation_of

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def _into_camera(rotation: Array, position: Array, points: Array, n: int, seen: Array) -> None:
    """One of the points in camera axes."""
    for i in range(3):
        seen[i] = 0.0
        for j in range(3):
            seen[i] += rotation[i, j] * (points[n, j] - position[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _onto_image(x: float, y: float, z: float, lens: Array, pixel: Array, n: int) -> None:
    """The pixel of one point at (x, y, 1) z in camera axes; NaN where Camera.project gives none."""
    k1, k2, p1, p2, k3 = lens[4], lens[5], lens[6], lens[7], lens[8]
    square = x * x + y * y
    if z > 0.0 and square < lens[9]:
        radial = 1.0 + square * (k1 + square * (k2 + square * k3))
        xd = x * radial + 2.0 * p1 * x * y + p2 * (square + 2.0 * x * x)
        yd = y * radial + p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y
        pixel[n, 0], pixel[n, 1] = lens[0] * xd + lens[2], lens[1] * yd + lens[3]
    else:
        pixel[n, 0] = pixel[n, 1] = math.nan


@njit(cache=True, nogil=True, error_model="numpy")
def project_with_slopes(
    quaternion: Array, position: Array, points: Array, lens: Array
) -> tuple[Array, Array]:
    """Pixels (N, 2) of body-fixed points (N, 3), and d pixel / d correction (N, 2, 6).

    quaternion, position: of the Pose. The correction is that of Pose.moved: metres MOON_ME, radians
    about camera axes. lens: Camera.lens. A pixel is NaN where Camera.project gives none.
    """
    rotation, count = rotation_of(quaternion), points.shape[0]
    pixel = np.empty((count, 2))
    slopes = np.empty((count, 2, 6))
    by_point = np.empty(3)
    seen = np.empty(3)
    k1, k2, p1, p2, k3 = lens[4], lens[5], lens[6], lens[7], lens[8]
    for n in range(count):
        _into_camera(rotation, position, points, n, seen)
        z = seen[2]
        x, y = seen[0] / z, seen[1] / z
        square = x * x + y * y
        radial = 1.0 + square * (k1 + square * (k2 + square * k3))
        slope = 2.0 * (k1 + square * (2.0 * k2 + 3.0 * square * k3))
        cross = x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y
        xx = radial + x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x
        yy = radial + y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x
        _onto_image(x, y, z, lens, pixel, n)
        for axis in range(2):
            a, b = (xx, cross) if axis == 0 else (cross, yy)
            focal = lens[axis] / z
            by_point[0], by_point[1] = focal * a, focal * b
            by_point[2] = -focal * (a * x + b * y)
            for j in range(3):
                slopes[n, axis, j] = -(
                    by_point[0] * rotation[0, j]
                    + by_point[1] * rotation[1, j]
                    + by_point[2] * rotation[2, j]
                )
            # exp(theta) p = p + theta x p
            slopes[n, axis, 3] = by_point[2] * seen[1] - by_point[1] * z
            slopes[n, axis, 4] = by_point[0] * z - by_point[2] * seen[0]
            slopes[n, axis, 5] = by_point[1] * seen[0] - by_point[0] * seen[1]
    return pixel, slopes


@njit(cache=True, nogil=True, error_model="numpy")
def project(quaternion: Array, position: Array, points: Array, lens: Array) -> Array:
    """Pixels alone, (N, 2), of project_with_slopes."""
    rotation = rotation_of(quaternion)
    pixel = np.empty((points.shape[0], 2))
    seen = np.empty(3)
    for n in range(points.shape[0]):
        _into_camera(rotation, position, points, n, seen)
        x, y = seen[0] / seen[2], seen[1] / seen[2]
        _onto_image(x, y, seen[2], lens, pixel, n)
    return pixel


@njit(cache=True, nogil=True, error_model="numpy")
def counts(pairs: Array, slopes: Array, n: int) -> bool:
    """Whether a row of pairs (N, 2) and its slopes (N, 2, 6) are finite."""
    total = pairs[n, 0] + pairs[n, 1]
    for i in range(6):
        total += slopes[n, 0, i] + slopes[n, 1, i]
    return math.isfinite(total)
