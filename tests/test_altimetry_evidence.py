"""The evidence kernel is the conditional density of one joint Gaussian, written out with SciPy.

The joint model of the residuals e of one place is e = a c + x b + m + n:

- c ~ N(mean, variance) is shared; b ~ N(0, size^2) acts on tested residuals alone;
- m is first-order Gauss-Markov: m_0 ~ N(0, v_0), m_k = rho_k m_(k-1) + w_k,
  w_k ~ N(0, (1 - rho_k^2) v_k); where tested ground is supposed to be rough, v_k of tested rows is
  larger by (size^2 - 1) times its part of relief;
- n is independent from one residual to the next.

What the kernel gives is log p(tested, trained) - log p(trained), over the mixture of places.
Differencing whitens m exactly and takes the noise that it mixes in as independent: equality is
exact where rho or the noise is zero, and close where the noise is small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from trn.altimetry import evidence
from trn.altimetry.evidence import BIAS, DELAY, DRIFT, NOISE, NONE, ROUGH, SCALE, weigh_runs

Array = NDArray[np.float64]

LENGTH_M = 150.0
TIME, RANGE, GAIN, NOISE_M2, MAP_M2, DISTANCE, RATE, RELIEF_M2 = range(8)
DRIFT_FLOOR_M2 = 4e-4
"""The kernel lets c drift by 2 cm at least between what it learnt and the test."""


@dataclass(frozen=True, eq=False)
class Case:
    """Rows as `weigh_runs` takes them, and the places' priors."""

    e: Array
    gap: Array
    columns: Array
    accepted: NDArray[np.bool_]
    log_weight: Array
    mean: Array
    variance: float


def case_of(
    seed: int,
    rows: int,
    places: int = 3,
    noise_m: float = 0.0,
    gap_m: float = 0.0,
    apart_m: float = 60.0,
) -> Case:
    """Random residuals; apart_m: ground between two of them."""
    rng = np.random.default_rng(seed)
    columns = np.empty((rows, 8))
    columns[:, TIME] = np.cumsum(rng.uniform(0.05, 0.3, rows))
    columns[:, RANGE] = rng.uniform(500.0, 6_000.0, rows)
    columns[:, GAIN] = rng.uniform(1.0, 1.3, rows)
    columns[:, NOISE_M2] = noise_m**2 * rng.uniform(0.5, 2.0, rows)
    columns[:, MAP_M2] = rng.uniform(3.0, 12.0, rows) ** 2
    columns[:, DISTANCE] = np.cumsum(apart_m * rng.uniform(0.3, 2.0, rows))
    columns[:, RATE] = rng.normal(0.0, 80.0, rows)
    weights = rng.uniform(0.2, 1.0, places)
    case = Case(
        rng.normal(0.0, 15.0, (rows, places)) + rng.normal(0.0, 30.0, places),
        gap_m**2 * rng.uniform(0.0, 1.0, (rows, places)),
        columns,
        rng.uniform(size=rows) < 0.8,
        np.log(weights / weights.sum()),
        rng.normal(0.0, 20.0, places),
        float(rng.uniform(10.0, 60.0) ** 2),
    )
    columns[:, RELIEF_M2] = columns[:, MAP_M2] * rng.uniform(0.0, 1.0, rows)
    return case


def drawn(case: Case, seed: int) -> Case:
    """The case with residuals drawn from the model of a healthy altimeter at each place."""
    rng = np.random.default_rng(seed)
    rows, places = case.e.shape
    columns = case.columns
    e = np.empty((rows, places))
    for i in range(places):
        c = rng.normal(case.mean[i], np.sqrt(case.variance))
        error = rng.normal(0.0, np.sqrt(columns[0, MAP_M2]))
        for k in range(rows):
            if k:
                rho = np.exp(-(columns[k, DISTANCE] - columns[k - 1, DISTANCE]) / LENGTH_M)
                fresh = np.sqrt((1.0 - rho**2) * columns[k, MAP_M2])
                error = rho * error + rng.normal(0.0, fresh)
            noise = np.sqrt(columns[k, NOISE_M2] + case.gap[k, i])
            e[k, i] = columns[k, GAIN] * c + error + rng.normal(0.0, noise)
    return replace(case, e=e)


