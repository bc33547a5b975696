"""Latitude, longitude and height invert; local axes are east, north and up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import (
    east_north_up,
    east_north_up_at,
    geographic_from_position,
    position_from_geographic,
    wrap_axis,
    wrap_longitude_deg,
)

latitudes = st.floats(-np.pi / 2, np.pi / 2)
longitudes = st.floats(-np.pi, np.pi)
heights = st.floats(-10_000.0, 1e6)


@given(latitude=latitudes, longitude=longitudes, height=heights)
def test_positions_come_back_from_latitude_longitude_and_height(
    latitude: float, longitude: float, height: float
) -> None:
    position = position_from_geographic(latitude, longitude, height)
    np.testing.assert_allclose(
        position_from_geographic(*geographic_from_position(position)), position, rtol=0, atol=1e-8
    )


@given(latitude=st.floats(-1.57, 1.57), longitude=longitudes, height=heights)
def test_latitude_longitude_and_height_come_back_from_positions(
    latitude: float, longitude: float, height: float
) -> None:
    back = geographic_from_position(position_from_geographic(latitude, longitude, height))
    assert back[0] == pytest.approx(latitude, abs=1e-14)
    assert np.cos(back[1] - longitude) == pytest.approx(1.0, abs=1e-15)
    assert -np.pi < back[1] <= np.pi
    assert back[2] == pytest.approx(height, abs=1e-8)


def test_where_the_axes_point() -> None:
    """x towards the mean Earth, y east of it, z north (Davies and Colvin 2000)."""
    at = REFERENCE_RADIUS_M * np.eye(3)
    latitude, longitude, height = geographic_from_position(at)
    np.testing.assert_allclose(latitude, [0, 0, np.pi / 2], atol=1e-15)
    np.testing.assert_allclose(longitude[:2], [0, np.pi / 2], atol=1e-15)
    np.testing.assert_allclose(height, 0, atol=1e-9)


def test_the_antimeridian_is_at_plus_180_and_the_centre_on_the_equator() -> None:
    for y in (0.0, -0.0):
        assert geographic_from_position([-1.0, y, 0.0])[1] == np.pi
    latitude, _, height = geographic_from_position([0.0, 0.0, 0.0])
    assert (latitude, height) == (0.0, -REFERENCE_RADIUS_M)


@given(latitude=latitudes, longitude=longitudes)
def test_local_axes_are_a_right_handed_frame(latitude: float, longitude: float) -> None:
    axes = east_north_up(position_from_geographic(latitude, longitude, 0.0))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(axes) == pytest.approx(1.0)


@given(latitude=st.floats(-1.5, 1.5), longitude=st.floats(-3.1, 3.1))
def test_local_axes_are_the_slopes_of_longitude_latitude_and_height(
    latitude: float, longitude: float
) -> None:
    axes = east_north_up(position_from_geographic(latitude, longitude, 0.0))
    step = 1e-6
    for axis, (along_lat, along_lon, along_h) in zip(
        axes, [(0, step, 0), (step, 0, 0), (0, 0, 1.0)], strict=True
    ):
        ahead = position_from_geographic(latitude + along_lat, longitude + along_lon, along_h)
        behind = position_from_geographic(latitude - along_lat, longitude - along_lon, -along_h)
        slope = (ahead - behind) / np.linalg.norm(ahead - behind)
        np.testing.assert_allclose(axis, slope, atol=1e-8)


def test_east_at_the_pole_is_towards_longitude_90() -> None:
    axes = east_north_up([0.0, 0.0, REFERENCE_RADIUS_M])
    np.testing.assert_allclose(axes[0], [0.0, 1.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(axes[2], [0.0, 0.0, 1.0], atol=1e-15)


@given(st.floats(-1e5, 1e5))
def test_wrapped_longitudes_are_the_same_direction(longitude_deg: float) -> None:
    wrapped = float(wrap_longitude_deg(longitude_deg))
    assert -180.0 < wrapped <= 180.0
    turns = (wrapped - longitude_deg) / 360.0
    assert turns == pytest.approx(round(turns), abs=1e-10)


def test_shapes_are_kept() -> None:
    position = position_from_geographic(np.zeros((4, 1)), np.zeros(5), 0.0)
    assert position.shape == (4, 5, 3)
    assert all(part.shape == (4, 5) for part in geographic_from_position(position))


@given(latitude=st.floats(-1.57, 1.57), longitude=st.floats(-3.14, 3.14))
def test_east_north_and_up_of_many_places_are_those_of_each(
    latitude: float, longitude: float
) -> None:
    places = np.array([latitude, 0.3]), np.array([longitude, -1.0])
    many = np.stack(east_north_up_at(*places), axis=-2)
    for k in range(2):
        place = position_from_geographic(places[0][k], places[1][k], 0.0)
        assert many[k] == pytest.approx(east_north_up(place), abs=1e-9)


@given(angle=st.floats(-20.0, 20.0))
def test_an_axis_is_wrapped_to_the_same_line_within_a_quarter_turn(angle: float) -> None:
    wrapped = float(wrap_axis(angle))
    assert -np.pi / 2 < wrapped <= np.pi / 2
    assert np.sin(2.0 * (wrapped - angle)) == pytest.approx(0.0, abs=1e-9)
    assert np.cos(2.0 * (wrapped - angle)) == pytest.approx(1.0, abs=1e-9)
