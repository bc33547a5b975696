"""Landmarks of a predicted view found in the image, each with a covariance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.backend.protocol import Backend, Searches
from trn.correlate.landmarks import Landmarks

SEARCH_SIGMAS = 4.0
"""Half the search window, in sigmas of the predicted place."""

LEAST_SCORE = 0.2
"""Zero-mean NCC below which a peak is no match."""


@dataclass(frozen=True, eq=False)
class LandmarkMatches:
    """What the search found, one entry a landmark searched.

    landmark: int (N,), index into the landmarks; some have no window inside the image.
    offset_px: (N, 2), found minus predicted place, in pixels of the predicted view.
    covariance_px2: (N, 2, 2). score, second_score: (N,), zero-mean NCC.
    accepted: bool (N,), peak inside its window, clear of the second peak, and high enough.
    placements: (N,), placements tried, the denominator of a chance agreement.
    """

    landmark: NDArray[np.int_]
    offset_px: NDArray[np.float64]
    covariance_px2: NDArray[np.float64]
    score: NDArray[np.float64]
    second_score: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    placements: NDArray[np.int_]


def match_landmarks(
    backend: Backend,
    image: Any,
    image_shape: tuple[int, int],
    predicted: Any,
    landmarks: Landmarks,
    place_covariance_px2: NDArray[np.float64],
    *,
    noise_area_px2: float,
    least_gap: float,
    whole_windows: bool = False,
    least_window_px: int = 3,
    most_window_px: int = 120,
) -> LandmarkMatches:
    """Search all landmarks in one batched call.

    place_covariance_px2: (N, 2, 2), of each landmark's predicted place under the prior; it sizes
        the window. noise_area_px2: area over which the difference of image and prediction is
        correlated; a template counts as size^2 / noise_area independent samples.
    least_gap: least difference of the first and the second peak's NCC (ambiguity test).
    whole_windows: leave out landmarks whose window the frame's border cuts: such a window can only
        find them inwards, which biases the height.
    """
    grid, size = landmarks.grid, landmarks.size_px
    chosen, layout = _windows(
        landmarks.cells,
        np.array((grid.first_column, grid.first_row, grid.stride, grid.columns)),
        place_covariance_px2,
        np.array((image_shape[1] - size, image_shape[0] - size)),
        size // 2,
        whole_windows,
        least_window_px,
        most_window_px,
    )
    searches = Searches(size, *layout)
    peaks = backend.correlate(image, predicted, searches)
    score = np.ascontiguousarray(peaks.score)
    accepted = peaks.inside & (score >= LEAST_SCORE) & (score - peaks.second_score >= least_gap)
    return LandmarkMatches(
        chosen,
        np.stack([peaks.x - searches.template_x, peaks.y - searches.template_y], axis=-1),
        peak_covariance(score, np.ascontiguousarray(peaks.curvature), size**2 / noise_area_px2),
        score,
        peaks.second_score,
        accepted,
        searches.window_columns.astype(np.int64) * searches.window_rows,
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _windows(
    cells: NDArray[np.int64],
    grid: NDArray[np.int64],
    place: NDArray[np.float64],
    last: NDArray[np.int64],
    half: int,
    whole: bool,
    least: int,
    most: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Which landmarks can be searched, (M,), and the six rows of Searches for them, (6, M).

    grid: (4,), first column and row of the landmarks' middles, stride, columns. place: (N, 2, 2),
    covariance of each landmark's place. last: (2,), of the placements along each axis. whole: leave
    out windows that are cut off; least, most: how far they reach.
    """
    count, found = cells.shape[0], 0
    chosen = np.empty(count, dtype=np.int64)
    layout = np.empty((6, count), dtype=np.int32)
    corner, begin, end = np.empty(2, np.int64), np.empty(2, np.int64), np.empty(2, np.int64)
    for n in range(count):
        corner[0] = grid[0] + grid[2] * (cells[n] % grid[3]) - half
        corner[1] = grid[1] + grid[2] * (cells[n] // grid[3]) - half
        searchable = True
        for axis in range(2):
            wanted = np.ceil(SEARCH_SIGMAS * math.sqrt(place[n, axis, axis])) + 1.0
            reach = int(min(max(wanted, least), most))
            begin[axis] = min(max(corner[axis] - reach, 0), last[axis])
            end[axis] = min(max(corner[axis] + reach, 0), last[axis])
            tried = end[axis] - begin[axis]
            searchable &= tried >= 2 and (tried == 2 * reach or not whole)
        if searchable:
            chosen[found] = n
            for axis in range(2):
                layout[axis, found] = corner[axis]
                layout[2 + axis, found] = begin[axis]
                layout[4 + axis, found] = end[axis] - begin[axis] + 1
            found += 1
    return chosen[:found], layout[:, :found].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def peak_covariance(
    score: NDArray[np.float64], curvature: NDArray[np.float64], samples: float
) -> NDArray[np.float64]:
    """Covariance of an NCC peak's place, (N, 2, 2), squared pixels.

    For image = a * template + noise the least-squares shift has the covariance
    noise^2 / a^2 (sum g g^T)^-1; with the NCC's peak rho and curvature C = rho sum g g^T / |T|^2
    this is (1 - rho^2) / (rho * samples) C^-1, for `samples` independent noise samples.
    Peaks without a fit (zero curvature) get one squared pixel.
    """
    covariance = np.zeros(curvature.shape)
    for n in range(score.shape[0]):
        xx, xy = curvature[n, 0, 0], curvature[n, 0, 1]
        yx, yy = curvature[n, 1, 0], curvature[n, 1, 1]
        rho, share = min(max(score[n], 0.05), 0.999), 1.0
        determinant = xx * yy - xy * yx
        if determinant > 1e-12:
            share = (1.0 - rho**2) / (rho * samples) / determinant
        else:
            xx, xy, yx, yy = 1.0, 0.0, 0.0, 1.0
        covariance[n, 0, 0], covariance[n, 1, 1] = share * yy + 1e-4, share * xx + 1e-4
        covariance[n, 0, 1], covariance[n, 1, 0] = -share * xy, -share * yx
    return covariance
