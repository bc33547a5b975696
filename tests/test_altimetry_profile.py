"""What readings should have been at candidate places: spread, kept, and cast when asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cliff import HOLE_DEG, LATITUDE_DEG, LONGITUDE_EAST_DEG, Flight, place
from trn.altimetry.profile import (
    LARGE_GAP_M2,
    SLOTS,
    Candidates,
    Reading,
    offset_places,
    spread_points,
)
from trn.altimetry.terrain import MapRanges
from trn.moon.frames import east_north_up


def reading(serial: int, flight: Flight, time_s: float, range_m: float = 3_000.0) -> Reading:
    position, _, _ = flight.motion(time_s)
    down = flight.rotation.T @ np.array([0.0, 0.0, 1.0])
    return Reading(
        serial, serial % SLOTS, time_s, range_m, down, position, 1.0, 1.0, 25.0,
        time_s * flight.speed_m_per_s, range_m, 0.0, 4.0,
    )  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(count=st.integers(4, 64))
def test_spread_points_have_the_normal_distributions_mean_and_covariance(count: int) -> None:
    points = spread_points(count)
    assert points.shape == (count, 2)
    assert points[0].tolist() == [0.0, 0.0]
    assert points.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-9)
    assert points[1:].T @ points[1:] / (count - 1) == pytest.approx(np.eye(2), abs=1e-9)
    assert spread_points(count).tolist() == points.tolist()


@settings(max_examples=30, deadline=None)
@given(
    latitude_deg=st.floats(-89, 89),
    longitude_deg=st.floats(-180, 180),
    east_m=st.floats(-3_000, 3_000),
    north_m=st.floats(-3_000, 3_000),
)
def test_offset_places_are_as_high_and_as_far_as_they_say(
    latitude_deg: float, longitude_deg: float, east_m: float, north_m: float
) -> None:
    here = place(latitude_deg, longitude_deg, 4_000.0)
    axes = east_north_up(here)
    there = offset_places(here, axes, np.array([[east_m, north_m]]))[0]
    assert np.linalg.norm(there) == pytest.approx(np.linalg.norm(here), abs=1e-6)
    # A chord of 4 km falls short of the tangent by a few millimetres.
    assert axes[:2] @ (there - here) == pytest.approx([east_m, north_m], abs=0.02)


def test_ranges_at_candidates_are_those_from_their_places(cliff: MapRanges) -> None:
    flight = Flight()
    position, _, _ = flight.motion(-1.0)
    axes = east_north_up(position)
    offsets = np.array([[0.0, 0.0], [300.0, 0.0], [0.0, -250.0]])
    down = flight.rotation.T @ np.array([0.0, 0.0, 1.0])
    found = Candidates(cliff, axes, offsets).expected(position, down)
    for k, place_m in enumerate(offset_places(position, axes, offsets)):
        assert found[k] == pytest.approx(cliff.ranges_m(place_m[None], down[None])[0], abs=1e-6)


def test_rows_are_the_same_whether_kept_or_cast_anew(cliff: MapRanges) -> None:
    flight = Flight()
    readings = [reading(k, flight, -2.0 + 0.2 * k) for k in range(20)]
    axes = east_north_up(readings[0].witness_m)
    offsets = 80.0 * spread_points(16)
    cast = Candidates(cliff, axes, offsets)
    kept = Candidates(cliff, axes, offsets)
    for each in readings:
        ranges = kept.expected(each.witness_m, each.direction)
        kept.keep([each], ranges[None])
    for one, other in zip(cast.rows(readings)[:2], kept.rows(readings)[:2]):
        assert one.shape == (20, 16)
        assert one == pytest.approx(other, abs=1e-6)
    residual, _, _ = kept.rows(readings)
    expected = kept.expected(readings[3].witness_m, readings[3].direction)
    assert residual[3] == pytest.approx(readings[3].range_m - expected, abs=1e-6)


def test_a_slot_that_was_given_away_is_cast_for_its_new_reading(cliff: MapRanges) -> None:
    flight = Flight()
    candidates = Candidates(cliff, east_north_up(flight.start), 80.0 * spread_points(8))
    old, new = reading(3, flight, -5.0), reading(3 + SLOTS, flight, 5.0)
    assert old.slot == new.slot
    candidates.rows([old])
    residual, _, _ = candidates.rows([new])
    expected = candidates.expected(new.witness_m, new.direction)
    assert residual[0] == pytest.approx(new.range_m - expected, abs=1e-6)


def test_relief_between_places_counts_where_there_is_some(cliff: MapRanges) -> None:
    flight = Flight()
    offsets = 80.0 * spread_points(16)
    candidates = Candidates(cliff, east_north_up(flight.start), offsets)
    _, gap, _ = candidates.rows([reading(0, flight, 0.0), reading(1, flight, 25.0)])
    assert gap[0].mean() > 20.0 * gap[1].mean()
    assert (gap >= 0.0).all()


def test_a_place_over_a_hole_says_nothing(cliff: MapRanges) -> None:
    south, north, west, _ = HOLE_DEG
    flight = Flight(latitude_deg=0.5 * (south + north))
    over_edge = place(flight.latitude_deg, west, flight.height_m)
    axes = east_north_up(over_edge)
    candidates = Candidates(cliff, axes, np.array([[-2_000.0, 0.0], [-1_900.0, 0.0], [500.0, 0.0]]))
    one = reading(0, flight, 0.0)
    one.witness_m, one.direction = over_edge, -axes[2]
    assert np.isfinite(candidates.expected(over_edge, -axes[2])).tolist() == [True, True, False]
    residual, gap, _ = candidates.rows([one])
    assert np.isfinite(residual).all()
    assert gap[0, 2] == LARGE_GAP_M2 and (gap[0, :2] < 1e3).all()


def test_all_over_a_hole_is_finite_too(cliff: MapRanges) -> None:
    middle = place(0.5 * (HOLE_DEG[0] + HOLE_DEG[1]), 0.5 * (HOLE_DEG[2] + HOLE_DEG[3]), 6_000.0)
    axes = east_north_up(middle)
    candidates = Candidates(cliff, axes, 50.0 * spread_points(4))
    one = reading(0, Flight(), 0.0)
    one.witness_m, one.direction = middle, -axes[2]
    residual, gap, _ = candidates.rows([one])
    assert np.isfinite(residual).all() and (gap == LARGE_GAP_M2).all()


def test_the_flight_is_over_the_rim_at_time_zero(cliff: MapRanges) -> None:
    position, _, _ = Flight().motion(0.0)
    assert position == pytest.approx(place(LATITUDE_DEG, LONGITUDE_EAST_DEG, 6_000.0))
    steep = np.linalg.norm(cliff.below(position).gradient)
    assert steep > 2.0
