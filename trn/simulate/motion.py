"""How the image moves while the shutter is open."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
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
    return np.asarray(
        np.stack(
            [
                cv2.resize(flow[..., axis].astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
                for axis in range(2)
            ],
            axis=-1,
        )
    )


def smeared(image: Array32, flow_px: Array32) -> Array32:
    """An image averaged along each pixel's own path, flow_px (H, W, 2) long and centred on it."""
    longest = float(np.abs(flow_px).max())
    if longest < _LEAST_SMEAR_PX:
        return image
    taps = int(np.clip(np.ceil(longest), 2, _MOST_TAPS))
    columns, rows = np.meshgrid(
        np.arange(image.shape[1], dtype=np.float32), np.arange(image.shape[0], dtype=np.float32)
    )
    total = np.zeros_like(image)
    for k in range(taps):
        share = np.float32((k + 0.5) / taps - 0.5)
        total += cv2.remap(
            image,
            columns + share * flow_px[..., 0],
            rows + share * flow_px[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return np.asarray(total / np.float32(taps))
