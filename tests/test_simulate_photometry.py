"""Hapke's reflectance behaves as the Moon does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trn.simulate.noise import seed_word
from trn.simulate.photometry import Hapke, albedo_factor, radiance_factor

MOON = Hapke().packed()
angle = st.floats(0.5, 84.0)


def phase_cosine(incidence: float, emission: float, azimuth: float) -> float:
    i, e, a = np.radians([incidence, emission, azimuth])
    return math.cos(i) * math.cos(e) + math.sin(i) * math.sin(e) * math.cos(a)


@settings(deadline=None)
@given(angle, angle, st.floats(0.0, 180.0))
def test_light_may_run_backwards(incidence: float, emission: float, azimuth: float) -> None:
    cos_g = phase_cosine(incidence, emission, azimuth)
    cos_i, cos_e = math.cos(math.radians(incidence)), math.cos(math.radians(emission))
    there = radiance_factor(cos_i, cos_e, cos_g, 0.3, MOON) / cos_i
    back = radiance_factor(cos_e, cos_i, cos_g, 0.3, MOON) / cos_e
    assert there == pytest.approx(back, rel=1e-6)


@settings(deadline=None)
@given(angle, angle, st.floats(0.0, 180.0), st.floats(0.05, 0.6))
def test_reflectance_is_positive_and_bounded(
    incidence: float, emission: float, azimuth: float, albedo: float
) -> None:
    cos_g = phase_cosine(incidence, emission, azimuth)
    value = radiance_factor(
        math.cos(math.radians(incidence)), math.cos(math.radians(emission)), cos_g, albedo, MOON
    )
    assert 0.0 <= value < 1.0


def test_brightness_of_maria_and_highlands_is_the_moons() -> None:
    # I/F at incidence 30, emission 0: LROC WAC 643 nm has about 0.04 to 0.06 in maria and 0.08 to
    # 0.13 in highlands (Sato et al. 2014; Boyd et al. 2012).
    cosine = math.cos(math.radians(30.0))
    highland = radiance_factor(cosine, 1.0, cosine, 0.42, MOON)
    mare = radiance_factor(cosine, 1.0, cosine, 0.21, MOON)
    assert 0.07 < highland < 0.14
    assert 0.03 < mare < 0.065
    assert 1.8 < highland / mare < 2.6


def test_the_full_moon_surges() -> None:
    def at_phase(phase_deg: float) -> float:
        cosine = math.cos(math.radians(phase_deg))
        return float(radiance_factor(1.0, cosine, cosine, 0.3, MOON))

    assert at_phase(0.0) / at_phase(7.0) > 1.25
    assert at_phase(7.0) / at_phase(14.0) < at_phase(0.0) / at_phase(7.0)


def test_no_light_below_the_horizon() -> None:
    assert radiance_factor(-0.1, 0.9, 0.5, 0.3, MOON) == 0.0
    assert radiance_factor(0.5, -0.1, 0.5, 0.3, MOON) == 0.0


def test_albedo_is_a_matter_of_place_and_of_seed() -> None:
    points = np.random.default_rng(0).normal(size=(400, 3))
    points *= 1_737_400.0 / np.linalg.norm(points, axis=1, keepdims=True)

    def field(seed: int) -> np.ndarray:
        out = []
        for x, y, z in points:
            gradients, cells = np.empty((5, 8, 3)), np.full((5, 3), -(2**62))
            word = seed_word(seed, 3)
            highland = float(z > 0.0)
            out.append(albedo_factor(x, y, z, highland, 2.0, 0.05, word, gradients, cells))
        return np.array(out)

    first = field(1)
    assert np.array_equal(first, field(1))
    north = points[:, 2] > 0.0
    assert abs(np.corrcoef(first[north], field(2)[north])[0, 1]) < 0.2
    assert first[north].mean() == pytest.approx(1.0, abs=0.02)
    assert first[~north].mean() == pytest.approx(0.5, abs=0.01)
    assert first[north].std() == pytest.approx(0.05, rel=0.25)
