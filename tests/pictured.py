"""Pictures of craters whose rims are known."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def craters_pictured(
    ellipses: Array, side_px: int, sun_px: float, noise: float = 3.0, seed: int = 0
) -> NDArray[np.uint8]:
    """Bowls (N, 5) with raised rims on level ground, lit from sun_px, uint8 (side, side)."""
    y, x = np.mgrid[:side_px, :side_px].astype(np.float64)
    shade = np.zeros((side_px, side_px))
    for cx, cy, a, b, theta in ellipses:
        c, s = math.cos(theta), math.sin(theta)
        p = (c * (x - cx) + s * (y - cy)) / a
        q = (c * (y - cy) - s * (x - cx)) / b
        rho = np.hypot(p, q)
        height = np.where(
            rho < 1.0, 0.35 * (rho**2 - 1.0) + 0.06, 0.06 * np.maximum(rho, 1.0) ** -4
        )
        height *= math.sqrt(a * b)
        dy, dx = np.gradient(height)
        # Ground that falls towards the Sun is bright.
        shade -= dx * math.cos(sun_px) + dy * math.sin(sun_px)
    picture = 120.0 + 90.0 * shade
    picture += noise * np.random.default_rng(seed).normal(size=picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)