def weighed(
    case: Case,
    runs: list[int],
    supposed: list[tuple[int, float]],
    velocity_sigma: float = 0.0,
    unaided_s: float = 3.0,
    acceleration: float = 0.1,
    least_trained: int = 6,
) -> Array:
    """What the kernel says, (runs, supposed); the drift's own explanation is left off."""
    out = np.full((len(runs), len(supposed) + 1), np.nan)
    weigh_runs(
        case.e, case.gap, case.columns, case.accepted, np.array(runs), LENGTH_M, case.log_weight,
        case.mean, case.variance, velocity_sigma, unaided_s, acceleration, least_trained,
        np.array([kind for kind, _ in supposed] + [DRIFT]),
        np.array([size for _, size in supposed] + [1.0]), out,
    )  # fmt: skip
    return out


def dense(
    case: Case, run: int, kind: int, size: float, x: Array | None = None, drift: float = 0.0
) -> float:
    """The same from one joint covariance a place. x: how a fault acts, where it is no `kind`."""
    rows = len(case.e)
    first = rows - run
    pick = np.array([k for k in range(rows) if k >= first or case.accepted[k]])
    tested = pick >= first
    columns = case.columns[pick]
    shape = {
        NONE: np.zeros(len(pick)), NOISE: np.zeros(len(pick)), ROUGH: np.zeros(len(pick)),
        BIAS: np.ones(len(pick)), SCALE: columns[:, RANGE], DELAY: -columns[:, RATE],
    }[kind] if x is None else x[pick]  # fmt: skip
    shape = np.where(tested, shape, 0.0)
    rho = np.exp(-np.diff(columns[:, DISTANCE]) / LENGTH_M)
    # m = L w, with L the recursion run on unit shocks.
    map_m2 = columns[:, MAP_M2]
    if kind == ROUGH:
        map_m2 = map_m2 + (size**2 - 1.0) * columns[:, RELIEF_M2] * tested
    shocks = np.concatenate([map_m2[:1], (1.0 - rho**2) * map_m2[1:]])
    recursion = np.eye(len(pick))
    for k in range(1, len(pick)):
        recursion[k] += rho[k - 1] * recursion[k - 1]
    a = columns[:, GAIN]
    shared = case.variance * np.outer(a, a) + size**2 * np.outer(shape, shape)
    shared += drift * np.outer(a * tested, a * tested)
    shared += recursion @ np.diag(shocks) @ recursion.T
    both, before = [], []
    for i in range(case.e.shape[1]):
        noise = columns[:, NOISE_M2] + case.gap[pick, i]
        noise = noise + (size**2 * tested if kind == NOISE else 0.0)
        covariance = shared + np.diag(noise)
        middle, e = case.mean[i] * a, case.e[pick, i]
        both.append(case.log_weight[i] + multivariate_normal.logpdf(e, middle, covariance))
        known = 0.0
        if not tested.all():
            kept = ~tested
            known = multivariate_normal.logpdf(e[kept], middle[kept], covariance[kept][:, kept])
        before.append(case.log_weight[i] + known)
    return float(logsumexp(both) - logsumexp(before))


SUPPOSED = [
    (NONE, 0.0), (BIAS, 40.0), (BIAS, 800.0), (SCALE, 0.02), (SCALE, 0.2), (DELAY, 0.3),
    (ROUGH, 1.0), (ROUGH, 5.0),
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 24), run=st.integers(1, 24))
def test_with_an_exact_instrument_the_evidence_is_the_joint_densitys(
    seed: int, rows: int, run: int
) -> None:
    case = case_of(seed, rows)
    run = min(run, rows)
    found = weighed(case, [run], SUPPOSED)[0, :-1]
    wanted = [dense(case, run, kind, size) for kind, size in SUPPOSED]
    # The drift's floor of 2 cm is all that is not in the joint model.
    assert found == pytest.approx(wanted, rel=2e-3, abs=0.02)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 24), run=st.integers(1, 24))
