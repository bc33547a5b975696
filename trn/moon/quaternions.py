"""Single quaternions (x, y, z, w), compiled, where SciPy's Rotation takes 20 us a call.

For what is asked for with every solution of a frame; everywhere else rotations are SciPy's.
Quaternions: Markley and Crassidis 2014, Fundamentals of Spacecraft Attitude Determination and
Control, section 2.7, but multiplied in the order of matrices, as SciPy does.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def rotation_of(quaternion: Array) -> Array:
    """The rotation matrix, shape (3, 3), of a quaternion (4,), which need not have length 1.

    Raises ValueError for one of length 0.
    """
    x, y, z, w = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    square = x * x + y * y + z * z + w * w
    if square == 0.0:
        raise ValueError("a quaternion of length 0 is no attitude")
    s = 2.0 / square
    rotation = np.empty((3, 3))
    rotation[0, 0] = 1.0 - s * (y * y + z * z)
    rotation[1, 1] = 1.0 - s * (x * x + z * z)
    rotation[2, 2] = 1.0 - s * (x * x + y * y)
    rotation[0, 1], rotation[1, 0] = s * (x * y - z * w), s * (x * y + z * w)
    rotation[0, 2], rotation[2, 0] = s * (x * z + y * w), s * (x * z - y * w)
    rotation[1, 2], rotation[2, 1] = s * (y * z - x * w), s * (y * z + x * w)
    return rotation


@njit(cache=True, nogil=True, error_model="numpy")
def turned_quaternion(quaternion: Array, angle: Array) -> Array:
    """exp([angle]x) after a quaternion (4,), unit, (4,): turned by an angle (3,), radians."""
    size = math.sqrt(angle[0] ** 2 + angle[1] ** 2 + angle[2] ** 2)
    share = math.sin(0.5 * size) / size if size > 0.0 else 0.5
    by = np.empty(4)
    for i in range(3):
        by[i] = share * angle[i]
    by[3] = math.cos(0.5 * size)
    product = quaternion_product(by, quaternion)
    square = 0.0
    for i in range(4):
        square += product[i] ** 2
    return product / math.sqrt(square)


@njit(cache=True, nogil=True, error_model="numpy")
def turn_between_quaternions(start: Array, end: Array) -> Array:
    """The angle, shape (3,), radians, with turned_quaternion(start, angle) = end; at most pi long.

    The quaternions (4,) need not have length 1.
    """
    back = -start
    back[3] = start[3]
    by = quaternion_product(end, back)
    size = math.sqrt(by[0] ** 2 + by[1] ** 2 + by[2] ** 2)
    # A quaternion and its negative are one attitude: the shorter way is taken.
    half = math.atan2(size, abs(by[3]))
    share = 2.0 * math.copysign(half, by[3]) / size if size > 0.0 else 0.0
    return share * by[:3]


@njit(cache=True, nogil=True, error_model="numpy")
def quaternion_product(left: Array, right: Array) -> Array:
    """The quaternion, shape (4,), of `left` after `right`, both such quaternions."""
    x, y, z, w = left[0], left[1], left[2], left[3]
    a, b, c, d = right[0], right[1], right[2], right[3]
    product = np.empty(4)
    product[0] = w * a + x * d + y * c - z * b
    product[1] = w * b - x * c + y * d + z * a
    product[2] = w * c + x * b - y * a + z * d
    product[3] = w * d - x * a - y * b - z * c
    return product
