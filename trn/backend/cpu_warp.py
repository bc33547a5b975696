"""Images resampled from one camera to another: the CPU's way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera


def check_warp(shape: tuple[int, ...], camera: Camera, target: Camera) -> None:
    """Raise ValueError for an image that is not of its camera's size and for a distorted target."""
    if shape != (camera.height, camera.width):
        raise ValueError(f"an image of shape {shape} is not of a {camera.width} x {camera.height}")
    if any(target.distortion):
        raise ValueError("the camera to warp to must have no distortion")


def warp(image: NDArray[np.float32], camera: Camera, target: Camera) -> NDArray[np.float32]:
    """See Backend.warp. Each target pixel's ray is projected into the image and read bilinearly."""
    check_warp(image.shape, camera, target)
    columns, rows = np.meshgrid(np.arange(target.width), np.arange(target.height))
    x = (columns - target.cx) / target.fx
    y = (rows - target.cy) / target.fy
    places = camera.project(np.stack([x, y, np.ones_like(x)], axis=-1))
    px, py = places[..., 0], places[..., 1]
    with np.errstate(invalid="ignore"):
        seen = (px >= 0) & (py >= 0) & (px <= camera.width - 1) & (py <= camera.height - 1)
    px, py = np.where(seen, px, 0.0), np.where(seen, py, 0.0)
    left, upper = px.astype(int), py.astype(int)
    right = np.minimum(left + 1, camera.width - 1)
    lower = np.minimum(upper + 1, camera.height - 1)
    u, v = px - left, py - upper
    above = (1.0 - u) * image[upper, left] + u * image[upper, right]
    below = (1.0 - u) * image[lower, left] + u * image[lower, right]
    return np.where(seen, (1.0 - v) * above + v * below, np.nan).astype(np.float32)
