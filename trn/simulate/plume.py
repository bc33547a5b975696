"""Dust that the engine blows up before touchdown: a veil over the picture, streaked outwards."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.pose import Pose

Array32 = NDArray[np.float32]

FIRST_DUST_ALTITUDE_M = 50.0
"""Apollo crews saw the first dust 30 to 60 m up (Metzger et al. 2011, JGR 116, E06005)."""

# A veil scatters about as bright as sunlit ground of its own kind.
_DUST_BRIGHTNESS = 0.8
_STREAKS = 0.35
_BLUR_SIGMA_OF_WIDTH = 0.004


def through_dust(
    radiance: Array32,
    camera: Camera,
    pose: Pose,
    altitude_m: float,
    optical_depth: float,
    seed: int,
) -> Array32:
    """A picture (H, W) as dust lets it through; unchanged at 50 m and above.

    optical_depth: at touchdown; it grows with the square of how far the lander is under 50 m. The
    veil replaces what it hides, in streaks away from below the engine, and blurs what is left.
    """
    near = 1.0 - max(altitude_m, 0.0) / FIRST_DUST_ALTITUDE_M
    if near <= 0.0 or optical_depth <= 0.0:
        return radiance
    lit = radiance[radiance > 0.02 * float(radiance.max(initial=0.0))]
    brightness = _DUST_BRIGHTNESS * (float(np.median(lit)) if lit.size else 0.0)
    down = -pose.rotation_body_to_camera() @ (pose.position_m / np.linalg.norm(pose.position_m))
    # Below the camera; where it looks level, far along the way to nadir.
    x = camera.cx + camera.fx * down[0] / max(down[2], 0.05)
    y = camera.cy + camera.fy * down[1] / max(down[2], 0.05)
    rows, columns = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    angle = np.arctan2(rows - np.float32(y), columns - np.float32(x))
    wave = np.random.default_rng([seed, 50]).normal(size=(6, 2)) / np.sqrt(6.0)
    streaks = sum(
        (wave[k, 0] * np.cos((5 + 7 * k) * angle) + wave[k, 1] * np.sin((5 + 7 * k) * angle))
        for k in range(6)
    )
    depth = optical_depth * near**2 * np.clip(1.0 + _STREAKS * streaks, 0.1, 3.0)
    passed = np.exp(-depth).astype(np.float32)
    blur = max(_BLUR_SIGMA_OF_WIDTH * camera.width * near**2 * min(optical_depth, 3.0), 0.1)
    ground = np.asarray(cv2.GaussianBlur(radiance, (0, 0), blur), dtype=np.float32)
    return np.asarray(ground * passed + np.float32(brightness) * (1 - passed), dtype=np.float32)
