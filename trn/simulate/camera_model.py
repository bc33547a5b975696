"""From the light that reaches the lens to a digital image: blur, exposure, noise, quantisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError
from trn.simulate.bands import over_bands
from trn.simulate.motion import smeared
from trn.simulate.percentile import percentiles_over

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
    return _metered(_through_optics(radiance, settings), settings)


def _metered(seen: Array32, settings: SensorSettings) -> float:
    """Exposure of a picture on the sensor."""
    least = 0.02 * float(seen.max(initial=0.0))
    found = percentiles_over(seen, least, (50.0, 100.0 - settings.saturated_percent))
    if found is None:
        return settings.most_exposure_s
    median, bright = found
    full_scale = max(median / settings.exposure_fraction, bright)
    wanted = settings.full_well_electrons / settings.electrons_per_s / full_scale
    return float(np.clip(wanted, settings.least_exposure_s, settings.most_exposure_s))


def photographed(
    radiance: Array32,
    settings: SensorSettings,
    rng: np.random.Generator,
    motion_px_per_s: Array32 | None = None,
) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], float]:
    """The image that the camera delivers of a radiance (H, W), I/F, and its exposure, metered.

    motion_px_per_s: (H, W, 2), how fast the image moves.
    """
    seen = _through_optics(radiance, settings)
    exposure_s = settings.exposure_s or _metered(seen, settings)
    flow = None if motion_px_per_s is None else motion_px_per_s * exposure_s
    return _developed(seen, exposure_s, settings, rng, flow), exposure_s


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
    return _developed(_through_optics(radiance, settings), exposure_s, settings, rng, flow_px)


def _developed(
    seen: Array32,
    exposure_s: float,
    settings: SensorSettings,
    rng: np.random.Generator,
    flow_px: Array32 | None,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The image of a picture on the sensor; see `expose`."""
    if flow_px is not None:
        seen = smeared(seen, flow_px)
    rows, columns = seen.shape
    gain, offset, hot = _pattern(
        settings.pattern_seed, rows, columns, settings.gain_pattern,
        settings.offset_pattern_electrons, settings.hot_pixels,
    )  # fmt: skip
    noise = rng.standard_normal(seen.shape, dtype=np.float32)
    counts = np.empty(seen.shape, np.uint8 if settings.bits <= 8 else np.uint16)

    def work(first: int, last: int) -> None:
        _digitise(
            first, last, np.ascontiguousarray(seen), gain, offset, hot, noise,
            np.float32(settings.electrons_per_s * exposure_s),
            np.float32(settings.hot_electrons_per_s * exposure_s),
            np.float32(settings.read_noise_electrons**2),
            np.float32(settings.full_scale / settings.full_well_electrons),
            np.float32(settings.full_scale), counts,
        )  # fmt: skip

    over_bands(work, rows)
    return counts


@lru_cache(maxsize=2)
def _pattern(
    seed: int, rows: int, columns: int, gain: float, offset_electrons: float, hot_pixels: float
) -> tuple[Array32, Array32, NDArray[np.bool_]]:
    """What stays the same from frame to frame: gain, dark level and whether a pixel is hot."""
    random = np.random.default_rng([seed, rows, columns])
    gains = 1.0 + gain * random.standard_normal((rows, columns), dtype=np.float32)
    offsets = offset_electrons * random.standard_normal((rows, columns), np.float32)
    hot = random.random((rows, columns), dtype=np.float32) < hot_pixels
    for array in (gains, offsets, hot):
        array.setflags(write=False)
    return gains, offsets, hot


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _digitise(
    first: int,
    last: int,
    seen: Any,
    gain: Any,
    offset: Any,
    hot: Any,
    noise: Any,
    electrons: np.float32,
    hot_electrons: np.float32,
    read_variance: np.float32,
    per_electron: np.float32,
    full_scale: np.float32,
    counts: Any,
) -> None:
    """Rows of counts from light, fixed pattern and noise; all of it in single precision."""
    none = np.float32(0.0)
    for row in range(first, last):
        for column in range(seen.shape[1]):
            signal = electrons * seen[row, column] * gain[row, column]
            signal += hot_electrons * np.float32(hot[row, column])
            # Shot noise as a Gaussian: at these counts it differs from Poisson by less than read
            # noise.
            sigma = math.sqrt(max(signal, none) + read_variance)
            noisy = signal + offset[row, column] + sigma * noise[row, column]
            counts[row, column] = min(max(np.rint(noisy * per_electron), none), full_scale)
