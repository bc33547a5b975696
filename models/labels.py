"""Which craters of a rendered scene can be seen, and as what ellipses.

A crater is a label where its bowl stands out in the ground as it was laid (later craters wipe out
older ones) and in the picture: light and shade across it must follow those of a bowl under that
Sun. What is a crater but too faint to ask for is ignored: neither a hit nor a false alarm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from models.ground import Ground
from trn.camera import Camera
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.pose import Pose

Array = NDArray[np.float64]

LEAST_LABEL_PX = 8.0
LEAST_KEPT_PX = 4.5

# Chosen by looking at renderings: at these a crater is plain to the eye at 2x magnification.
_LEAST_DEPTH = 0.03  # of the diameter, rim to inner bowl
_LEAST_DEPTH_LEFT = 0.45  # of what was drawn
_LEAST_CORRELATION, _LEAST_SIGNAL = 0.5, 0.10
# Below these nothing is seen at all.
_BLIND_CORRELATION, _BLIND_SIGNAL = 0.15, 0.025

_RIM_POINTS = 24


@dataclass(frozen=True)
class Labels:
    """Ellipses (x, y, a, b, theta) of the craters to find and of those to leave out of count."""

    seen: Array
    ignored: Array


def label(
    ground: Ground, radiance: NDArray[np.float32], camera: Camera, pose: Pose, sun_px: float
) -> Labels:
    """The labels of a picture (H, W) without noise.

    sun_px: direction that the light comes from in the image, radians from +x towards +y.
    """
    ellipses, depth_m = _projected(ground, camera, pose)
    x, y, a, b, _ = ellipses.T
    with np.errstate(invalid="ignore"):
        inside = (x >= 0) & (y >= 0) & (x <= camera.width - 1) & (y <= camera.height - 1)
        kept = inside & (2.0 * np.sqrt(a * b) >= LEAST_KEPT_PX) & np.isfinite(ellipses).all(axis=1)
    ellipses, depth_m = ellipses[kept], depth_m[kept]
    diameter_m, expected_m = ground.craters[kept, 2], ground.expected_m[kept]
    signal = np.empty((len(ellipses), 2))
    _signals(radiance, ellipses, math.cos(sun_px), math.sin(sun_px), signal)
    large = np.sqrt(4.0 * ellipses[:, 2] * ellipses[:, 3]) >= LEAST_LABEL_PX
    deep = depth_m > _LEAST_DEPTH * diameter_m
    deep &= np.isnan(expected_m) | (depth_m > _LEAST_DEPTH_LEFT * expected_m)
    clear = (signal[:, 0] > _LEAST_CORRELATION) & (signal[:, 1] > _LEAST_SIGNAL)
    blind = (signal[:, 0] < _BLIND_CORRELATION) | (signal[:, 1] < _BLIND_SIGNAL)
    seen = large & deep & clear
    return Labels(ellipses[seen], ellipses[~seen & ~(blind & ~large)])


def _projected(ground: Ground, camera: Camera, pose: Pose) -> tuple[Array, Array]:
    """Ellipses of all craters in the image, and the depth of each below its rim (metres).

    The rim is the circle on the plane through the ground's heights around it; its image is taken
    as affine, from the moments of points spread evenly along it.
    """
    frame = ground.patch.frame
    angle = 2.0 * math.pi * np.arange(_RIM_POINTS) / _RIM_POINTS
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    radius = 0.5 * ground.craters[:, 2, None, None] / REFERENCE_RADIUS_M
    centre = ground.craters[:, None, :2]
    rim = centre + radius * ring
    height = _heights(ground, rim)
    level = height.mean(axis=1)
    slopes = 2.0 * (height[:, :, None] * ring).mean(axis=1)
    inner = _heights(ground, np.concatenate([centre, centre + 0.3 * radius * ring[::3]], axis=1))
    plane = level[:, None] + slopes @ ring.T
    directions = frame[2] + rim[..., :1] * frame[0] + rim[..., 1:] * frame[1]
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    points = directions * (REFERENCE_RADIUS_M + plane)[..., None]
    pixels = camera.project(pose.to_camera(points))
    middle = pixels.mean(axis=1)
    spread = pixels - middle[:, None]
    covariance = 2.0 * np.einsum("npi,npj->nij", spread, spread) / _RIM_POINTS
    covariance[~np.isfinite(covariance).all(axis=(1, 2))] = np.eye(2)
    values, vectors = np.linalg.eigh(covariance)
    b, a = np.sqrt(np.maximum(values, 1e-9)).T
    theta = np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1])
    return np.column_stack([middle, a, b, theta]), level - inner.mean(axis=1)


def _heights(ground: Ground, uv: Array) -> Array:
    """Ground heights at gnomonic places (..., 2); NaN off the patch."""
    frame = ground.patch.frame
    return ground.patch.height_at(frame[2] + uv[..., :1] * frame[0] + uv[..., 1:] * frame[1])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _signals(image: Any, ellipses: Any, sun_x: float, sun_y: float, out: Any) -> None:
    """Correlation of each crater's picture with a bowl's under that light, and its contrast.

    A bowl is bright on the wall that faces the Sun, away from it, and dark on the near one; around
    it the ground is level. Contrast: bright half less dark half over the mean around.
    """
    rows, columns = image.shape
    for k in range(ellipses.shape[0]):
        x0, y0, a, b, theta = ellipses[k]
        c, s = math.cos(theta), math.sin(theta)
        reach = 1.4 * a + 1.0
        n = 0
        total = squares = template = template_squares = product = 0.0
        bright = dark = 0.0
        n_bright = n_dark = 0
        for y in range(max(0, int(y0 - reach)), min(rows, int(y0 + reach) + 2)):
            for x in range(max(0, int(x0 - reach)), min(columns, int(x0 + reach) + 2)):
                dx, dy = x - x0, y - y0
                p, q = (c * dx + s * dy) / a, (c * dy - s * dx) / b
                rho = p * p + q * q
                if rho > 1.96:
                    continue
                # Towards the Sun, in the ground's circle seen as an ellipse.
                along = -(dx * sun_x + dy * sun_y) / math.sqrt(a * b) if rho <= 1.0 else 0.0
                value = image[y, x]
                n += 1
                total += value
                squares += value * value
                template += along
                template_squares += along * along
                product += value * along
                if along > 0.2:
                    bright += value
                    n_bright += 1
                elif along < -0.2:
                    dark += value
                    n_dark += 1
        out[k, 0] = out[k, 1] = 0.0
        if n < 9 or n_bright == 0 or n_dark == 0 or total <= 0.0:
            continue
        mean, middle = total / n, template / n
        spread = (squares / n - mean * mean) * (template_squares / n - middle * middle)
        if spread > 0.0:
            out[k, 0] = (product / n - mean * middle) / math.sqrt(spread)
        out[k, 1] = (bright / n_bright - dark / n_dark) / mean
