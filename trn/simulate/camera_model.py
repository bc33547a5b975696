"""From the light that reaches the lens to a digital image: blur, exposure, noise, quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError
from trn.simulate.motion import smeared

Array32 = NDArray[np.float32]


@dataclass(frozen=True)
class SensorSettings:
    """The camera behind the lens.

    blur_sigma_px: Gaussian point spread. exposure_s: fixed; None meters each frame, within
    least_exposure_s and most_exposure_s. exposure_fraction: where metering puts the median of the
    sunlit pixels, as a fraction of full scale; less where more than `saturated_percent` of them
    would be lost in white. electrons_per_s: of a pixel at I/F = 1. full_well_electrons: signal at
    full scale (shot noise is its square root); read_noise_electrons: 1 sigma. With the defaults
    the signal is 100 times its noise at the exposure point. gain_pattern: 1-sigma share by which
    pixels differ in response; offset_pattern_electrons: in their dark level; hot_pixels: share of
    pixels that add hot_electrons_per_s; these stay the same for a pattern_seed. bits: 8 to 12;
    more than 8 gives uint16.
    """

    blur_sigma_px: float = 0.7
    exposure_s: float | None = None
    least_exposure_s: float = 2e-5
    most_exposure_s: float = 0.02
    exposure_fraction: float = 0.6
    saturated_percent: float = 2.0
    electrons_per_s: float = 2e8
    full_well_electrons: float = 17_000.0
    read_noise_electrons: float = 12.0
    gain_pattern: float = 0.002
    offset_pattern_electrons: float = 4.0
    hot_pixels: float = 2e-5
    hot_electrons_per_s: float = 1e6
    pattern_seed: int = 0
    bits: int = 8

    def __post_init__(self) -> None:
        """Raises InputError naming the field that no camera has."""
        if not 8 <= self.bits <= 12:
            raise InputError(f"camera: bits must be 8 to 12, not {self.bits}")
        if not 0.0 < self.least_exposure_s <= self.most_exposure_s:
            raise InputError("camera: least_exposure_s must be positive, most_exposure_s no less")
        if self.exposure_s is not None and not self.exposure_s > 0.0:
            raise InputError("camera: exposure_s must be positive")

    @property
    def full_scale(self) -> int:
        """The largest count."""
        return int(2**self.bits - 1)


def _through_optics(radiance: Array32, settings: SensorSettings) -> Array32:
    if settings.blur_sigma_px <= 0.0:
        return radiance
    return np.asarray(cv2.GaussianBlur(radiance, (0, 0), settings.blur_sigma_px), dtype=np.float32)


def metered_exposure_s(radiance: Array32, settings: SensorSettings) -> float:
    """Exposure of a picture (H, W), I/F: as set, or from its sunlit pixels.

    Sunlit is over a fiftieth of the brightest; without any the exposure is the longest.
    """
    if settings.exposure_s is not None:
        return settings.exposure_s
    seen = _through_optics(radiance, settings)
    sunlit = seen[seen > 0.02 * float(seen.max(initial=0.0))]
    if not sunlit.size:
        return settings.most_exposure_s
    median, bright = np.percentile(sunlit, [50.0, 100.0 - settings.saturated_percent])
    full_scale = max(float(median) / settings.exposure_fraction, float(bright))
    wanted = settings.full_well_electrons / settings.electrons_per_s / full_scale
    return float(np.clip(wanted, settings.least_exposure_s, settings.most_exposure_s))


def expose(
    radiance: Array32,
    exposure_s: float,
    settings: SensorSettings,
    rng: np.random.Generator,
    flow_px: Array32 | None = None,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The image that the camera delivers of a radiance (H, W), I/F.

    flow_px: (H, W, 2), how far the image moves during the exposure.
    """
    seen = _through_optics(radiance, settings)
    if flow_px is not None:
        seen = smeared(seen, flow_px)
    pattern = np.random.default_rng([settings.pattern_seed, seen.shape[0], seen.shape[1]])
    gain = 1.0 + settings.gain_pattern * pattern.standard_normal(seen.shape, dtype=np.float32)
    offset = settings.offset_pattern_electrons * pattern.standard_normal(seen.shape, np.float32)
    hot = pattern.random(seen.shape, dtype=np.float32) < settings.hot_pixels
    signal = np.float32(settings.electrons_per_s * exposure_s) * seen * gain
    signal += np.float32(settings.hot_electrons_per_s * exposure_s) * hot
    # Shot noise as a Gaussian: at these counts it differs from Poisson by less than read noise.
    sigma = np.sqrt(np.maximum(signal, 0.0) + np.float32(settings.read_noise_electrons**2))
    noisy = signal + offset + sigma * rng.standard_normal(seen.shape, dtype=np.float32)
    counts = np.clip(
        np.rint(noisy * np.float32(settings.full_scale / settings.full_well_electrons)),
        0,
        settings.full_scale,
    )
    if settings.bits <= 8:
        return np.asarray(counts, dtype=np.uint8)
    return np.asarray(counts, dtype=np.uint16)
