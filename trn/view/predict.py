"""The predicted view: what the camera should see from a pose, and where that cannot be said."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import HIT, SKY, Backend
from trn.camera import Camera
from trn.moon.pose import Pose
from trn.view.terrain import LitTerrain

EDGE_JUMP = 4.0
"""A second difference of range above this many pixel footprints is a ridge's edge."""


@dataclass(frozen=True, eq=False)
class View:
    """A camera at one scale over lit terrain: ready to predict."""

    backend: Backend
    camera: Camera
    terrain: LitTerrain


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted view.

    radiance: float32 (height, width), radiance factor; NaN where it cannot be predicted (sky,
        nodata, off the map, shadow edge, behind a ridge).
    shaded: the same with the doubtful pixels (shadow edge, behind a ridge) as rendered.
    range_m: float64 (height, width), along the pixel's ray; NaN without a hit.
    sky, no_data, lit_share: shares of the frame that see the sky and terrain without data, and the
        share of the terrain seen that lies in sunlight.
    """

    camera: Camera
    pose: Pose
    radiance: NDArray[np.float32]
    shaded: NDArray[np.float32]
    range_m: NDArray[np.float64]
    sky: float
    no_data: float
    lit_share: float

    def points_m(self, columns: NDArray[np.int_], rows: NDArray[np.int_]) -> NDArray[np.float64]:
        """Body-fixed terrain points, shape (N, 3), seen at whole pixels."""
        pixels = np.stack([columns, rows], axis=-1).astype(np.float64)
        chosen = self.camera.pixels_to_rays(pixels)
        seen = chosen * self.range_m[rows, columns][:, None]
        return np.asarray(self.pose.position_m + seen @ self.pose.rotation_body_to_camera())


def predict(view: View, pose: Pose) -> Prediction:
    """Render the view from a pose: exact ray-cast, Lunar-Lambert shading, cast shadows, mask."""
    shape = (view.camera.height, view.camera.width)
    terrain = view.terrain
    to_local = terrain.tile.axes @ pose.rotation_body_to_camera().T
    origin = terrain.tile.to_local(np.asarray(pose.position_m, dtype=np.float64))
    hits = view.backend.ray_cast_view(terrain.surface, origin, view.camera, to_local)
    radiance, lit = view.backend.shade(
        terrain.surface, terrain.lit, hits, origin, terrain.sun_local
    )
    radiance, lit = radiance.reshape(shape), lit.reshape(shape)
    range_m, state = hits.range_m.reshape(shape), hits.state.reshape(shape)
    hit = state == HIT
    sky = state == SKY
    doubtful = _shadow_edges(lit) | _range_edges(range_m, hit, view.camera)
    sure = np.where(doubtful, np.float32(np.nan), radiance)
    return Prediction(
        view.camera,
        pose,
        sure,
        radiance,
        range_m,
        float(sky.mean()),
        float((~hit & ~sky).mean()),
        float((lit[hit] > 0.5).mean()) if hit.any() else 0.0,
    )


def _shadow_edges(lit: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels at the border of light and cast shadow."""
    known = np.where(np.isfinite(lit), lit, 1.0).astype(np.float32)
    if known.min() >= 1.0:
        return np.zeros(lit.shape, dtype=bool)
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(known, kernel) - cv2.erode(known, kernel) > 0.5)


def _range_edges(
    range_m: NDArray[np.float64], hit: NDArray[np.bool_], camera: Camera
) -> NDArray[np.bool_]:
    """Pixels at a jump of range, where terrain hides behind a ridge, or at the limb."""
    known = np.where(hit, range_m, 0.0).astype(np.float32)
    bend = np.maximum(
        np.abs(cv2.filter2D(known, -1, np.array([[1.0, -2.0, 1.0]]))),
        np.abs(cv2.filter2D(known, -1, np.array([[1.0], [-2.0], [1.0]]))),
    )
    return np.asarray(bend > EDGE_JUMP * known / min(camera.fx, camera.fy))
