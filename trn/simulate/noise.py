"""Gradient noise in body-fixed space: the same value at a place whoever asks, pole and all.

Lattice noise after Perlin (2002) with quintic interpolation (C2), its gradients hashed from the
integer lattice point and a seed. Sampled on the Moon's surface it is isotropic in ground metres
at every latitude and has no seam at longitude 180.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_KEY_X = np.uint64(0x8DA6B34385EBCA77)
_KEY_Y = np.uint64(0xD8163841C2B2AE3D)
_KEY_Z = np.uint64(0xCB1AB31F27D4EB2F)

# One over the standard deviation of the raw sum, from two million points spread through space.
_TO_UNIT_VARIANCE = 5.235


@numba.njit(cache=True, nogil=True, inline="always")
def mix(key: np.uint64) -> np.uint64:
    """A well-mixed 64-bit word from a 64-bit key (finaliser of SplitMix64, Steele et al. 2014)."""
    key = (key ^ (key >> np.uint64(30))) * _MIX_1
    key = (key ^ (key >> np.uint64(27))) * _MIX_2
    return key ^ (key >> np.uint64(31))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def next_uniform(state: Any) -> float:
    """The next number in [0, 1) of a SplitMix64 stream kept in state[0] (uint64)."""
    state[0] += _STEP
    return np.float64(mix(state[0]) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@numba.njit(cache=True, nogil=True, fastmath=False)
def lattice_noise(
    x: float, y: float, z: float, seed: np.uint64, gradients: Any, cell: Any
) -> float:
    """One sample of gradient noise at (x, y, z) in lattice units, mean 0 and variance 1.

    gradients (8, 3) float64 and cell (3,) int64 hold the last lattice cell looked at, so that
    neighbouring samples do not hash it again; start with a cell that no sample can lie in.
    """
    floor_x, floor_y, floor_z = np.floor(x), np.floor(y), np.floor(z)
    ix, iy, iz = np.int64(floor_x), np.int64(floor_y), np.int64(floor_z)
    if ix != cell[0] or iy != cell[1] or iz != cell[2]:
        cell[0], cell[1], cell[2] = ix, iy, iz
        for corner in range(8):
            key = (
                np.uint64(ix + (corner & 1)) * _KEY_X
                ^ np.uint64(iy + ((corner >> 1) & 1)) * _KEY_Y
                ^ np.uint64(iz + (corner >> 2)) * _KEY_Z
            )
            word = mix(key ^ seed)
            for axis in range(3):
                bits = (word >> np.uint64(21 * axis)) & np.uint64(0x1FFFFF)
                gradients[corner, axis] = np.float64(bits) * (2.0 / 2097151.0) - 1.0
    fx, fy, fz = x - floor_x, y - floor_y, z - floor_z
    wx = fx * fx * fx * (fx * (fx * 6.0 - 15.0) + 10.0)
    wy = fy * fy * fy * (fy * (fy * 6.0 - 15.0) + 10.0)
    wz = fz * fz * fz * (fz * (fz * 6.0 - 15.0) + 10.0)
    value = 0.0
    for corner in range(8):
        cx, cy, cz = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = (
            (wx if cx == 1 else 1.0 - wx)
            * (wy if cy == 1 else 1.0 - wy)
            * (wz if cz == 1 else 1.0 - wz)
        )
        value += weight * (
            gradients[corner, 0] * (fx - cx)
            + gradients[corner, 1] * (fy - cy)
            + gradients[corner, 2] * (fz - cz)
        )
    return value * _TO_UNIT_VARIANCE


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _noise_at(points: Any, lattice_m: float, seed: np.uint64, out: Any) -> None:
    gradients = np.empty((8, 3))
    cell = np.full(3, np.int64(-(2**62)))
    for i in range(points.shape[0]):
        out[i] = lattice_noise(
            points[i, 0] / lattice_m,
            points[i, 1] / lattice_m,
            points[i, 2] / lattice_m,
            seed,
            gradients,
            cell,
        )


@lru_cache(maxsize=256)
def seed_word(seed: int, purpose: int) -> np.uint64:
    """A 64-bit seed for one purpose (relief, albedo, ...), so that their fields are unrelated."""
    words = np.random.SeedSequence([seed, purpose]).generate_state(2, np.uint64)
    return np.uint64(words[0])


def noise_at(points_m: Array, lattice_m: float, seed: np.uint64) -> Array:
    """Gradient noise of mean 0 and variance 1 at body-fixed points, shape (..., 3), metres."""
    points = np.ascontiguousarray(points_m, dtype=np.float64).reshape(-1, 3)
    out = np.empty(len(points))
    _noise_at(points, lattice_m, seed, out)
    return out.reshape(np.shape(points_m)[:-1])
