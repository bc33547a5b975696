"""Small dense algebra, compiled.

LAPACK takes ten times as long for so few numbers, and Numba some seconds to compile a call of it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

JACOBI_SWEEPS = 12
"""Each squares what is left off the diagonal: four do."""


@njit(cache=True, nogil=True, error_model="numpy")
def inverse(matrix: Array) -> Array:
    """The inverse of a matrix (N, N), by Gauss and Jordan's elimination without pivoting.

    Positive definite matrices need none, whatever their units; another one is right to rounding
    where its leading minors are far from zero. Raises LinAlgError where one of them is zero.
    """
    size = matrix.shape[0]
    left = matrix.copy()
    for k in range(size):
        if left[k, k] == 0.0:
            raise np.linalg.LinAlgError("Singular matrix")
        pivot = 1.0 / left[k, k]
        left[k, k] = 1.0
        for j in range(size):
            left[k, j] *= pivot
        for i in range(size):
            if i != k:
                factor = left[i, k]
                left[i, k] = 0.0
                for j in range(size):
                    left[i, j] -= factor * left[k, j]
    return left


@njit(cache=True, nogil=True, error_model="numpy")
def times(matrix: Array, vector: Array) -> Array:
    """The product of a matrix (N, M) and a vector (M,), shape (N,)."""
    product = np.zeros(matrix.shape[0])
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            product[i] += matrix[i, j] * vector[j]
    return product


@njit(cache=True, nogil=True, error_model="numpy")
def median(values: Array) -> float:
    """The median of values (N,), none of them NaN, N > 0: Hoare's selection."""
    kept = values.copy()
    middle = kept.shape[0] // 2
    first, last = 0, kept.shape[0] - 1
    while first < last:
        pivot, i, j = kept[middle], first, last
        while i <= j:
            while kept[i] < pivot:
                i += 1
            while pivot < kept[j]:
                j -= 1
            if i <= j:
                kept[i], kept[j] = kept[j], kept[i]
                i, j = i + 1, j - 1
        if j < middle:
            first = i
        if middle < i:
            last = j
    if kept.shape[0] % 2:
        return float(kept[middle])
    # The lower one of the two in the middle is the largest of those before.
    below = kept[0]
    for n in range(1, middle):
        below = max(below, kept[n])
    return float(0.5 * (below + kept[middle]))


@njit(cache=True, nogil=True, error_model="numpy")
def principal_axes(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues (N,) in no order, and eigenvectors, the columns of (N, N), of a symmetric matrix.

    By Jacobi's method (Golub and Van Loan 2013, Matrix Computations, section 8.5).
    """
    size = matrix.shape[0]
    left, axes = matrix.copy(), np.eye(size)
    for _ in range(JACOBI_SWEEPS):
        aside = 0.0
        for p in range(size):
            for q in range(p + 1, size):
                if left[p, q] == 0.0:
                    continue
                aside += abs(left[p, q])
                tau = (left[q, q] - left[p, p]) / (2.0 * left[p, q])
                tangent = math.copysign(1.0, tau) / (abs(tau) + math.sqrt(1.0 + tau * tau))
                c = 1.0 / math.sqrt(1.0 + tangent * tangent)
                s = tangent * c
                for k in range(size):
                    left[k, p], left[k, q] = (
                        c * left[k, p] - s * left[k, q],
                        s * left[k, p] + c * left[k, q],
                    )
                for k in range(size):
                    left[p, k], left[q, k] = (
                        c * left[p, k] - s * left[q, k],
                        s * left[p, k] + c * left[q, k],
                    )
                    axes[k, p], axes[k, q] = (
                        c * axes[k, p] - s * axes[k, q],
                        s * axes[k, p] + c * axes[k, q],
                    )
        if aside == 0.0:
            break
    return np.diag(left).copy(), axes
