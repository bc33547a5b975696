"""Zero-mean NCC of many templates, each in its own window: the CPU's way.

The correlation planes come from OpenCV's matchTemplate; peak, second peak and curvature from a
small Numba kernel on each plane.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.backend.protocol import Peaks, Searches

EXCLUSION_SHARE = 0.25
"""Second peaks are sought beyond this share of the template's side around the peak."""


def exclusion_px(size_px: int) -> int:
    """How far from a peak, in pixels along an axis, second peaks of a template are left out."""
    return max(2, round(EXCLUSION_SHARE * size_px))


def peaks_of(found: NDArray[np.float64], searches: Searches) -> Peaks:
    """What find_peak found in each window, float64 (N, 8), as places in the image."""
    curvature = np.stack([found[:, 4], found[:, 5], found[:, 5], found[:, 6]], axis=-1)
    return Peaks(
        found[:, 0] + searches.window_x,
        found[:, 1] + searches.window_y,
        found[:, 2],
        found[:, 3],
        curvature.reshape(len(searches), 2, 2),
        found[:, 7] > 0,
    )


def gather_template(predicted: NDArray[np.float32], x: int, y: int, size: int) -> Any:
    """One template, float32 (size, size); what is not predictable takes the template's mean.

    A pixel at the mean adds nothing to a zero-mean correlation.
    """
    template = predicted[y : y + size, x : x + size]
    known = np.isfinite(template)
    if known.all():
        return np.ascontiguousarray(template)
    mean = template[known].mean() if known.any() else np.float32(0)
    return np.where(known, template, mean).astype(np.float32)


def correlation_plane(
    image: NDArray[np.float32], predicted: NDArray[np.float32], searches: Searches, k: int
) -> NDArray[np.float32]:
    """Zero-mean NCC of template k at every placement of its window, float32 (rows, columns)."""
    size = searches.size_px
    template = gather_template(
        predicted, int(searches.template_x[k]), int(searches.template_y[k]), size
    )
    x, y = int(searches.window_x[k]), int(searches.window_y[k])
    window = image[
        y : y + int(searches.window_rows[k]) + size - 1,
        x : x + int(searches.window_columns[k]) + size - 1,
    ]
    plane: NDArray[np.float32] = cv2.matchTemplate(window, template, cv2.TM_CCOEFF_NORMED)  # type: ignore[assignment]
    return plane


@njit(cache=True, nogil=True)
def find_peak(plane: Any, exclusion: int, out: Any) -> None:
    """Peak of one plane: out = (x, y, score, second score, c_xx, c_xy, c_yy, inside).

    The peak is the vertex of the least-squares paraboloid through its 3 x 3 neighbourhood; c is
    minus its Hessian. Planes can hold non-finite values where a window is constant: taken as -1.
    """
    rows, columns = plane.shape
    best = -2.0
    bx = 0
    by = 0
    for y in range(rows):
        for x in range(columns):
            value = plane[y, x]
            if not (value <= 1.5 and value >= -1.5):
                plane[y, x] = -1.0
                value = -1.0
            if value > best:
                best = value
                bx = x
                by = y
    second = -1.0
    for y in range(rows):
        for x in range(columns):
            if (abs(x - bx) > exclusion or abs(y - by) > exclusion) and plane[y, x] > second:
                second = plane[y, x]
    out[3] = second
    fit_peak(plane, bx, by, out)


@njit(cache=True, nogil=True)
def fit_peak(plane: Any, bx: int, by: int, out: Any) -> None:
    """Sub-pixel peak around placement (bx, by) of a plane, into `out` as find_peak leaves it.

    The second score stays as it is.
    """
    rows, columns = plane.shape
    best = plane[by, bx]
    out[0] = bx
    out[1] = by
    out[2] = best
    out[4] = 0.0
    out[5] = 0.0
    out[6] = 0.0
    out[7] = 0.0
    if bx < 1 or by < 1 or bx > columns - 2 or by > rows - 2:
        return
    sx = 0.0
    sy = 0.0
    sxx = 0.0
    syy = 0.0
    sxy = 0.0
    total = 0.0
    for j in range(-1, 2):
        for i in range(-1, 2):
            value = plane[by + j, bx + i]
            total += value
            sx += i * value
            sy += j * value
            sxx += i * i * value
            syy += j * j * value
            sxy += i * j * value
    gx = sx / 6.0
    gy = sy / 6.0
    hxx = sxx - 2.0 * total / 3.0
    hyy = syy - 2.0 * total / 3.0
    hxy = sxy / 4.0
    determinant = hxx * hyy - hxy * hxy
    if not (hxx < 0.0 and determinant > 0.0):
        return
    dx = -(hyy * gx - hxy * gy) / determinant
    dy = -(hxx * gy - hxy * gx) / determinant
    if abs(dx) > 1.0 or abs(dy) > 1.0:
        return
    out[0] = bx + dx
    out[1] = by + dy
    out[2] = min(best + 0.5 * (gx * dx + gy * dy), 1.0)
    out[4] = -hxx
    out[5] = -hxy
    out[6] = -hyy
    out[7] = 1.0
