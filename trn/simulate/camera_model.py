"""From the light that reaches the lens to a digital image: blur, exposure, noise, quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array32 = NDArray[np.float32]


@dataclass(frozen=True)
class SensorSettings:
    """The camera behind the lens.

    blur_sigma_px: Gaussian point spread. exposure_fraction: where the exposure puts the median of
    the sunlit pixels, as a fraction of full scale; less where more than `saturated_percent` of
    them would be lost in white. full_well_electrons: signal at full scale (shot noise is its
    square root); read_noise_electrons: 1 sigma. With the defaults the signal is 100 times its
    noise at the exposure point. bits: 8 to 12; more than 8 gives uint16.
    """

    blur_sigma_px: float = 0.7
    exposure_fraction: float = 0.6
    saturated_percent: float = 2.0
    full_well_electrons: float = 17_000.0
    read_noise_electrons: float = 12.0
    bits: int = 8


def expose(
    radiance: Array32, settings: SensorSettings, rng: np.random.Generator
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The image that the camera delivers of a radiance (H, W), any unit, zero for no light.

    The exposure follows the sunlit pixels (over a fiftieth of the brightest); a scene without
    light gives read noise alone.
    """
    seen = radiance
    if settings.blur_sigma_px > 0.0:
        blurred = cv2.GaussianBlur(radiance, (0, 0), settings.blur_sigma_px)
        seen = np.asarray(blurred, dtype=np.float32)
    sunlit = seen[seen > 0.02 * float(seen.max(initial=0.0))]
    full_scale_radiance = 1.0
    if sunlit.size:
        median, bright = np.percentile(sunlit, [50.0, 100.0 - settings.saturated_percent])
        full_scale_radiance = max(float(median) / settings.exposure_fraction, float(bright))
    electrons = seen * np.float32(settings.full_well_electrons / full_scale_radiance)
    # Shot noise as a Gaussian: at these counts it differs from Poisson by less than read noise.
    sigma = np.sqrt(np.maximum(electrons, 0.0) + np.float32(settings.read_noise_electrons**2))
    noisy = electrons + sigma * rng.standard_normal(seen.shape, dtype=np.float32)
    full_scale = 2**settings.bits - 1
    counts = np.clip(
        np.rint(noisy * np.float32(full_scale / settings.full_well_electrons)), 0, full_scale
    )
    if settings.bits <= 8:
        return np.asarray(counts, dtype=np.uint8)
    return np.asarray(counts, dtype=np.uint16)
