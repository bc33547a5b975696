"""Where the camera may be when its attitude is roughly known: every crater votes for every ellipse.

With the attitude known, an ellipse and the crater it may show give the camera's position: it stands
back from the crater along the line of sight, as far as the crater's size says (the alignment of
perspective cones of Chng et al. 2024, Crater identification by perspective cone alignment, Acta
Astronautica 224, reduced to its closed form). True pairs agree on a place; false ones scatter.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLOTS = 1 << 21
UNLIKE = 0.6
"""Square of log(a/b) by which an ellipse may differ from the crater's expected shape."""
LIKE = 0.06
ACROSS, ALONG = 0.03, 0.06
"""Sides of a cell over the distance of the ground: across and along the line of sight."""


@njit(cache=True, nogil=True, error_model="numpy")
def _slot(keys: NDArray[np.int64], key: int, mask: int) -> int:
    """Where a key stands, or the free slot where it would; linear probing."""
    h = key * -7046029254386353131
    place = (h ^ (h >> 29)) & mask
    while keys[place] != -1 and keys[place] != key:
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True, error_model="numpy")
def _key(layer: int, x: int, y: int, z: int) -> int:
    return ((layer * 16384 + x + 8192) * 16384 + y + 8192) * 16384 + z + 8192


@njit(cache=True, nogil=True, error_model="numpy")
def ballot(
    ray: Array,
    size: Array,
    shape: Array,
    seen_centre: Array,
    seen_normal: Array,
    radius: Array,
    body_radius: float,
    lowest: float,
    highest: float,
    keys: NDArray[np.int64],
    votes: Array,
    sums: Array,
    last: NDArray[np.int32],
    best: Array,
) -> int:
    """Fill a table of cells with votes; returns how many cells are in use.

    ray: (N, 3), unit lines of sight. size: (N,), square root of the solid angle over pi. shape: (N,
    2, 3), see `shapes`. seen_centre, seen_normal: (M, 3), body-fixed turned into camera axes.
    An ellipse votes once a cell, with its best vote. sums: (SLOTS, 3), votes times places.
    """
    mask = keys.size - 1
    used = 0
    for i in range(ray.shape[0]):
        d0, d1, d2 = ray[i, 0], ray[i, 1], ray[i, 2]
        for j in range(radius.size):
            n0, n1, n2 = seen_normal[j, 0], seen_normal[j, 1], seen_normal[j, 2]
            facing = -(d0 * n0 + d1 * n1 + d2 * n2)
            if facing < 0.1:
                continue
            m0 = shape[i, 0, 0] * n0 + shape[i, 0, 1] * n1 + shape[i, 0, 2] * n2
            m1 = shape[i, 1, 0] * n0 + shape[i, 1, 1] * n1 + shape[i, 1, 2] * n2
            unlike = facing * (shape[i, 2, 0] + (m0 * m0 + m1 * m1) / (facing * facing)) - 2.0
            if unlike > UNLIKE:
                continue
            reach = radius[j] * math.sqrt(facing) / size[i]
            x = seen_centre[j, 0] - reach * d0
            y = seen_centre[j, 1] - reach * d1
            z = seen_centre[j, 2] - reach * d2
            span = math.sqrt(x * x + y * y + z * z)
            height = span - body_radius
            if height < lowest or height > highest:
                continue
            away = height / max(-z / span, 0.35)
            layer = math.floor(math.log2(away / lowest))
            side = lowest * 2.0**layer
            key = _key(
                layer,
                math.floor(x / (ACROSS * side)),
                math.floor(y / (ACROSS * side)),
                math.floor(z / (ALONG * side)),
            )
            place = _slot(keys, key, mask)
            if keys[place] == -1:
                if used > mask - mask // 8:
                    continue
                keys[place] = key
                used += 1
            weight = 1.0 / (1.0 + unlike / LIKE)
            if last[place] != i:
                last[place] = i
                best[place] = 0.0
            if weight > best[place]:
                gain = weight - best[place]
                best[place] = weight
                votes[place] += gain
                sums[place, 0] += gain * x
                sums[place, 1] += gain * y
                sums[place, 2] += gain * z
    return used


@njit(cache=True, nogil=True, error_model="numpy")
def around(
    keys: NDArray[np.int64], votes: Array, sums: Array, place: int
) -> tuple[float, float, float, float]:
    """Votes of a cell and its neighbours, and their mean place."""
    mask = keys.size - 1
    key = keys[place]
    z = key % 16384
    y = (key // 16384) % 16384
    x = (key // 16384**2) % 16384
    layer = key // 16384**3
    total, a, b, c = 0.0, 0.0, 0.0, 0.0
    for i in range(-1, 2):
        for j in range(-1, 2):
            for k in range(-1, 2):
                other = ((layer * 16384 + x + i) * 16384 + y + j) * 16384 + z + k
                at = _slot(keys, other, mask)
                if keys[at] != -1:
                    total += votes[at]
                    a += sums[at, 0]
                    b += sums[at, 1]
                    c += sums[at, 2]
    return total, a / total, b / total, c / total


@njit(cache=True, nogil=True, error_model="numpy")
def ranked(keys: NDArray[np.int64], votes: Array, sums: Array, first: NDArray[np.int64]) -> Array:
    """Votes with the neighbours' and mean place, (K, 4), of the cells at the places `first`."""
    out = np.empty((first.size, 4))
    for k in range(first.size):
        total, x, y, z = around(keys, votes, sums, first[k])
        out[k, 0], out[k, 1], out[k, 2], out[k, 3] = total, x, y, z
    return out


def shapes(ray: Array, plane: Array) -> tuple[Array, Array]:
    """Size (N,) and shape (N, 3, 3) of ellipses on the unit sphere around their lines of sight.

    plane: (N, 2, 2), shape matrices S = V diag(a^2, b^2) V^T at z = 1. size: square root of the
    solid angle over pi. shape: two rows that take a normal to the ellipse's own measure, and the
    trace, so that cos (trace + |rows n|^2 / cos^2) - 2 is log^2 of how far it is from a circle seen
    under the cosine cos.
    """
    helper = np.where(np.abs(ray[:, :1]) < 0.8, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    across = np.cross(ray, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    up = np.cross(ray, across)
    basis = np.stack([across, up], 1)
    to_sphere = basis[:, :, :2] * ray[:, 2, None, None]
    on_sphere = to_sphere @ plane @ np.swapaxes(to_sphere, 1, 2)
    area = np.sqrt(np.maximum(np.linalg.det(on_sphere), 1e-300))
    unit = on_sphere / area[:, None, None]
    root = np.swapaxes(np.linalg.cholesky(unit + 1e-12 * np.eye(2)), 1, 2)
    shape = np.zeros((len(ray), 3, 3))
    shape[:, :2] = root @ basis
    shape[:, 2, 0] = np.trace(unit, axis1=1, axis2=2)
    return np.sqrt(area), shape
