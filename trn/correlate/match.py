"""Landmarks of a predicted view found in the image, each with a covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
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
    height, width = image_shape
    size = landmarks.size_px
    half = size // 2
    sigma = np.sqrt(np.einsum("nii->ni", place_covariance_px2))
    reach = np.clip(np.ceil(SEARCH_SIGMAS * sigma) + 1, least_window_px, most_window_px)
    reach = reach.astype(np.int64)
    columns, rows = landmarks.centres()
    left = np.clip(columns - half - reach[:, 0], 0, width - size)
    right = np.clip(columns - half + reach[:, 0], 0, width - size)
    top = np.clip(rows - half - reach[:, 1], 0, height - size)
    bottom = np.clip(rows - half + reach[:, 1], 0, height - size)
    searchable = (right - left >= 2) & (bottom - top >= 2)
    if whole_windows:
        searchable &= (right - left == 2 * reach[:, 0]) & (bottom - top == 2 * reach[:, 1])
    chosen = np.flatnonzero(searchable)

    def part(values: NDArray[Any]) -> NDArray[np.int32]:
        return values[chosen].astype(np.int32)

    searches = Searches(
        size,
        part(columns - half),
        part(rows - half),
        part(left),
        part(top),
        part(right - left + 1),
        part(bottom - top + 1),
    )
    peaks = backend.correlate(image, predicted, searches)
    offset = np.stack(
        [peaks.x - searches.template_x, peaks.y - searches.template_y], axis=-1
    ).astype(np.float64)
    accepted = (
        peaks.inside
        & (peaks.score >= LEAST_SCORE)
        & (peaks.score - peaks.second_score >= least_gap)
    )
    return LandmarkMatches(
        chosen,
        offset,
        peak_covariance(peaks.score, peaks.curvature, size**2 / noise_area_px2),
        peaks.score,
        peaks.second_score,
        accepted,
        searches.window_columns.astype(np.int64) * searches.window_rows,
    )


def peak_covariance(
    score: NDArray[np.float64], curvature: NDArray[np.float64], samples: float
) -> NDArray[np.float64]:
    """Covariance of an NCC peak's place, (N, 2, 2), squared pixels.

    For image = a * template + noise the least-squares shift has the covariance
    noise^2 / a^2 (sum g g^T)^-1; with the NCC's peak rho and curvature C = rho sum g g^T / |T|^2
    this is (1 - rho^2) / (rho * samples) C^-1, for `samples` independent noise samples.
    Peaks without a fit (zero curvature) get one squared pixel.
    """
    rho = np.clip(score, 0.05, 0.999)
    xx, xy = curvature[:, 0, 0], curvature[:, 0, 1]
    yx, yy = curvature[:, 1, 0], curvature[:, 1, 1]
    determinant = xx * yy - xy * yx
    fitted = determinant > 1e-12
    share = np.where(fitted, (1 - rho**2) / (rho * samples), 1.0)
    share /= np.where(fitted, determinant, 1.0)
    covariance = np.empty(curvature.shape)
    covariance[:, 0, 0] = share * np.where(fitted, yy, 1.0) + 1e-4
    covariance[:, 1, 1] = share * np.where(fitted, xx, 1.0) + 1e-4
    covariance[:, 0, 1] = -share * np.where(fitted, xy, 0.0)
    covariance[:, 1, 0] = -share * np.where(fitted, yx, 0.0)
    return covariance
