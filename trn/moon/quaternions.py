"""Single quaternions (x, y, z, w) in plain Python, where SciPy's Rotation takes 20 us a call.

For what is asked for with every solution of a frame; everywhere else rotations are SciPy's.
Quaternions: Markley and Crassidis 2014, Fundamentals of Spacecraft Attitude Determination and
Control, section 2.7, but multiplied in the order of matrices, as SciPy does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def turned_quaternion(quaternion: Array, angle: Array) -> Array:
    """exp([angle]x) after a quaternion (4,), unit, (4,): turned by an angle (3,), radians."""
    x, y, z = angle.tolist()
    size = math.sqrt(x * x + y * y + z * z)
    share = math.sin(0.5 * size) / size if size > 0.0 else 0.5
    by = share * x, share * y, share * z, math.cos(0.5 * size)
    product = quaternion_product(by, quaternion.tolist())
    return np.array(product) / math.hypot(*product)


def turn_between_quaternions(start: Array, end: Array) -> Array:
    """The angle, shape (3,), radians, with turned_quaternion(start, angle) = end; at most pi long.

    The quaternions (4,) need not have length 1.
    """
    x, y, z, w = start.tolist()
    by = quaternion_product(end.tolist(), (-x, -y, -z, w))
    size = math.hypot(*by[:3])
    # A quaternion and its negative are one attitude: the shorter way is taken.
    half = math.atan2(size, abs(by[3]))
    share = 2.0 * math.copysign(half, by[3]) / size if size > 0.0 else 0.0
    return share * np.array(by[:3])


def quaternion_product(
    left: Sequence[float], right: Sequence[float]
) -> tuple[float, float, float, float]:
    """The quaternion (x, y, z, w) of `left` after `right`, both such quaternions."""
    x, y, z, w = left
    a, b, c, d = right
    return (
        w * a + x * d + y * c - z * b,
        w * b - x * c + y * d + z * a,
        w * c + x * b - y * a + z * d,
        w * d - x * a - y * b - z * c,
    )
