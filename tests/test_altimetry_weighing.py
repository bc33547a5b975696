"""Runs of readings weighed at places: faults are told, and where else the lander may be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.cliff import ALTIMETER, Flight, Readings, honest_belief
from trn.altimetry.belief import Belief
from trn.altimetry.crosscheck import STATE_PRIOR
from trn.altimetry.expected import ExpectedRange
from trn.altimetry.places import NearPlaces
from trn.altimetry.profile import Reading
from trn.altimetry.suppositions import FAULTS
from trn.altimetry.terrain import MapRanges
from trn.altimetry.weighing import Weigher
from trn.altimetry.window import Window
from trn.moon.frames import east_north_up

SIGMA_M = 20.0
TRAINED, TESTED = 40, 8


def weighed(
    ranges: MapRanges, bias_m: float = 0.0, repeated: bool = False
) -> tuple[Weigher, Belief, list[Reading]]:
    """Readings that were taken, and then some that are off by a bias, or all the same."""
    ranges.placement = None
    flight = Flight()
    window, near, source = (
        Window(ranges, ALTIMETER),
        NearPlaces(ranges),
        Readings(ranges, flight, 3),
    )
    weigher = Weigher(ranges, near, ALTIMETER.resolution_m)
    last_m = math.nan
    for k in range(TRAINED + TESTED):
        time_s = -8.0 + 0.1 * k
        belief = honest_belief(flight, time_s, np.zeros(3), SIGMA_M)
        axes = east_north_up(belief.witness_m)
        down = belief.rotation.T @ ALTIMETER.boresights()[0]
        read_m = source.range_m(time_s)
        if k >= TRAINED:
            read_m = last_m if repeated else read_m + bias_m
        else:
            last_m = read_m
        places = near.around(belief, axes, down, read_m)
        cast = places.expected(belief.witness_m, down)
        expected = ExpectedRange(cast, np.full(len(cast), 1 / len(cast)), np.full(len(cast), 20.0))
        window.move(belief)
        window.add(belief, down, read_m, expected, 1.0, ranges.below(belief.position_m))
        window.readings[-1].accepted = k < TRAINED
    return weigher, belief, window.readings


def test_a_bias_is_told_and_a_healthy_run_speaks_for_none(cliff: MapRanges) -> None:
    for bias_m, least, most in ((0.0, -math.inf, 3.0), (200.0, 50.0, math.inf)):
        weigher, belief, readings = weighed(cliff, bias_m)
        odds, near = weigher.readings(belief, east_north_up(belief.witness_m), readings)
        assert odds[0] == 0.0
        assert least < odds[FAULTS].max() < most
        assert set(near) == {1, 2, 4, 8, 16, 24}
        well, faulty = weigher.well_and_faulty(belief, readings, TESTED)
        assert least < faulty - well < most


def test_repeated_values_are_told_from_new_ones(cliff: MapRanges) -> None:
    for repeated in (False, True):
        weigher, belief, readings = weighed(cliff, repeated=repeated)
        _, near = weigher.readings(belief, east_north_up(belief.witness_m), readings)
        assert (weigher.stuck(near, readings) > 0.0) == repeated


def test_without_readings_nothing_is_told(cliff: MapRanges) -> None:
    weigher, belief, _ = weighed(cliff)
    axes = east_north_up(belief.witness_m)
    odds, near = weigher.readings(belief, axes, [])
    assert odds[0] == 0.0 and near == {}
    assert np.isneginf(odds[1:]).all()
    assert weigher.elsewhere(belief, axes, [], near, []) == (0.0, 0.0)


def test_a_state_moved_off_its_witness_has_the_readings_against_it(cliff: MapRanges) -> None:
    weigher, belief, readings = weighed(cliff)
    axes = east_north_up(belief.witness_m)
    _, near = weigher.readings(belief, axes, readings)
    honest, _ = weigher.elsewhere(belief, axes, [], near, readings)
    assert honest == 0.0
    # The navigation says 1.5 km higher than it flies; the witness is where the readings fit.
    moved = replace(belief, position_m=belief.position_m + 1_500.0 * axes[2], witness_sigma_m=10.0)
    _, there = weigher.readings(moved, axes, readings)
    at_witness, at_fix = weigher.elsewhere(moved, axes, [], there, readings)
    # More than the prior is against it.
    assert at_witness > -STATE_PRIOR
    assert at_fix == pytest.approx(0.0)
