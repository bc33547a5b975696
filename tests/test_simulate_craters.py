"""Craters: as deep as measured when fresh, worn as diffusion would, as many as published."""

from __future__ import annotations

import numpy as np
import pytest

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.craters import (
    EJECTA_REACH,
    OLDEST_WEAR,
    density_per_km2,
    equilibrium_per_km2,
    oldest_wear,
    production_per_km2,
    profile_m,
    stamp,
)

RADII = np.linspace(0.0, EJECTA_REACH, 2001)
WEARS = [0.0, 0.002, 0.01, 0.02, 0.04]


def shape_m(diameter_m: float, wear: float) -> np.ndarray:
    """Heights at RADII."""
    return np.array([profile_m(r, diameter_m, wear) for r in RADII])


def volume_m3(diameter_m: float, wear: float) -> float:
    """Volume above the surroundings."""
    ring = 2.0 * np.pi * RADII * shape_m(diameter_m, wear)
    return float(ring.sum() * (RADII[1] - RADII[0]) * (0.5 * diameter_m) ** 2)


@pytest.mark.parametrize("diameter_m", [10.0, 100.0, 1000.0, 10_000.0])
def test_a_fresh_simple_crater_is_as_deep_and_its_rim_as_high_as_measured(diameter_m: float):
    # Pike (1977), km: depth 0.196 D^1.01, rim 0.036 D^1.014.
    heights = shape_m(diameter_m, 0.0)
    diameter_km = 1e-3 * diameter_m
    assert heights.max() == pytest.approx(36.0 * diameter_km**1.014, rel=1e-3)
    assert heights.max() - heights[0] == pytest.approx(196.0 * diameter_km**1.01, rel=1e-3)
    assert RADII[heights.argmax()] == pytest.approx(1.0, abs=2e-3)


def test_a_fresh_bowl_is_a_paraboloid():
    heights = shape_m(100.0, 0.0)
    inside = RADII < 1.0
    depth, rim = -heights[0] + heights.max(), heights.max()
    assert heights[inside] == pytest.approx(rim - depth * (1.0 - RADII[inside] ** 2), abs=1e-3)


def test_wear_makes_the_bowl_shallower_and_lowers_the_rim():
    shapes = [shape_m(50.0, wear) for wear in WEARS]
    depths = [heights.max() - heights[0] for heights in shapes]
    rims = [heights.max() for heights in shapes]
    assert np.all(np.diff(depths) < 0.0) and np.all(np.diff(rims) < 0.0)
    # The rim goes first: it is the sharpest.
    assert np.all(np.diff(np.array(rims) / depths) < 0.0)


def test_wear_rounds_the_rim():
    bends = [np.abs(np.diff(shape_m(50.0, wear), 2)).max() for wear in WEARS]
    assert np.all(np.diff(bends) < 0.0)
    assert bends[2] < 0.05 * bends[0]


@pytest.mark.parametrize("wear", WEARS[1:])
def test_wear_moves_ground_and_takes_none_away(wear: float):
    bowl_m3 = 0.5 * np.pi * 50.0**2 * 19.6
    assert volume_m3(100.0, wear) == pytest.approx(volume_m3(100.0, 0.0), abs=0.06 * bowl_m3)


def test_wear_is_diffusion():
    # dh/dw = D^2 lap(h), wear being kappa t / D^2; D = 2 rim radii.
    wear, step = 0.02, 5e-4
    before, now, after = (shape_m(100.0, wear + k * step) for k in (-1, 0, 1))
    r = RADII[40:1100:20]
    smooth = np.interp
    width = 0.05
    first = (smooth(r + width, RADII, now) - smooth(r - width, RADII, now)) / (2 * width)
    second = (
        smooth(r + width, RADII, now) - 2 * smooth(r, RADII, now) + smooth(r - width, RADII, now)
    ) / width**2
    faded = 4.0 * (second + first / r)
    change = (smooth(r, RADII, after) - smooth(r, RADII, before)) / (2 * step)
    assert change == pytest.approx(faded, abs=0.05 * np.abs(faded).max())


@pytest.mark.parametrize("diameter_m", [20.0, 5e3, 14.9e3, 16e3, 60e3])
@pytest.mark.parametrize("wear", [0.0, 0.01, 0.06])
def test_heights_go_smoothly_to_zero_at_the_end_of_the_ejecta(diameter_m: float, wear: float):
    heights = shape_m(diameter_m, wear)
    relief = np.ptp(heights)
    assert abs(heights[-1]) < 1e-9 * diameter_m
    assert profile_m(EJECTA_REACH + 0.1, diameter_m, wear) == 0.0
    assert np.abs(heights[-20:]).max() < 1e-3 * relief
    assert np.abs(np.diff(heights)).max() < 6e-3 * relief


def test_craters_of_10_to_100_m_are_as_deep_as_measured():
    # Mean depth 0.11 to 0.13 D at 40 to 200 m (Mahanti et al. 2018, Stopar et al. 2017)
    shares = []
    for age in (np.arange(100) + 0.5) / 100:
        heights = shape_m(50.0, age * oldest_wear(0.05, 3.5))
        shares.append((heights.max() - heights[0]) / 50.0)
    assert 0.10 < np.mean(shares) < 0.13
    assert 0.04 < min(shares) < 0.08 and 0.17 < max(shares) < 0.20


def test_density_is_production_of_large_craters_and_equilibrium_of_small_ones():
    diameters_km = np.geomspace(0.005, 5.0, 60)
    made = np.array([production_per_km2(d, 3.5) for d in diameters_km])
    most = np.array([equilibrium_per_km2(d) for d in diameters_km])
    density = np.array([density_per_km2(d, 3.5) for d in diameters_km])
    large = made < most
    turn = int(large.argmax())
    assert large[turn:].all() and 0.1 < diameters_km[turn] < 0.5
    assert np.array_equal(density, np.where(large, made, most))
    assert np.all(np.diff(density) < 0.0)


def test_craters_in_equilibrium_wear_until_they_are_gone_larger_ones_less():
    assert oldest_wear(0.02, 3.5) == OLDEST_WEAR
    wears = [oldest_wear(d, 3.5) for d in (0.5, 1.0, 2.0)]
    assert OLDEST_WEAR > wears[0] > wears[1] > wears[2] > 0.0


def test_a_stamp_is_the_profile_around_the_centre():
    diameter_m, step_m, wear = 200.0, 2.0, 0.01
    step = step_m / REFERENCE_RADIUS_M
    count = 301
    height = np.zeros((count, count), np.float32)
    start = -(count // 2) * step
    stamp(height, np.eye(3), start, start, step, np.array([0.0, 0.0, 1.0]), diameter_m, 0.5, wear,
          0, count)  # fmt: skip
    middle = height[count // 2]
    offsets = np.abs(np.arange(count) - count // 2) * step_m / (0.5 * diameter_m)
    expected = [0.5 * profile_m(r, diameter_m, wear) for r in offsets]
    assert middle == pytest.approx(expected, abs=1e-3)
    assert height[:, count // 2] == pytest.approx(middle, abs=1e-3)
