"""Where a predicted view cannot be relied on, and what it shows: the CPU's way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import HIT, SKY, PixelGrid, Shares

EDGE_JUMP = 4.0
"""A second difference of range above this many pixel footprints is a ridge's edge."""


@dataclass(frozen=True, eq=False)
class CpuView:
    """See PredictedView. All (height, width).

    sure, shaded: float32. range_m: float64, NaN without a hit. state: uint8, as Hits has it. lit:
    float32, lit fraction, NaN without a hit.
    """

    sure: NDArray[np.float32]
    shaded: NDArray[np.float32]
    range_m: NDArray[np.float64]
    state: NDArray[np.uint8]
    lit: NDArray[np.float32]

    @cached_property
    def shares(self) -> Shares:
        """See PredictedView.shares."""
        hit = self.state == HIT
        return shares_of(
            self.state.size,
            int((self.state == SKY).sum()),
            int(hit.sum()),
            int((self.lit[hit] > 0.5).sum()),
        )

    def ranges_m(self, grid: PixelGrid) -> NDArray[np.float64]:
        """See PredictedView.ranges_m."""
        return self.range_m[grid.slices].ravel()


def shares_of(pixels: int, sky: int, hits: int, lit: int) -> Shares:
    """Shares from numbers of pixels: all, of the sky, of terrain, of sunlit terrain."""
    return Shares(sky / pixels, (pixels - sky - hits) / pixels, lit / hits if hits else 0.0)


def masked(
    radiance: NDArray[np.float32],
    range_m: NDArray[np.float64],
    state: NDArray[np.uint8],
    lit: NDArray[np.float32],
    focal_px: float,
) -> NDArray[np.float32]:
    """Radiance without edges of shadows and what lies behind ridges; all (height, width).

    focal_px: the camera's shorter focal length.
    """
    doubtful = _shadow_edges(lit) | _range_edges(range_m, state == HIT, focal_px)
    return np.where(doubtful, np.float32(np.nan), radiance)


def _shadow_edges(lit: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels at the border of light and cast shadow."""
    known = np.where(np.isfinite(lit), lit, 1.0).astype(np.float32)
    if known.min() >= 1.0:
        return np.zeros(lit.shape, dtype=bool)
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(known, kernel) - cv2.erode(known, kernel) > 0.5)


def _range_edges(
    range_m: NDArray[np.float64], hit: NDArray[np.bool_], focal_px: float
) -> NDArray[np.bool_]:
    """Pixels at a jump of range, where terrain hides behind a ridge, or at the limb."""
    known = np.where(hit, range_m, 0.0).astype(np.float32)
    bend = np.maximum(
        np.abs(cv2.filter2D(known, -1, np.array([[1.0, -2.0, 1.0]]))),
        np.abs(cv2.filter2D(known, -1, np.array([[1.0], [-2.0], [1.0]]))),
    )
    return np.asarray(bend > np.float32(EDGE_JUMP / focal_px) * known)
