"""The shape that craters share in an image because of how the camera looks at the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.detect.rim import Rims

Array = NDArray[np.float64]

FIRST_SIGMA = 0.15
"""Shapes are sought so far from a circle: one seen 45 degrees aslant has the shape 0.17."""
OWN_SIGMA = 0.06
"""How far each crater's own shape stands from the shared one."""
_SLOPE_SIGMA = 0.1


def shared_shape(rims: Rims, size: tuple[int, int]) -> Array:
    """Coefficients (3, 2) of the shape over the image: constant, per half width, per half height.

    Circles on level ground look alike, and alike from place to place up to a slow change; rims lit
    from one side tell little of their own extent across it. So the shapes of all, each with what
    is known of it but for the prior of FIRST_SIGMA about a circle, give one plane.
    """
    normal = np.zeros((3, 2, 3, 2))
    right = np.zeros((3, 2))
    design = placed(rims.values[:, :2], size)
    posterior = np.linalg.inv(rims.shape_covariance)
    data = posterior - np.eye(2) / FIRST_SIGMA**2
    # Where the data say least, rounding may leave less than nothing.
    values, vectors = np.linalg.eigh(data)
    values = np.clip(values, 0.0, None)
    known = np.einsum("nij,nj,nkj->nik", vectors, values / (1.0 + values * OWN_SIGMA**2), vectors)
    reading = np.einsum("nij,nj->ni", posterior, rims.shape)
    freed = np.einsum("nij,nj,nkj->nik", vectors, 1.0 / np.maximum(values, 1e-6), vectors)
    shape = np.clip(np.einsum("nij,nj->ni", freed, reading), -0.5, 0.5)
    normal += np.einsum("na,nij,nb->aibj", design, known, design)
    right += np.einsum("na,nij,nj->ai", design, known, shape)
    prior = np.diag(1.0 / np.array([FIRST_SIGMA, _SLOPE_SIGMA, _SLOPE_SIGMA]) ** 2)
    normal += np.einsum("ab,ij->aibj", prior, np.eye(2))
    return np.asarray(np.linalg.solve(normal.reshape(6, 6), right.reshape(6)).reshape(3, 2))


def placed(points: Array, size: tuple[int, int]) -> Array:
    """Design rows (N, 3) at image points (N, 2); size: rows and columns of the image."""
    rows, columns = size
    return np.column_stack(
        [
            np.ones(len(points)),
            2.0 * points[:, 0] / max(columns - 1, 1) - 1.0,
            2.0 * points[:, 1] / max(rows - 1, 1) - 1.0,
        ]
    )
