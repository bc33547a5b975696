"""How the image moves while the shutter is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.pose import Pose

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

_NODES = 33
# Stands in for the sky's infinite depth.
_SKY_M = 1e9
# Less than this cannot be told from the optics' own blur.
_LEAST_SMEAR_PX = 0.1
_MOST_TAPS = 96
# Columns and rows come in one array.
_NO_MAP: Any = None


@dataclass(frozen=True)
class Motion:
    """Motion of a camera over ground.

    velocity_m_per_s: (3,), MOON_ME. angular_rate_rad_per_s: (3,), against MOON_ME, camera axes.
    """

    velocity_m_per_s: Array
    angular_rate_rad_per_s: Array


def image_motion(camera: Camera, pose: Pose, depth_m: Array32, motion: Motion) -> Array32:
    """Image velocity of the ground in each pixel, (H, W, 2), pixels a second.

    depth_m: (H, W), along the pixels' rays, NaN for sky. A point p in camera axes moves with
    -R v - omega x p; evaluated on a grid of nodes and interpolated between them.
    """
    rows = np.linspace(0, camera.height - 1, _NODES).round().astype(int)
    columns = np.linspace(0, camera.width - 1, _NODES).round().astype(int)
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float64)
    depth = np.nan_to_num(depth_m[np.ix_(rows, columns)].astype(np.float64), nan=_SKY_M)
    points = depth[..., None] * camera.pixels_to_rays(pixels)
    velocity = pose.rotation_body_to_camera() @ motion.velocity_m_per_s
    rate = -velocity - np.cross(motion.angular_rate_rad_per_s, points)
    flow = np.einsum("...ij,...j->...i", camera.project_jacobian(points), rate)
    size = (camera.width, camera.height)
    moved = cv2.resize(flow.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(moved, dtype=np.float32)


def smeared(image: Array32, flow_px: Array32) -> Array32:
    """An image averaged along each pixel's own path, flow_px (H, W, 2) long and centred on it."""
    longest = max(float(flow_px.max()), -float(flow_px.min()))
    if longest < _LEAST_SMEAR_PX:
        return image
    taps = int(np.clip(np.ceil(longest), 2, _MOST_TAPS))
    places = np.empty_like(flow_px)
    shifted, total = np.empty_like(image), np.zeros_like(image)
    for k in range(taps):
        _places(flow_px, np.float32((k + 0.5) / taps - 0.5), places)
        cv2.remap(
            image, places, _NO_MAP, cv2.INTER_LINEAR, dst=shifted, borderMode=cv2.BORDER_REPLICATE
        )
        total += shifted
    total /= np.float32(taps)
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _places(flow_px: Any, share: np.float32, places: Any) -> None:
    """Columns and rows of all pixels, moved by a share of their flow."""
    for row in range(flow_px.shape[0]):
        for column in range(flow_px.shape[1]):
            places[row, column, 0] = np.float32(column) + share * flow_px[row, column, 0]
            places[row, column, 1] = np.float32(row) + share * flow_px[row, column, 1]
