"""Small turns of rotation matrices, compiled: for solvers, whose every step makes some.

Everywhere else rotations are SciPy's. Rodrigues' formula and its inverse (Hartley and Zisserman
2004, Multiple View Geometry, A4.3.2).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def turned(rotation: Array, angle: Array) -> Array:
    """exp([angle]x) rotation, (3, 3): turned by an angle (3,) about its own axes, radians."""
    size = math.sqrt(angle[0] ** 2 + angle[1] ** 2 + angle[2] ** 2)
    if size < 1e-12:
        return rotation.copy()
    x, y, z = angle[0] / size, angle[1] / size, angle[2] / size
    c, s = math.cos(size), math.sin(size)
    t = 1.0 - c
    by = np.array(
        [
            [c + x * x * t, x * y * t - z * s, x * z * t + y * s],
            [x * y * t + z * s, c + y * y * t, y * z * t - x * s],
            [x * z * t - y * s, y * z * t + x * s, c + z * z * t],
        ]
    )
    return by @ rotation


@njit(cache=True, nogil=True, error_model="numpy")
def turn_between(start: Array, end: Array) -> Array:
    """The angle, shape (3,), with exp([angle]x) start = end, for turns below half a circle."""
    by = end @ start.T
    axis = np.array([by[2, 1] - by[1, 2], by[0, 2] - by[2, 0], by[1, 0] - by[0, 1]])
    s = 0.5 * math.sqrt(axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2)
    c = 0.5 * (by[0, 0] + by[1, 1] + by[2, 2] - 1.0)
    if s < 1e-12:
        return 0.5 * axis
    return axis * (0.5 * math.atan2(s, c) / s)
