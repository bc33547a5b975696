"""Inertial measurements have the errors that their model states, no more and no less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trn.errors import InputError
from trn.simulate.imu import PERFECT, PRESETS, TACTICAL_GRADE, Imu, Triad

STEP_S = 0.01


def many_units(triad: Triad, truth: np.ndarray, units: int = 300) -> np.ndarray:
    """Errors of many units on the same truth, (units, N, 3)."""
    return np.array(
        [triad.measured(truth, STEP_S, np.random.default_rng(k)) - truth for k in range(units)]
    )


def test_a_perfect_unit_reports_the_truth() -> None:
    rng = np.random.default_rng(1)
    force, rate = rng.normal(size=(2, 50, 3))
    felt, turned = PERFECT.measured(force, rate, STEP_S, seed=3)
    assert np.array_equal(felt, force)
    assert np.array_equal(turned, rate)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_same_seed_reports_the_same(name: str) -> None:
    force, rate = np.random.default_rng(2).normal(size=(2, 20, 3))
    first = PRESETS[name].measured(force, rate, STEP_S, seed=5)
    again = PRESETS[name].measured(force, rate, STEP_S, seed=5)
    assert np.array_equal(first, again)


def test_biases_spread_over_units_as_stated() -> None:
    errors = many_units(Triad(bias=0.3), np.zeros((2, 3)))
    assert np.ptp(errors, axis=1).max() < 1e-12
    assert errors[:, 0].std() == pytest.approx(0.3, rel=0.1)


def test_noise_falls_with_the_root_of_the_step() -> None:
    errors = many_units(Triad(noise=0.02), np.zeros((200, 3)), units=20)
    assert errors.std() == pytest.approx(0.02 / np.sqrt(STEP_S), rel=0.05)


def test_the_bias_walks_with_the_root_of_time() -> None:
    errors = many_units(Triad(bias_walk=0.5), np.zeros((400, 3)))
    assert errors[:, 99].std() == pytest.approx(0.5 * np.sqrt(1.0), rel=0.1)
    assert errors[:, 399].std() == pytest.approx(0.5 * np.sqrt(4.0), rel=0.1)


def test_scale_acts_along_and_misalignment_across() -> None:
    truth = np.array([[10.0, 0.0, 0.0]])
    scaled = many_units(Triad(scale=1e-3), truth)[:, 0]
    tilted = many_units(Triad(misalignment_rad=1e-3), truth)[:, 0]
    assert scaled[:, 0].std() == pytest.approx(0.01, rel=0.1)
    assert np.abs(scaled[:, 1:]).max() == 0.0
    assert tilted[:, 1:].std() == pytest.approx(0.01, rel=0.1)
    assert np.abs(tilted[:, 0]).max() == 0.0


@given(count=st.floats(1e-6, 1e-2), level=st.floats(-20.0, 20.0), steps=st.integers(1, 200))
def test_counts_do_not_drift(count: float, level: float, steps: int) -> None:
    """However long, the sum of increments is within half a count of the truth's."""
    truth = np.full((steps, 3), level)
    felt = Triad(count=count).measured(truth, STEP_S, np.random.default_rng(0))
    assert np.abs((felt - truth).sum(axis=0) * STEP_S).max() <= 0.5 * count * (1 + 1e-6)
    counts = felt * STEP_S / count
    assert counts == pytest.approx(np.round(counts), abs=1e-6)


def test_accelerometers_and_gyroscopes_err_on_their_own() -> None:
    still = np.zeros((5, 3))
    same = Imu(Triad(bias=1.0), Triad(bias=1.0))
    felt, turned = same.measured(still, still, STEP_S, seed=1)
    assert not np.allclose(felt, turned)


@pytest.mark.parametrize("field", ["bias", "bias_walk", "noise", "scale", "count"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_impossible_errors_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        replace(TACTICAL_GRADE.gyroscope, **{field: value})


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(N, 3\)"):
        PERFECT.measured(np.zeros((4, 3)), np.zeros((5, 3)), STEP_S, seed=0)