def test_far_apart_readings_have_the_joint_densitys_evidence_with_any_noise(
    seed: int, rows: int, run: int
) -> None:
    case = case_of(seed, rows, noise_m=6.0, gap_m=8.0, apart_m=100.0 * LENGTH_M)
    run = min(run, rows)
    supposed = [*SUPPOSED, (NOISE, 30.0), (NOISE, 150.0)]
    found = weighed(case, [run], supposed, velocity_sigma=2.0)[0, :-1]
    before = np.flatnonzero(case.accepted[: rows - run])
    since_s = case.columns[-1, TIME] - case.columns[before[-1] if before.size else 0, TIME]
    if not before.size:
        since_s = case.columns[-1, TIME] - case.columns[rows - run, TIME]
    drift = (2.0 * since_s) ** 2 + DRIFT_FLOOR_M2
    wanted = [dense(case, run, kind, size, drift=drift) for kind, size in supposed]
    assert found == pytest.approx(wanted, rel=1e-7, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 24), size=st.floats(1.0, 1e3))
def test_one_noisier_reading_has_the_joint_densitys_evidence(
    seed: int, rows: int, size: float
) -> None:
    case = case_of(seed, rows)
    found = weighed(case, [1], [(NOISE, size)])[0, 0]
    assert found == pytest.approx(dense(case, 1, NOISE, size), rel=2e-3, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), run=st.sampled_from([1, 2, 4, 8, 16, 24]))
@pytest.mark.parametrize(("noise_m", "most"), [(0.1, 0.05), (0.5, 0.5), (2.0, 4.0)])
def test_little_noise_changes_little(noise_m: float, most: float, seed: int, run: int) -> None:
    """Errors of the map being 3 to 12 m: the noisier the instrument, the more nats."""
    case = drawn(case_of(seed, 40, noise_m=noise_m), seed)
    found = weighed(case, [run], SUPPOSED)[0, :-1]
    wanted = [dense(case, run, kind, size) for kind, size in SUPPOSED]
    assert found == pytest.approx(wanted, rel=0.0, abs=most)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 16), unaided_s=st.floats(0.1, 60.0))
def test_a_drift_in_height_acts_like_the_offset_and_grows_with_the_time_without_a_fix(
    seed: int, rows: int, unaided_s: float
) -> None:
    case = case_of(seed, rows)
    run = min(4, rows)
    trained = int(case.accepted[: rows - run].sum())
    acceleration = 0.1
    found = weighed(
        case, [run], [(NONE, 0.0)], 0.0, unaided_s, acceleration, least_trained=trained + 1
    )[0, -1]
    astray_m = 0.5 * acceleration * unaided_s**2
    wanted = dense(case, run, BIAS, max(astray_m, 1e-2), x=case.columns[:, GAIN])
    assert found == pytest.approx(wanted, rel=2e-3, abs=0.02)


def test_what_was_tracked_can_only_have_drifted_on_from_there() -> None:
    case = case_of(5, 20)
    case.accepted[:] = True
    found = weighed(case, [4], [(NONE, 0.0)], 0.0, 12.0, 0.1)[0, -1]
    since_s = case.columns[-1, TIME] - case.columns[15, TIME]
    wanted = dense(case, 4, BIAS, 0.1 * 12.0 * since_s, x=case.columns[:, GAIN])
    assert found == pytest.approx(wanted, abs=0.02)


def test_several_runs_are_each_as_if_alone_and_longer_ones_than_the_rows_are_left() -> None:
    case = case_of(6, 12)
    together = weighed(case, [1, 2, 4, 8, 16], SUPPOSED)
    for k, run in enumerate([1, 2, 4, 8]):
        assert together[k].tolist() == weighed(case, [run], SUPPOSED)[0].tolist()
    assert np.isnan(together[4]).all()


