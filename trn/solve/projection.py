"""Projection of points and its slopes, compiled.

The same as Camera.project, Camera.project_jacobian and Pose.to_camera one after the other, which
stay the reference (tests/test_solve_projection.py). lens: Camera.lens.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.moon.quaternions import rotation_of

Array = NDArray[np.float64]
Three = tuple[float, float, float]


@njit(cache=True, nogil=True, error_model="numpy")
def into_camera(
    rotation: Array, position: Array, x: float, y: float, z: float, lens: Array
) -> tuple[float, float, float, float]:
    """A body-fixed point in camera axes, and one over its depth: 0 where the lens shows none."""
    x, y, z = x - position[0], y - position[1], z - position[2]
    sx = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
    sy = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
    sz = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
    near = 1.0 / sz if (sz > 0.0) & (sx * sx + sy * sy < lens[9] * (sz * sz)) else 0.0
    return sx, sy, sz, near


@njit(cache=True, nogil=True, error_model="numpy")
def onto_image(x: float, y: float, lens: Array) -> tuple[float, float]:
    """The pixel of a point at (x, y, 1)."""
    k1, k2, p1, p2, k3 = lens[4], lens[5], lens[6], lens[7], lens[8]
    square = x * x + y * y
    radial = 1.0 + square * (k1 + square * (k2 + square * k3))
    xd = x * radial + 2.0 * p1 * x * y + p2 * (square + 2.0 * x * x)
    yd = y * radial + p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y
    return lens[0] * xd + lens[2], lens[1] * yd + lens[3]


@njit(cache=True, nogil=True, error_model="numpy")
def slopes_at(x: float, y: float, near: float, lens: Array) -> tuple[Three, Three]:
    """d pixel / d point, camera axes, of a point at (x, y, 1) / near: of its column and its row."""
    k1, k2, p1, p2, k3 = lens[4], lens[5], lens[6], lens[7], lens[8]
    square = x * x + y * y
    radial = 1.0 + square * (k1 + square * (k2 + square * k3))
    slope = 2.0 * (k1 + square * (2.0 * k2 + 3.0 * square * k3))
    cross = x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y
    g_x = lens[0] * near * (radial + x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x)
    g_y = lens[0] * near * cross
    h_x = lens[1] * near * cross
    h_y = lens[1] * near * (radial + y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x)
    return (g_x, g_y, -(g_x * x + g_y * y)), (h_x, h_y, -(h_x * x + h_y * y))


@njit(cache=True, nogil=True, error_model="numpy")
def project_with_slopes(
    quaternion: Array, position: Array, points: Array, lens: Array
) -> tuple[Array, Array]:
    """Pixels (N, 2) of body-fixed points (N, 3), and d pixel / d correction (N, 2, 6).

    quaternion, position: of the Pose. The correction is that of Pose.moved: metres MOON_ME, radians
    about camera axes. Where Camera.project gives no pixel it is NaN, and its slopes are zero.
    """
    rotation, count = rotation_of(quaternion), points.shape[0]
    pixel, slopes = np.empty((count, 2)), np.empty((count, 2, 6))
    for n in range(count):
        sx, sy, sz, near = into_camera(
            rotation, position, points[n, 0], points[n, 1], points[n, 2], lens
        )
        x, y = sx * near, sy * near
        pixel[n, 0], pixel[n, 1] = onto_image(x, y, lens) if near > 0.0 else (math.nan, math.nan)
        both = slopes_at(x, y, near, lens)
        for axis in range(2):
            g_x, g_y, g_z = both[axis]
            for j in range(3):
                slopes[n, axis, j] = -(
                    g_x * rotation[0, j] + g_y * rotation[1, j] + g_z * rotation[2, j]
                )
            # exp(theta) p = p + theta x p
            slopes[n, axis, 3] = g_z * sy - g_y * sz
            slopes[n, axis, 4] = g_x * sz - g_z * sx
            slopes[n, axis, 5] = g_y * sx - g_x * sy
    return pixel, slopes


@njit(cache=True, nogil=True, error_model="numpy")
def project(quaternion: Array, position: Array, points: Array, lens: Array) -> Array:
    """Pixels alone, (N, 2), of project_with_slopes."""
    rotation, pixel = rotation_of(quaternion), np.empty((points.shape[0], 2))
    for n in range(points.shape[0]):
        sx, sy, _, near = into_camera(
            rotation, position, points[n, 0], points[n, 1], points[n, 2], lens
        )
        if near > 0.0:
            pixel[n, 0], pixel[n, 1] = onto_image(sx * near, sy * near, lens)
        else:
            pixel[n, 0] = pixel[n, 1] = math.nan
    return pixel


@njit(cache=True, nogil=True, error_model="numpy")
def place_covariances(
    quaternion: Array, position: Array, covariance: Array, points: Array, lens: Array
) -> Array:
    """Covariances (N, 2, 2) of where points (N, 3) are seen, from the pose's, (6, 6)."""
    _, slopes = project_with_slopes(quaternion, position, points, lens)
    place, moved = np.zeros((points.shape[0], 2, 2)), np.empty(6)
    for n in range(points.shape[0]):
        for a in range(2):
            for j in range(6):
                moved[j] = 0.0
                for i in range(6):
                    moved[j] += slopes[n, a, i] * covariance[i, j]
            for b in range(2):
                for j in range(6):
                    place[n, a, b] += moved[j] * slopes[n, b, j]
    return place


@njit(cache=True, nogil=True, error_model="numpy")
def furthest_move(
    quaternion: Array,
    position: Array,
    moved_quaternion: Array,
    moved_position: Array,
    points: Array,
    lens: Array,
) -> float:
    """The furthest that points (N, 3) move along an axis of the image, pixels, between two poses.

    Of those that both see; NaN where there is none.
    """
    before, after = rotation_of(quaternion), rotation_of(moved_quaternion)
    furthest = -1.0
    for n in range(points.shape[0]):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        x, y, _, near = into_camera(before, position, px, py, pz, lens)
        moved_x, moved_y, _, moved_near = into_camera(after, moved_position, px, py, pz, lens)
        if near > 0.0 and moved_near > 0.0:
            u, v = onto_image(x * near, y * near, lens)
            moved_u, moved_v = onto_image(moved_x * moved_near, moved_y * moved_near, lens)
            furthest = max(furthest, abs(moved_u - u), abs(moved_v - v))
    return furthest if furthest >= 0.0 else math.nan
