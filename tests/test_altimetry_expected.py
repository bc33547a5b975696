"""The expected range is a distribution, two-humped over the cliff's edge."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from tests.cliff import ALTIMETER, Flight
from trn.altimetry.expected import ExpectedRange
from trn.altimetry.profile import offset_places, spread_points
from trn.altimetry.terrain import MapRanges
from trn.moon.frames import east_north_up

NOTHING = ExpectedRange(np.empty(0), np.empty(0), np.empty(0))


@st.composite
def mixtures(draw: st.DrawFn) -> ExpectedRange:
    count = draw(st.integers(1, 12))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1.0, count)
    return ExpectedRange(
        rng.uniform(100.0, 9_000.0, count),
        weights / weights.sum(),
        rng.uniform(1.0, 200.0, count),
    )


def grid_of(mixture: ExpectedRange) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    reach = 12.0 * mixture.sigmas_m.max()
    least = mixture.sigmas_m.min()
    low, high = mixture.ranges_m.min() - reach, mixture.ranges_m.max() + reach
    ranges = np.linspace(low, high, max(4_000, int(4 * (high - low) / least)))
    # The mixture's density, written from its definition.
    z = (ranges[:, None] - mixture.ranges_m) / mixture.sigmas_m
    parts = np.exp(-0.5 * z**2) / (math.sqrt(2.0 * math.pi) * mixture.sigmas_m)
    return ranges, parts @ mixture.weights


@given(mixture=mixtures())
def test_density_integrates_to_one_with_the_mean_and_sigma_told(mixture: ExpectedRange) -> None:
    ranges, density = grid_of(mixture)
    assert trapezoid(density, ranges) == pytest.approx(1.0, abs=1e-3)
    assert trapezoid(ranges * density, ranges) == pytest.approx(mixture.mean_m, rel=1e-3)
    second = trapezoid((ranges - mixture.mean_m) ** 2 * density, ranges)
    assert math.sqrt(second) == pytest.approx(mixture.sigma_m, rel=1e-2)


@given(mixture=mixtures(), share=st.floats(0, 1))
def test_log_density_is_the_mixtures(mixture: ExpectedRange, share: float) -> None:
    ranges, density = grid_of(mixture)
    k = int(share * (len(ranges) - 1))
    if density[k] > 1e-200:
        assert mixture.log_density(float(ranges[k])) == pytest.approx(math.log(density[k]))


@given(mixture=mixtures(), low=st.floats(0, 9_000), width=st.floats(1, 9_000))
def test_probability_between_is_the_densitys_integral(
    mixture: ExpectedRange, low: float, width: float
) -> None:
    ranges, density = grid_of(mixture)
    inside = (ranges >= low) & (ranges <= low + width)
    step = ranges[1] - ranges[0]
    found = mixture.probability_between(low, low + width)
    assert found == pytest.approx(density[inside].sum() * step, abs=2.0 * step * density.max())
    assert mixture.probability_between(-1e6, 1e6) == pytest.approx(1.0)
    assert mixture.probability_between(low, low) == 0.0


def test_far_out_the_log_density_stays_finite() -> None:
    mixture = ExpectedRange(np.array([3_000.0]), np.array([1.0]), np.array([5.0]))
    assert mixture.log_density(1e6) < -1e9


def test_where_nothing_is_known_nothing_is_told() -> None:
    assert not NOTHING.known
    assert math.isnan(NOTHING.mean_m) and math.isnan(NOTHING.sigma_m)
    assert math.isnan(NOTHING.log_density(100.0))
    assert NOTHING.probability_between(0.0, 1e6) == 0.0


def test_over_the_cliffs_edge_there_are_two_humps(cliff: MapRanges) -> None:
    flight = Flight()
    position, _, _ = flight.motion(0.0)
    axes = east_north_up(position)
    places = offset_places(position, axes, 1_500.0 * spread_points(64))
    ranges = cliff.ranges_m(places, np.tile(-axes[2], (64, 1)))
    sigma = math.sqrt(20.0**2 + ALTIMETER.variance_m2(float(ranges.mean()), 0.1))
    mixture = ExpectedRange(ranges, np.full(64, 1 / 64), np.full(64, sigma))

    def highest(low_m: float, high_m: float) -> float:
        return max(mixture.log_density(r) for r in np.arange(low_m, high_m, 5.0))

    plateau, floor = highest(2_500.0, 3_500.0), highest(5_500.0, 6_500.0)
    lowest_between = min(mixture.log_density(r) for r in np.arange(3_800.0, 5_200.0, 5.0))
    assert min(plateau, floor) - lowest_between > math.log(100.0)
    # A Gaussian of the same mean and sigma would have its peak there.
    assert 3_800.0 < mixture.mean_m < 5_200.0
    assert mixture.probability_between(2_500.0, 3_500.0) > 0.3
    assert mixture.probability_between(5_500.0, 6_500.0) > 0.3