def test_readings_that_were_not_accepted_teach_nothing() -> None:
    case = case_of(7, 20)
    case.accepted[:] = True
    case.accepted[3:9] = False
    before = weighed(case, [4], SUPPOSED)
    case.e[3:9] += 1e4
    assert weighed(case, [4], SUPPOSED).tolist() == before.tolist()


def test_rough_ground_of_size_one_or_without_relief_is_the_ground_as_it_mostly_is() -> None:
    case = case_of(10, 20, noise_m=2.0)
    plain, same, rough = weighed(case, [4], [(NONE, 0.0), (ROUGH, 1.0), (ROUGH, 5.0)])[0, :-1]
    assert same == plain and rough != plain
    case.columns[:, RELIEF_M2] = 0.0
    plain, rough = weighed(case, [4], [(NONE, 0.0), (ROUGH, 5.0)])[0, :-1]
    assert rough == plain


def test_only_relief_under_tested_readings_is_supposed_to_be_rough() -> None:
    case = case_of(11, 20)
    case.accepted[:] = True
    before = weighed(case, [4], [(ROUGH, 5.0)])[0, 0]
    case.columns[:-4, RELIEF_M2] *= 7.0
    assert weighed(case, [4], [(ROUGH, 5.0)])[0, 0] == before
    case.columns[-1, RELIEF_M2] *= 7.0
    assert weighed(case, [4], [(ROUGH, 5.0)])[0, 0] != before


def test_a_crater_that_the_map_does_not_show_is_the_best_explanation_of_its_readings() -> None:
    case = drawn(case_of(12, 40, noise_m=0.5), 12)
    case.accepted[:] = True
    case.columns[:, RELIEF_M2] = 0.7 * case.columns[:, MAP_M2]
    supposed = [(NONE, 0.0), (BIAS, 150.0), (SCALE, 0.2), (DELAY, 2.0), (ROUGH, 5.0)]
    assert int(np.argmax(weighed(case, [8], supposed)[0, :-1])) == 0
    # Up and down by some 4 sigma of the map over three times its correlation length.
    sigma_m = np.sqrt(case.columns[-8:, MAP_M2])
    case.e[-8:] += (4.0 * sigma_m * [1, 1, -1, -1, 1, 1, -1, -1])[:, None]
    assert int(np.argmax(weighed(case, [8], supposed)[0, :-1])) == 4


def test_a_planted_fault_is_the_best_explanation_of_its_readings() -> None:
    case = drawn(case_of(8, 40, noise_m=0.5), 8)
    case.accepted[:] = True
    rng = np.random.default_rng(9)
    for kind, size, change in (
        (BIAS, 150.0, np.full(8, 200.0)),
        (SCALE, 0.2, 0.15 * case.columns[-8:, RANGE]),
        (DELAY, 2.0, -2.5 * case.columns[-8:, RATE]),
        (NOISE, 150.0, rng.normal(0.0, 200.0, 8)),
    ):
        spoilt = replace(case, e=case.e.copy())
        spoilt.e[-8:] += np.asarray(change)[:, None]
        supposed = [(NONE, 0.0), (BIAS, 150.0), (SCALE, 0.2), (DELAY, 2.0), (NOISE, 150.0)]
        odds = weighed(spoilt, [8], supposed)[0, :-1]
        assert supposed[int(np.argmax(odds))] == (kind, size)
    assert int(np.argmax(weighed(case, [8], supposed)[0, :-1])) == 0


def test_the_kinds_are_told_apart_by_number() -> None:
    kinds = (
        evidence.NONE, evidence.BIAS, evidence.SCALE, evidence.DELAY, evidence.NOISE,
        evidence.ROUGH,
    )  # fmt: skip
    assert len(set(kinds)) == 6
