"""A range as a linear measurement has the derivatives that the map's ranges have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tests.cliff import HOLE_DEG, LATITUDE_DEG, LONGITUDE_EAST_DEG, level_attitude, place
from trn.altimetry.linear import linear_range
from trn.altimetry.terrain import MapRanges
from trn.moon.frames import east_north_up

Array = NDArray[np.float64]

COVARIANCE = 15.0**2 * np.eye(3)
BORESIGHTS = [
    np.array([0.0, 0.0, 1.0]),
    np.array([np.sin(0.35), 0.0, np.cos(0.35)]),
    np.array([0.3, -0.4, np.sqrt(0.75)]),
]


def range_from(ranges: MapRanges, position: Array, rotation: Array, boresight: Array) -> float:
    return float(ranges.ranges_m(position[None], (rotation.T @ boresight)[None])[0])


@settings(max_examples=30, deadline=None)
@given(
    latitude=st.floats(9.7, 10.4),
    longitude=st.sampled_from([29.65, 29.75, 30.25, 30.35]),
    height_m=st.floats(4_000, 7_000),
    pick=st.integers(0, 2),
    turn=st.floats(0, 360),
)
def test_derivatives_are_those_of_the_ranges(
    cliff: MapRanges, latitude: float, longitude: float, height_m: float, pick: int, turn: float
) -> None:
    position = place(latitude, longitude, height_m)
    rotation = Rotation.from_euler("z", turn, degrees=True).as_matrix() @ level_attitude(position)
    boresight = BORESIGHTS[pick]
    linear = linear_range(cliff, position, rotation, COVARIANCE, boresight)
    assert linear is not None
    middle = range_from(cliff, position, rotation, boresight)
    assert linear.expected_m == pytest.approx(middle, abs=0.5)
    # The plane is fitted over some 25 m around the place; the same is done here.
    step = 25.0
    for axis in east_north_up(position):
        ahead = range_from(cliff, position + step * axis, rotation, boresight)
        behind = range_from(cliff, position - step * axis, rotation, boresight)
        by_axis = (ahead - behind) / (2.0 * step)
        assert linear.by_position @ axis == pytest.approx(by_axis, abs=0.01)
    angle = step / middle
    for k in range(3):
        error = angle * np.eye(3)[k]
        # R_true = exp([theta]x) R.
        ahead, behind = (
            range_from(
                cliff,
                position,
                Rotation.from_rotvec(sign * error).as_matrix() @ rotation,
                boresight,
            )
            for sign in (1.0, -1.0)
        )
        by_angle = (ahead - behind) / (2.0 * angle)
        assert linear.by_attitude[k] == pytest.approx(by_angle, abs=0.012 * middle)
    # Ground that is a metre higher is a lander that is a metre lower.
    up = east_north_up(position)[2]
    lower = range_from(cliff, position - step * up, rotation, boresight)
    assert linear.by_terrain == pytest.approx((lower - middle) / step, abs=0.01)


@pytest.mark.parametrize("boresight", BORESIGHTS)
def test_on_a_slope_the_derivative_is_that_of_a_plane(cliff: MapRanges, boresight: Array) -> None:
    position = place(10.2, 30.3, 5_000.0)
    rotation = level_attitude(position)
    direction = rotation.T @ boresight
    linear = linear_range(cliff, position, rotation, COVARIANCE, boresight)
    assert linear is not None
    met = position + linear.expected_m * direction
    # Of the plane n . (p + r d) = const with n = up - gradient: dr/dp = -n / (n . d).
    normal = met / np.linalg.norm(met) - cliff.below(met).gradient
    assert linear.by_position == pytest.approx(-normal / (normal @ direction), abs=0.01)
    assert linear.by_terrain == pytest.approx(1.0 / (normal @ direction), abs=0.01)


def test_moving_along_the_beam_shortens_the_range_by_as_much(cliff: MapRanges) -> None:
    for away in (-0.3, -0.003, 0.0, 0.002, 0.3):
        position = place(LATITUDE_DEG, LONGITUDE_EAST_DEG + away, 6_000.0)
        rotation = level_attitude(position)
        for boresight in BORESIGHTS:
            linear = linear_range(cliff, position, rotation, COVARIANCE, boresight)
            assert linear is not None
            assert linear.by_position @ (rotation.T @ boresight) == pytest.approx(-1.0)
            assert linear.by_attitude @ boresight == pytest.approx(0.0, abs=1e-6)


def test_at_the_cliff_what_no_plane_can_say_is_counted(cliff: MapRanges) -> None:
    down = BORESIGHTS[0]

    def left_over(away_deg: float, sigma_m: float) -> float:
        position = place(LATITUDE_DEG, LONGITUDE_EAST_DEG + away_deg, 6_000.0)
        rotation = level_attitude(position)
        linear = linear_range(cliff, position, rotation, sigma_m**2 * np.eye(3), down)
        assert linear is not None
        return linear.variance_m2

    edge_deg = 0.008
    gentle, edge = left_over(0.3, 100.0), left_over(edge_deg, 100.0)
    assert edge > 30.0 * gentle and edge > 20.0**2
    assert left_over(edge_deg, 300.0) > edge > left_over(edge_deg, 30.0)


def test_without_ground_or_with_a_level_beam_there_is_no_measurement(cliff: MapRanges) -> None:
    hole = place(0.5 * (HOLE_DEG[0] + HOLE_DEG[1]), 0.5 * (HOLE_DEG[2] + HOLE_DEG[3]), 5_000.0)
    assert linear_range(cliff, hole, level_attitude(hole), COVARIANCE, BORESIGHTS[0]) is None
    position = place(LATITUDE_DEG, LONGITUDE_EAST_DEG + 0.3, 300.0)
    level = np.array([1.0, 0.0, 0.05])
    rotation = level_attitude(position)
    assert (
        linear_range(cliff, position, rotation, COVARIANCE, level / np.linalg.norm(level)) is None
    )
