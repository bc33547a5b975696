"""Light becomes counts with the noise, the pattern and the exposure that the settings state."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from trn.errors import InputError
from trn.simulate.camera_model import (
    SensorSettings,
    expose,
    metered_exposure_s,
    photographed,
)

FLAT = np.full((200, 200), 0.08, np.float32)
CLEAN = SensorSettings(
    bits=12, hot_pixels=0.0, gain_pattern=0.0, offset_pattern_electrons=0.0, blur_sigma_px=0.0
)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("level", [0.02, 0.08, 0.3])
def test_metering_puts_sunlit_ground_where_it_is_told(level: float) -> None:
    scene = np.full((100, 100), level, np.float32)
    scene[:50] = 0.0
    settings = SensorSettings(bits=12, blur_sigma_px=0.0)
    image = expose(scene, metered_exposure_s(scene, settings), settings, rng())
    assert np.median(image[50:]) / 4095 == pytest.approx(0.6, abs=0.01)


def test_bright_ground_is_not_lost_in_white() -> None:
    scene = FLAT.copy()
    scene[:20] = 0.4
    settings = SensorSettings(bits=12)
    image = expose(scene, metered_exposure_s(scene, settings), settings, rng())
    assert (image == 4095).mean() < 0.08
    assert np.median(image[100:]) / 4095 < 0.3


def test_the_exposure_has_its_bounds_and_can_be_set() -> None:
    settings = SensorSettings(least_exposure_s=1e-3, most_exposure_s=5e-3)
    assert metered_exposure_s(FLAT * 0, settings) == 5e-3
    assert metered_exposure_s(FLAT * 1e-4, settings) == 5e-3
    assert metered_exposure_s(FLAT * 1e4, settings) == 1e-3
    assert metered_exposure_s(FLAT, SensorSettings(exposure_s=0.5)) == 0.5


def test_noise_is_that_of_its_electrons() -> None:
    exposure_s = 1e-4
    electrons = CLEAN.electrons_per_s * exposure_s * 0.08
    image = expose(FLAT, exposure_s, CLEAN, rng()).astype(float)
    per_count = CLEAN.full_well_electrons / CLEAN.full_scale
    assert image.mean() * per_count == pytest.approx(electrons, rel=0.01)
    sigma = np.sqrt(electrons + CLEAN.read_noise_electrons**2 + per_count**2 / 12.0)
    assert image.std() * per_count == pytest.approx(sigma, rel=0.03)


def test_the_pattern_stays_and_the_noise_does_not() -> None:
    settings = SensorSettings(bits=12, gain_pattern=0.05, hot_pixels=1e-3)
    images = [
        expose(FLAT, 5e-4, settings, np.random.default_rng(seed)).astype(float) for seed in (1, 2)
    ]
    assert np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1] > 0.7
    other = expose(FLAT, 5e-4, SensorSettings(bits=12, gain_pattern=0.05, pattern_seed=9), rng())
    assert abs(np.corrcoef(images[0].ravel(), other.ravel())[0, 1]) < 0.05


def test_hot_pixels_glow_in_the_dark() -> None:
    settings = SensorSettings(hot_pixels=1e-3)
    dark = expose(FLAT * 0, 0.02, settings, rng())
    assert (dark > 100).mean() == pytest.approx(1e-3, rel=0.4)


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (10, np.uint16), (12, np.uint16)])
def test_counts_end_at_full_scale(bits: int, kind: type) -> None:
    image = expose(FLAT * 100, 0.02, SensorSettings(bits=bits), rng())
    assert image.dtype == kind
    assert image.min() == image.max() == 2**bits - 1


def test_blur_and_motion_soften_an_edge() -> None:
    scene = np.zeros((40, 40), np.float32)
    scene[:, 20:] = 0.08
    flow = np.zeros((40, 40, 2), np.float32)
    flow[..., 0] = 10.0
    sharp = expose(scene, 5e-4, CLEAN, rng()).astype(float).mean(axis=0)
    smeared = expose(scene, 5e-4, CLEAN, rng(), flow).astype(float).mean(axis=0)

    def width_px(profile: np.ndarray) -> int:
        level = profile / profile.max()
        return int(np.count_nonzero((level > 0.1) & (level < 0.9)))

    assert width_px(sharp) <= 1
    assert 6 <= width_px(smeared) <= 10


@pytest.mark.parametrize(
    "changes",
    [{"bits": 7}, {"bits": 13}, {"exposure_s": 0.0}, {"least_exposure_s": 0.0},
     {"least_exposure_s": 1.0, "most_exposure_s": 0.5}],
)  # fmt: skip
def test_cameras_that_cannot_be_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="camera"):
        SensorSettings(**changes)  # type: ignore[arg-type]


def plainly_exposed(
    radiance: np.ndarray, exposure_s: float, settings: SensorSettings, rng: np.random.Generator
) -> np.ndarray:
    """The sensor's formula, array by array: what it must go on giving, bit for bit."""
    seen = cv2.GaussianBlur(radiance, (0, 0), settings.blur_sigma_px)
    pattern = np.random.default_rng([settings.pattern_seed, *seen.shape])
    gain = 1.0 + settings.gain_pattern * pattern.standard_normal(seen.shape, dtype=np.float32)
    offset = settings.offset_pattern_electrons * pattern.standard_normal(seen.shape, np.float32)
    hot = pattern.random(seen.shape, dtype=np.float32) < settings.hot_pixels
    signal = np.float32(settings.electrons_per_s * exposure_s) * seen * gain
    signal += np.float32(settings.hot_electrons_per_s * exposure_s) * hot
    sigma = np.sqrt(np.maximum(signal, 0.0) + np.float32(settings.read_noise_electrons**2))
    noisy = signal + offset + sigma * rng.standard_normal(seen.shape, dtype=np.float32)
    scale = np.float32(settings.full_scale / settings.full_well_electrons)
    return np.clip(np.rint(noisy * scale), 0, settings.full_scale)


@pytest.mark.parametrize(
    "settings",
    [
        SensorSettings(),
        SensorSettings(bits=12, pattern_seed=3),
        SensorSettings(hot_pixels=0.02, gain_pattern=0.1, offset_pattern_electrons=200.0),
        SensorSettings(read_noise_electrons=0.0, full_well_electrons=300.0, bits=10),
    ],
)
def test_counts_are_those_of_the_plain_formula(settings: SensorSettings) -> None:
    scene = np.random.default_rng(1).exponential(0.08, (170, 301)).astype(np.float32)
    scene[:30] = 0.0
    for exposure_s in (1e-5, 4e-4, 0.02):
        image = expose(scene, exposure_s, settings, rng())
        assert np.array_equal(image, plainly_exposed(scene, exposure_s, settings, rng()))
        assert image.dtype == (np.uint8 if settings.bits <= 8 else np.uint16)


def test_a_photograph_is_the_exposure_that_is_metered() -> None:
    scene = np.random.default_rng(2).exponential(0.08, (90, 70)).astype(np.float32)
    moves = np.random.default_rng(3).normal(0.0, 4e3, (90, 70, 2)).astype(np.float32)
    for settings in (SensorSettings(), SensorSettings(bits=12, exposure_s=3e-4)):
        exposure_s = metered_exposure_s(scene, settings)
        for motion, flow in ((None, None), (moves, moves * exposure_s)):
            image, metered_s = photographed(scene, settings, rng(), motion)
            assert metered_s == exposure_s
            assert np.array_equal(image, expose(scene, exposure_s, settings, rng(), flow))
