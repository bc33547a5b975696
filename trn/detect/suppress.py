"""Ellipses as boxes, how far boxes overlap, and one ellipse for each place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


def boxes(values: Array) -> Array:
    """The exact boxes (N, 4) around ellipses (N, 5): left, top, right, bottom, in pixels."""
    x, y, a, b, theta = values.T
    half_width = np.hypot(a * np.cos(theta), b * np.sin(theta))
    half_height = np.hypot(a * np.sin(theta), b * np.cos(theta))
    return np.column_stack([x - half_width, y - half_height, x + half_width, y + half_height])


def overlap(one: Array, other: Array) -> Array:
    """Intersection over union of boxes (N, 4) and (M, 4): (N, M)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=-1)
    area_one = np.prod(one[:, 2:] - one[:, :2], axis=-1)
    area_other = np.prod(other[:, 2:] - other[:, :2], axis=-1)
    return np.asarray(shared / (area_one[:, None] + area_other - shared))


def suppress(values: Array, score: Array, most_overlap: float) -> NDArray[np.intp]:
    """Indices of the ellipses that no surer one overlaps more than that, surest first.

    values: (N, 5). Overlap is that of the boxes; among equal scores the first one stays.
    """
    order = np.argsort(-score, kind="stable")
    left = np.ones(len(order), dtype=np.bool_)
    _strike(np.ascontiguousarray(boxes(values[order])), most_overlap, left)
    return np.asarray(order[left], dtype=np.intp)


@njit(cache=True, nogil=True)
def _strike(around: Any, most_overlap: float, left: Any) -> None:
    """Clear the marks of boxes (N, 4) that overlap an earlier one still marked by too much."""
    for k in range(around.shape[0]):
        if not left[k]:
            continue
        area = (around[k, 2] - around[k, 0]) * (around[k, 3] - around[k, 1])
        for n in range(k + 1, around.shape[0]):
            width = min(around[k, 2], around[n, 2]) - max(around[k, 0], around[n, 0])
            height = min(around[k, 3], around[n, 3]) - max(around[k, 1], around[n, 1])
            if width <= 0.0 or height <= 0.0:
                continue
            other = (around[n, 2] - around[n, 0]) * (around[n, 3] - around[n, 1])
            if width * height > most_overlap * (area + other - width * height):
                left[n] = False
