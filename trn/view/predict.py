"""The predicted view: what the camera should see from a pose, and where that cannot be said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.backend.protocol import Backend, PixelGrid, PredictedView, Shares
from trn.camera import Camera
from trn.moon.pose import Pose
from trn.view.terrain import LitTerrain


@dataclass(frozen=True, eq=False)
class View:
    """A camera at one scale over lit terrain: ready to predict."""

    backend: Backend
    camera: Camera
    terrain: LitTerrain


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted view, as the backend keeps it (see PredictedView).

    radiance: image handle, radiance factor or what was made of it; NaN where it cannot be
    predicted.
    """

    camera: Camera
    pose: Pose
    seen: PredictedView
    radiance: Any

    @property
    def shares(self) -> Shares:
        """Shares of the frame."""
        return self.seen.shares

    def points_m(self, grid: PixelGrid, cells: NDArray[np.int_]) -> NDArray[np.float64]:
        """Body-fixed terrain points, shape (N, 3), seen at cells (N,) of a grid of pixels."""
        return _points_m(
            _rays(self.camera, grid),
            self.seen.ranges_m(grid),
            cells,
            self.pose.rotation_body_to_camera(),
            np.asarray(self.pose.position_m, dtype=np.float64),
        )


@njit(cache=True, nogil=True, error_model="numpy")
def _points_m(
    rays: NDArray[np.float64],
    ranges_m: NDArray[np.float64],
    cells: NDArray[np.int_],
    rotation: NDArray[np.float64],
    position_m: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Body-fixed points (N, 3) along unit rays in camera axes; rotation: body to camera."""
    points = np.empty((cells.size, 3))
    for n in range(cells.size):
        ray, range_m = rays[cells[n]], ranges_m[cells[n]]
        for i in range(3):
            along = ray[0] * rotation[0, i] + ray[1] * rotation[1, i] + ray[2] * rotation[2, i]
            points[n, i] = position_m[i] + range_m * along
    return points


@lru_cache(maxsize=32)
def _rays(camera: Camera, grid: PixelGrid) -> NDArray[np.float64]:
    """PixelGrid.rays, kept: the grids of a camera are the same from frame to frame."""
    return grid.rays(camera)


def predict(view: View, pose: Pose) -> Prediction:
    """Render the view from a pose: exact ray-cast, Lunar-Lambert shading, cast shadows, mask."""
    terrain = view.terrain
    seen = view.backend.predict_view(
        terrain.surface,
        terrain.lit,
        terrain.tile.to_local(np.asarray(pose.position_m, dtype=np.float64)),
        view.camera,
        terrain.tile.axes @ pose.rotation_body_to_camera().T,
        terrain.sun_local,
    )
    return Prediction(view.camera, pose, seen, seen.sure)
