"""The data sheet of an altimeter: where its beams look, and how exact a reading is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.cliff import ALTIMETER


def test_a_boresight_is_the_beams_z_axis_in_the_vehicle() -> None:
    straight, tilted = ALTIMETER.boresights()
    assert straight == pytest.approx([0.0, 0.0, 1.0])
    assert tilted @ straight == pytest.approx(np.cos(np.deg2rad(20.0)))
    # Rotated back into the beam's axes it is z.
    assert ALTIMETER.beams[1].apply(tilted) == pytest.approx([0.0, 0.0, 1.0])


@given(angles=st.lists(st.floats(-180, 180), min_size=3, max_size=3))
def test_boresights_are_unit_vectors(angles: list[float]) -> None:
    beam = Rotation.from_euler("xyz", angles, degrees=True)
    (boresight,) = replace(ALTIMETER, beams=(beam,)).boresights()
    assert np.linalg.norm(boresight) == pytest.approx(1.0)
    assert beam.apply(boresight) == pytest.approx([0.0, 0.0, 1.0], abs=1e-12)


def test_an_ideal_instrument_is_as_exact_as_its_resolution() -> None:
    ideal = replace(ALTIMETER, noise_m=0.0, noise_of_range=0.0, noise_of_spread=0.0)
    steps = np.random.default_rng(1).uniform(-0.5, 0.5, 200_000) * ideal.resolution_m
    assert ideal.variance_m2(3_000.0, 1.0) == pytest.approx(steps.var(), rel=0.02)


@given(range_m=st.floats(0, 20_000), slope=st.floats(0, 2))
def test_variance_is_the_sum_of_its_parts_and_grows_with_range_and_slope(
    range_m: float, slope: float
) -> None:
    def of(at_m: float, on: float, **kept: float) -> float:
        none = {"noise_m": 0.0, "noise_of_range": 0.0, "noise_of_spread": 0.0, "resolution_m": 0.0}
        return replace(ALTIMETER, **{**none, **kept}).variance_m2(at_m, on)

    names = ("noise_m", "noise_of_range", "noise_of_spread", "resolution_m")
    parts = [of(range_m, slope, **{name: getattr(ALTIMETER, name)}) for name in names]
    assert ALTIMETER.variance_m2(range_m, slope) == pytest.approx(sum(parts))
    assert ALTIMETER.variance_m2(range_m + 1.0, slope) >= ALTIMETER.variance_m2(range_m, slope)
    assert ALTIMETER.variance_m2(range_m, slope + 0.1) >= ALTIMETER.variance_m2(range_m, slope)


def test_on_a_slope_the_spread_is_that_of_ranges_over_the_footprint() -> None:
    """Rays of a Gaussian beam (1/e^2 full width: 4 sigma) that meet a plane of a slope."""
    rng = np.random.default_rng(2)
    wide = replace(
        ALTIMETER, beam_rad=0.02, noise_m=0.0, noise_of_range=0.0, noise_of_spread=1.0,
        resolution_m=0.0,
    )  # fmt: skip
    angle = rng.normal(0.0, wide.beam_rad / 4.0, 100_000)
    # The plane z = -1000 + 0.3 x, met by a ray at an angle from nadir.
    ranges = 1_000.0 / (np.cos(angle) + 0.3 * np.sin(angle))
    assert wide.variance_m2(1_000.0, 0.3) == pytest.approx(ranges.var(), rel=0.05)
