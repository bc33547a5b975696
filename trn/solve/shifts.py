"""How far ground and light that lie beside the map shift solutions, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def shifted_covariances(
    noise: Array,
    share: Array,
    information: Array,
    up: Array,
    ground_sigma_m: float,
    light_shift_m: Array,
) -> tuple[Array, Array]:
    """Covariances (H, 6, 6) of solutions, and of each one's difference from the first.

    noise: (H, 6, 6), of each from the noise of measurement alone. share: (H, K), how much of each
    part of the evidence it rests on. information: (K, 6, 6), of the parts. up: (3,), unit: the
    ground lies beside the map at right angles to it, by ground_sigma_m an axis in each part, and by
    light_shift_m (3,), 1 sigma, in all of them alike.
    """
    solutions, parts = share.shape
    moves = np.empty((6, 3))
    shift = np.zeros((solutions, parts, 6, 3))
    light = np.zeros((solutions, 6))
    for k in range(parts):
        # Ground that lies beside the map moves the camera as if the camera had moved with it.
        for i in range(6):
            vertical = 0.0
            for axis in range(3):
                vertical += information[k, i, axis] * up[axis]
            for axis in range(3):
                moves[i, axis] = information[k, i, axis] - vertical * up[axis]
        for h in range(solutions):
            for i in range(6):
                for axis in range(3):
                    moved = 0.0
                    for j in range(6):
                        moved += noise[h, i, j] * moves[j, axis]
                    moved *= share[h, k]
                    shift[h, k, i, axis] = ground_sigma_m * moved
                    light[h, i] += moved * light_shift_m[axis]
    # Of two least-squares solutions, one from a subset of the other's evidence, the difference has
    # the difference of their covariances; what is not in their noise differs in itself.
    covariance, apart = noise.copy(), noise - noise[0]
    for h in range(solutions):
        for i in range(6):
            for j in range(6):
                whole = light[h, i] * light[h, j]
                between = (light[h, i] - light[0, i]) * (light[h, j] - light[0, j])
                for k in range(parts):
                    for axis in range(3):
                        first, second = shift[h, k, i, axis], shift[h, k, j, axis]
                        whole += first * second
                        between += (first - shift[0, k, i, axis]) * (second - shift[0, k, j, axis])
                covariance[h, i, j] += whole
                apart[h, i, j] += between
    return covariance, apart
