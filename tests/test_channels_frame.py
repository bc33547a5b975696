"""What low light does to a view, and how stages are timed, as it is stated."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trn.channels.frame import LEAST_SUN_RAD, LIGHT_SHIFT, FrameRun, Refused, light_shift_m
from trn.moon.frames import east_north_up, position_from_geographic


@given(
    latitude=st.floats(-1.5, 1.5),
    longitude=st.floats(-3.0, 3.0),
    azimuth=st.floats(0.0, 6.28),
    elevation=st.floats(0.06, 1.5),
    sigma_m=st.floats(1.0, 30.0),
)
def test_it_lies_along_the_suns_azimuth_as_long_as_shadows_are(
    latitude: float, longitude: float, azimuth: float, elevation: float, sigma_m: float
) -> None:
    place = position_from_geographic(latitude, longitude, 5_000.0)
    axes = east_north_up(place)
    level = np.array([np.sin(azimuth), np.cos(azimuth), 0.0])
    sun = axes.T @ (np.cos(elevation) * level + np.array([0.0, 0.0, np.sin(elevation)]))
    shift = axes @ light_shift_m(sun, place, sigma_m)
    assert shift == pytest.approx(LIGHT_SHIFT * sigma_m / np.tan(elevation) * level, abs=1e-6)


@pytest.mark.parametrize("elevation", [-0.1, 0.0, 0.01])
def test_a_sun_at_the_horizon_counts_as_a_low_one(elevation: float) -> None:
    place = position_from_geographic(0.0, 0.0, 0.0)
    sun = np.array([np.sin(elevation), np.cos(elevation), 0.0])
    length = float(np.linalg.norm(light_shift_m(sun, place, 10.0)))
    assert length == pytest.approx(10.0 * LIGHT_SHIFT / np.tan(LEAST_SUN_RAD))


def test_the_sun_overhead_shifts_nothing() -> None:
    place = position_from_geographic(0.2, 0.3, 0.0)
    up = place / np.linalg.norm(place)
    assert np.linalg.norm(light_shift_m(up, place, 10.0)) < 1e-6


def test_a_stage_s_latency_is_the_sum_of_its_blocks_whether_they_end_well_or_not() -> None:
    run = FrameRun()
    with mock.patch("trn.channels.frame.clock", side_effect=[1.0, 1.25, 5.0, 5.5]):
        with run.timed("solve"):
            pass
        with pytest.raises(Refused), run.timed("solve"):
            raise Refused("no")
    assert run.latency_ms == {"solve": 750.0}
