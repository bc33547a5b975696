"""Image fixes name who is wrong: each planted error is explained best by its own party."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from trn.altimetry.belief import FixEvidence
from trn.altimetry.crosscheck import (
    CAMERA_PRIOR,
    CLOCK_PRIOR,
    DRIFT_PRIOR,
    MAP_PRIOR,
    STATE_PRIOR,
)
from trn.altimetry.fix_evidence import fix_likelihoods, log_normal

Array = NDArray[np.float64]

FIX_SIGMA_M, STATE_SIGMA_M = 10.0, 15.0
JUMP_SIGMA_M = 6.0
VELOCITY = np.array([300.0, -250.0, 20.0])
UP = np.array([0.0, 0.0, 1.0])


def fixes_of(
    from_navigation: Sequence[Array],
    from_witness: Sequence[Array],
    seed: int = 1,
    unaided_s: float = 1.0,
) -> list[FixEvidence]:
    """Fixes with noise of their own on top of what is planted."""
    rng = np.random.default_rng(seed)
    state_error = rng.normal(0.0, STATE_SIGMA_M, 3)
    fixes = []
    for k, (navigation, witness) in enumerate(zip(from_navigation, from_witness)):
        error = rng.normal(0.0, FIX_SIGMA_M, 3) - state_error
        fixes.append(
            FixEvidence(
                float(k), navigation + error, witness + error,
                (FIX_SIGMA_M**2 + STATE_SIGMA_M**2) * np.eye(3), FIX_SIGMA_M**2 * np.eye(3),
                VELOCITY, UP, unaided_s,
            )
        )  # fmt: skip
    return fixes


def best(fixes: list[FixEvidence], jump: Array) -> str:
    scores = asdict(fix_likelihoods(fixes, TRUSTED, jump, JUMP_SIGMA_M))
    return max(scores, key=lambda name: scores[name])


ZERO = np.zeros(3)
TOWARD = np.array([0.6, 0.0, 0.8])


TRUSTED = FixEvidence(
    -1.0, ZERO, ZERO, (FIX_SIGMA_M**2 + STATE_SIGMA_M**2) * np.eye(3), FIX_SIGMA_M**2 * np.eye(3),
    VELOCITY, UP, 1.0,
)  # fmt: skip
"""The fix that was taken a second before those told of."""


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 1e3))
def test_log_normal_is_scipys(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    root = scale * rng.normal(size=(3, 3))
    covariance = root @ root.T + 0.1 * scale**2 * np.eye(3)
    residual = 2.0 * scale * rng.normal(size=3)
    wanted = multivariate_normal.logpdf(residual, np.zeros(3), covariance)
    assert log_normal(residual, covariance) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [1, 2])
def test_where_nothing_is_planted_no_party_outweighs_that_faults_are_rare(
    count: int, seed: int
) -> None:
    told = fix_likelihoods(
        fixes_of([ZERO] * count, [ZERO] * count, seed), TRUSTED, ZERO, JUMP_SIGMA_M
    )
    rarest = {
        "state": STATE_PRIOR, "drift": DRIFT_PRIOR, "map": MAP_PRIOR, "clock": CLOCK_PRIOR,
        "camera": CAMERA_PRIOR,
    }  # fmt: skip
    for name, prior in rarest.items():
        assert asdict(told)[name] + prior < told.consistent


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size_m", [150.0, 400.0, 3_000.0])
def test_a_state_that_jumped_away_from_the_witness_is_named(size_m: float, seed: int) -> None:
    jump = size_m * TOWARD
    assert best(fixes_of([-jump] * 2, [ZERO] * 2, seed), jump) == "state"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size_m", [300.0, 1_000.0])
def test_a_shifted_map_errs_the_same_way_in_every_fix(size_m: float, seed: int) -> None:
    shift = size_m * np.array([0.8, 0.6, 0.0])
    assert best(fixes_of([shift] * 3, [shift] * 3, seed), ZERO) == "map"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("late_s", [-0.6, 0.4, 1.0])
def test_a_late_clock_errs_along_the_flight(late_s: float, seed: int) -> None:
    offset = -late_s * VELOCITY
    assert best(fixes_of([offset] * 3, [offset] * 3, seed), ZERO) == "clock"


@pytest.mark.parametrize("seed", range(4))
def test_fixes_that_err_each_for_itself_are_wrong_themselves(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    offsets = list(rng.normal(0.0, 600.0, (3, 3)))
    assert best(fixes_of(offsets, offsets, seed), ZERO) == "camera"


@pytest.mark.parametrize("seed", range(4))
def test_one_wrong_fix_is_no_reason_to_doubt_the_state(seed: int) -> None:
    offset = 500.0 * TOWARD
    told = fix_likelihoods(fixes_of([offset], [offset], seed), TRUSTED, ZERO, JUMP_SIGMA_M)
    assert told.camera > told.state + 20.0
    assert told.camera > told.drift + 20.0
    assert told.camera > told.consistent + 20.0


def test_dead_reckoning_that_went_on_alone_for_long_may_have_drifted() -> None:
    drift = 250.0 * TOWARD
    soon = fixes_of([drift] * 2, [drift] * 2, unaided_s=1.0)
    late = fixes_of([drift] * 2, [drift] * 2, unaided_s=60.0)
    told_soon = fix_likelihoods(soon, None, ZERO, JUMP_SIGMA_M)
    told_late = fix_likelihoods(late, None, ZERO, JUMP_SIGMA_M)
    assert told_late.drift - told_late.consistent > told_soon.drift - told_soon.consistent


def test_without_fixes_only_a_jump_tells() -> None:
    quiet = fix_likelihoods([], None, ZERO, JUMP_SIGMA_M)
    assert quiet.consistent > quiet.state
    jumped = fix_likelihoods([], None, 400.0 * TOWARD, JUMP_SIGMA_M)
    assert jumped.state > jumped.consistent + 100.0


@pytest.mark.parametrize("seed", range(4))
def test_dead_reckoning_that_moves_off_step_by_step_is_told_from_a_map_that_jumped(
    seed: int,
) -> None:
    """Fixes taken while it was small, turned away once it was not: 70, 80, 90 m off."""
    growing = [(70.0 + 10.0 * k) * TOWARD for k in range(3)]
    before = replace(TRUSTED, from_navigation_m=60.0 * TOWARD)
    scores = asdict(fix_likelihoods(fixes_of(growing, growing, seed), before, ZERO, JUMP_SIGMA_M))
    assert max(scores, key=lambda name: scores[name]) == "drift"


def test_channels_that_disagree_make_the_camera_likelier_and_those_that_agree_do_not() -> None:
    def doubt(separation: float) -> float:
        return replace(TRUSTED, channel_separation=separation).channel_doubt

    # 99 % of right fixes stay below 11.3 (chi-square of three degrees of freedom).
    assert doubt(0.0) == doubt(11.3) == 0.0
    assert 0.0 < doubt(20.0) < -CAMERA_PRIOR < doubt(40.0)
