"""Which parts of a predicted view are worth looking for."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SHARE_PREDICTABLE = 0.8
"""A template needs this share of its pixels predictable."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Square templates in a predicted view.

    size_px: their side, odd. columns, rows: int (N,), their centre pixels.
    information: (N,), smaller eigenvalue of the gradient tensor summed over the template.
    """

    size_px: int
    columns: NDArray[np.int_]
    rows: NDArray[np.int_]
    information: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.columns.size)


def choose_landmarks(
    predicted: NDArray[np.float32], size_px: int, stride_px: int, most: int, margin_px: int = 0
) -> Landmarks:
    """The most informative templates on a regular grid, so that they are spread over the frame.

    predicted: float32 (height, width), NaN where not predictable. size_px: odd. margin_px: kept
    free at the frame's border, so that a search window fits in whole: one cut off by the border can
    only find the landmark inwards of it.
    Expected information is the smaller eigenvalue of the gradient tensor (Shi and Tomasi 1994)
    under the light of this view; a template without texture is left out.
    """
    height, width = predicted.shape
    half = size_px // 2
    edge = half + margin_px
    known = np.isfinite(predicted)
    filled = np.where(known, predicted, np.float32(0)).astype(np.float32)
    gx = cv2.Scharr(filled, cv2.CV_32F, 1, 0, scale=1 / 32)
    gy = cv2.Scharr(filled, cv2.CV_32F, 0, 1, scale=1 / 32)
    sure = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    gx[~sure] = 0
    gy[~sure] = 0

    def over_template(values: NDArray[np.float32]) -> NDArray[np.float32]:
        summed: NDArray[np.float32] = cv2.boxFilter(  # type: ignore[assignment]
            values, cv2.CV_32F, (size_px, size_px), normalize=False
        )
        return summed

    gxx, gyy, gxy = (over_template(p) for p in (gx * gx, gy * gy, gx * gy))
    share = over_template(known.astype(np.float32)) / size_px**2
    least = 0.5 * (gxx + gyy - np.sqrt((gxx - gyy) ** 2 + 4 * gxy**2))

    rows = np.arange(edge, height - edge, stride_px)
    columns = np.arange(edge, width - edge, stride_px)
    if rows.size == 0 or columns.size == 0:
        empty = np.zeros(0, dtype=int)
        return Landmarks(size_px, empty, empty, np.zeros(0))
    rows += (height - edge - 1 - int(rows[-1])) // 2
    columns += (width - edge - 1 - int(columns[-1])) // 2
    grid_rows, grid_columns = (g.ravel() for g in np.meshgrid(rows, columns, indexing="ij"))
    information = least[grid_rows, grid_columns].astype(np.float64)
    usable = (
        (share[grid_rows, grid_columns] >= SHARE_PREDICTABLE)
        & known[grid_rows, grid_columns]
        & (information > 1e-9)
    )
    order = np.argsort(-information[usable], kind="stable")[:most]
    return Landmarks(
        size_px,
        grid_columns[usable][order],
        grid_rows[usable][order],
        information[usable][order],
    )
