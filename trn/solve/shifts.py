"""How far ground and light that lie beside the map shift solutions, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
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
    # Ground that lies beside the map moves the camera as if the camera had moved with it.
    moves = np.empty((6, 3 * parts))
    for k in range(parts):
        for i in range(6):
            vertical = 0.0
            for axis in range(3):
                vertical += information[k, i, axis] * up[axis]
            for axis in range(3):
                moves[i, 3 * k + axis] = information[k, i, axis] - vertical * up[axis]
    # By how much each solution moves with each shift, of all the parts' ground and of light.
    shifts = 3 * parts
    shift = np.zeros((solutions, 6, shifts + 1))
    for h in range(solutions):
        for i in range(6):
            for j in range(6):
                for m in range(shifts):
                    shift[h, i, m] += noise[h, i, j] * moves[j, m]
            for m in range(shifts):
                moved = share[h, m // 3] * shift[h, i, m]
                shift[h, i, m] = ground_sigma_m * moved
                shift[h, i, shifts] += moved * light_shift_m[m % 3]
    # Of two least-squares solutions, one from a subset of the other's evidence, the difference has
    # the difference of their covariances; what is not in their noise differs in itself.
    covariance, apart = np.empty(noise.shape), np.empty(noise.shape)
    for h in range(solutions):
        for i in range(6):
            for j in range(i + 1):
                whole = between = 0.0
                for m in range(shifts + 1):
                    first, second = shift[h, i, m], shift[h, j, m]
                    whole += first * second
                    between += (first - shift[0, i, m]) * (second - shift[0, j, m])
                covariance[h, i, j] = covariance[h, j, i] = noise[h, i, j] + whole
                apart[h, i, j] = apart[h, j, i] = noise[h, i, j] - noise[0, i, j] + between
    return covariance, apart
