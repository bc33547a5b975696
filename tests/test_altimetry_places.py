"""Candidate places: as spread as the navigated one is uncertain, and kept while it stays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.cliff import Flight, honest_belief
from trn.altimetry.belief import Belief
from trn.altimetry.places import MOVED_SIGMAS, NearPlaces, height_at
from trn.altimetry.profile import Candidates
from trn.altimetry.terrain import MapRanges
from trn.moon.frames import east_north_up

SIGMA_M = 60.0


def around(places: NearPlaces, belief: Belief) -> Candidates:
    down = belief.rotation.T @ np.array([0.0, 0.0, 1.0])
    return places.around(belief, east_north_up(belief.witness_m), down, 3_000.0)


def belief_off(east_m: float, sigma_m: float = SIGMA_M) -> Belief:
    """A navigation east of its witness."""
    return honest_belief(
        Flight(), -2.0, np.array([east_m, 0.0, 0.0]), sigma_m, witness_error_m=np.zeros(3)
    )


def test_places_are_spread_as_the_beam_is_uncertain(cliff: MapRanges) -> None:
    cliff.placement = None
    found = around(NearPlaces(cliff), belief_off(40.0)).offsets_m
    assert found.mean(axis=0) == pytest.approx([40.0, 0.0], abs=6.0)
    # The attitude's share of the beam's end is small beside the position's.
    assert found.std(axis=0) == pytest.approx([SIGMA_M, SIGMA_M], rel=0.1)


def test_places_are_kept_while_the_navigation_stays_and_spread_anew_where_it_moved(
    cliff: MapRanges,
) -> None:
    cliff.placement = None
    places = NearPlaces(cliff)
    first = around(places, belief_off(0.0))
    assert around(places, belief_off(0.9 * MOVED_SIGMAS * SIGMA_M)) is first
    moved = around(places, belief_off(1.1 * MOVED_SIGMAS * SIGMA_M))
    assert moved is not first
    # Twice the variance, or half of it, is another spread.
    assert around(places, belief_off(1.1 * MOVED_SIGMAS * SIGMA_M, 1.5 * SIGMA_M)) is not moved


def test_places_are_spread_anew_over_a_map_that_was_moved_and_when_told_to(
    cliff: MapRanges,
) -> None:
    cliff.placement = None
    places = NearPlaces(cliff)
    first = around(places, belief_off(0.0))
    cliff.placement = Rotation.from_rotvec([0.0, 0.0, 1e-4]).as_matrix()
    second = around(places, belief_off(0.0))
    cliff.placement = None
    third = around(places, belief_off(0.0))
    assert first is not second is not third
    places.forget()
    assert around(places, belief_off(0.0)) is not third


def test_a_place_to_the_side_is_as_much_higher_as_position_and_height_go_together() -> None:
    covariance = np.diag([100.0, 100.0, 25.0])
    covariance[0, 2] = covariance[2, 0] = 40.0
    mean, variance = height_at(np.array([10.0, 0.0, 3.0]), covariance, np.array([[20.0, 5.0]]))
    # A conditional Gaussian: 3 + 40 / 100 times 10; 25 - 40^2 / 100.
    assert mean == pytest.approx([7.0], abs=1e-6)
    assert variance == pytest.approx(9.0, abs=1e-6)
    assert math.isfinite(variance)
