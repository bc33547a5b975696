"""How well explanations fit a run of range residuals: exact Gaussian evidence, one kernel.

For each candidate place the residuals e_k = range - expected range are

    e_k = a_k c + x_k b + m_k + n_k

with c the vertical offset from the inertial witness, shared by all; b the size of a supposed fault
on the tested residuals, x_k how it acts there (1: bias, range: scale, range rate: delay); m_k the
map's error, a first-order Gauss-Markov process over ground distance (whitened by differencing); n_k
the instrument's noise. c and b are integrated out in closed form, places by their weights: what
is left is the probability of the tested residuals given those before them (Bayes factors: Kass and
Raftery 1995, J. Am. Stat. Assoc. 90).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

NONE, BIAS, SCALE, DELAY, NOISE, ROUGH, DRIFT = range(7)
"""What a supposed fault does to tested residuals; ROUGH is none: relief that the map does not show
is larger there by the factor that is its size. DRIFT is none of the altimeter's: dead reckoning
drifted in height, by a size that is worked out from the time without a fix."""

_TIME, _RANGE, _GAIN, _NOISE, _MAP, _DISTANCE, _RATE, _RELIEF = range(8)
_RHO, _RESPONSE, _VARIANCE, _MIXED, _UNSEEN = range(5)
_ON_C, _PULL, _FIT, _LOG = range(4)
_LARGE = 1e200


@njit(cache=True)
def _prepare(columns: Any, k: int, before: int, length_m: float, out: Any) -> None:
    """What the whitened row k is at every place, given the row before it (-1: none), into out.

    out: share rho of the row before that is taken off, response to c, variance but for the relief
    between places, share of noise mixed in from the row before, and variance of unseen relief.
    """
    rho = 0.0
    out[_RESPONSE] = columns[k, _GAIN]
    out[_VARIANCE] = columns[k, _NOISE]
    if before >= 0:
        rho = np.exp(-(columns[k, _DISTANCE] - columns[before, _DISTANCE]) / length_m)
        out[_RESPONSE] -= rho * columns[before, _GAIN]
        out[_VARIANCE] += rho * rho * columns[before, _NOISE]
    out[_RHO], out[_MIXED] = rho, rho * rho
    out[_VARIANCE] += (1.0 - rho * rho) * columns[k, _MAP]
    out[_UNSEEN] = (1.0 - rho * rho) * columns[k, _RELIEF]


@njit(cache=True)
def _track(e: Any, gap: Any, columns: Any, chosen: Any, length_m: float, tracked: Any) -> None:
    """What the chosen rows tell of c, summed up from the first on.

    tracked: (M + 1, 4, N): after none to all of the M rows, at each place, the sums of response^2 /
    v, response y / v, y^2 / v and log v of whitened residuals y of variance v.
    """
    row = np.empty(5)
    tracked[0] = 0.0
    for n in range(chosen.size):
        k, before = chosen[n], chosen[n - 1] if n > 0 else -1
        _prepare(columns, k, before, length_m, row)
        response = row[_RESPONSE]
        for i in range(e.shape[1]):
            y = e[k, i] - (row[_RHO] * e[before, i] if n > 0 else 0.0)
            v = row[_VARIANCE] + gap[k, i]
            tracked[n + 1, _ON_C, i] = tracked[n, _ON_C, i] + response * response / v
            tracked[n + 1, _PULL, i] = tracked[n, _PULL, i] + response * y / v
            tracked[n + 1, _FIT, i] = tracked[n, _FIT, i] + y * y / v
            tracked[n + 1, _LOG, i] = tracked[n, _LOG, i] + np.log(v)


@njit(cache=True)
def _shapes(columns: Any, k: int, before: int, rho: float, out: Any) -> None:
    """How faults of each kind act on the whitened row k, (7,); before: the row before, if tested.

    A row that is not tested is free of the supposed fault.
    """
    out[BIAS], out[SCALE] = 1.0, columns[k, _RANGE]
    out[DELAY], out[DRIFT] = -columns[k, _RATE], columns[k, _GAIN]
    if before >= 0:
        out[BIAS] -= rho
        out[SCALE] -= rho * columns[before, _RANGE]
        out[DELAY] += rho * columns[before, _RATE]
        out[DRIFT] -= rho * columns[before, _GAIN]


@njit(cache=True)
def _sum_up(rows: Any, y: Any, v: Any, out: Any) -> None:
    """Sums over tested rows of response^2 / v, response y / v, y^2 / v and log 2 pi v, into out."""
    out[:] = 0.0
    product = 1.0
    for n in range(rows.shape[0]):
        response, weight = rows[n, _RESPONSE], 1.0 / v[n]
        out[_ON_C] += response * response * weight
        out[_PULL] += response * y[n] * weight
        out[_FIT] += y[n] * y[n] * weight
        # One logarithm of a product is cheaper than a sum of them.
        product *= 2.0 * np.pi * v[n]
        if product > _LARGE:
            out[_LOG] += np.log(product)
            product = 1.0
    out[_LOG] += np.log(product)


@njit(cache=True)
def _test(
    e: Any,
    gap: Any,
    first: int,
    before: int,
    rows: Any,
    shapes: Any,
    i: int,
    c: float,
    c_variance: float,
    kinds: Any,
    sizes: Any,
    out: Any,
) -> None:
    """Log probability at place i of the rows from `first` on, for each explanation.

    out: (H, N). rows: (n, 5), as prepared. shapes: (n, 7). before: the last trained row, -1 for
    none. c, c_variance: what is known before of the vertical offset.
    """
    count = rows.shape[0]
    plain, spread = np.empty(4), np.empty(4)
    by_shape = np.zeros((3, 7))
    y, v, wider = np.empty(count), np.empty(count), np.empty(count)
    for n in range(count):
        k = first + n
        last = before if n == 0 else k - 1
        y[n] = e[k, i] - (rows[n, _RHO] * e[last, i] if last >= 0 else 0.0)
        v[n] = rows[n, _VARIANCE] + gap[k, i]
        for kind in (BIAS, SCALE, DELAY, DRIFT):
            shape = shapes[n, kind] * (1.0 / v[n])
            by_shape[0, kind] += shapes[n, kind] * shape
            by_shape[1, kind] += y[n] * shape
            by_shape[2, kind] += rows[n, _RESPONSE] * shape
    _sum_up(rows, y, v, plain)
    for h in range(kinds.size):
        kind, square = kinds[h], sizes[h] * sizes[h]
        if kind in (NOISE, ROUGH):
            for n in range(count):
                if kind == NOISE:
                    more = square * (1.0 + (rows[n, _MIXED] if n > 0 else 0.0))
                else:
                    more = (square - 1.0) * rows[n, _UNSEEN]
                wider[n] = v[n] + more
            _sum_up(rows, y, wider, spread)
        else:
            spread[:] = plain
        p0, p1 = 1.0 / c_variance + spread[_ON_C], c / c_variance + spread[_PULL]
        fit = c * c / c_variance + spread[_FIT]
        logs = np.log(c_variance) + spread[_LOG]
        q0, q1, cross = 1.0, 0.0, 0.0
        if kind in (BIAS, SCALE, DELAY, DRIFT):
            q0 = 1.0 / square + by_shape[0, kind]
            q1, cross = by_shape[1, kind], by_shape[2, kind]
            logs += np.log(square)
        determinant = p0 * q0 - cross * cross
        solved = (q0 * p1 * p1 - 2.0 * cross * p1 * q1 + p0 * q1 * q1) / determinant
        out[h, i] = -0.5 * (fit - solved + logs + np.log(determinant))


@njit(cache=True)
def _mixed(train: Any, tested: Any, out: Any) -> None:
    """Log probability of tested rows given the trained ones, over all places, (H,), into out."""
    highest = train.max()
    total = np.exp(train - highest).sum()
    for h in range(tested.shape[0]):
        joint = train - highest + tested[h]
        best = joint.max()
        out[h] = best + np.log(np.exp(joint - best).sum()) - np.log(total)


@njit(cache=True)
def weigh_runs(
    e: Any,
    gap: Any,
    columns: Any,
    accepted: Any,
    runs: Any,
    length_m: float,
    log_weight: Any,
    mean: Any,
    variance: float,
    velocity_sigma: float,
    unaided_s: float,
    acceleration: float,
    least_trained: int,
    kinds: Any,
    sizes: Any,
    out: Any,
) -> None:
    """Log evidence of the last n rows for each n of `runs` under each explanation.

    e, gap: (K, N), residuals at N places and the variance of the relief between places. columns:
    (K, 8), of each row: time, range, response a, instrument's variance, map's variance, ground
    passed, range rate, the part of relief in the map's variance. accepted: (K,), whether a row may
    serve as comparison; the tested rows need not be. log_weight, mean: (N,), of the places and of c
    there; variance: of c. kinds, sizes: (H,), what each explanation does and its 1-sigma size; a
    DRIFT's is worked out. out: (runs, H); rows of runs longer than K are left.
    """
    rows, places = e.shape
    chosen = np.flatnonzero(accepted)
    tracked = np.empty((chosen.size + 1, 4, places))
    _track(e, gap, columns, chosen, length_m, tracked)
    train, tested = np.empty(places), np.empty((kinds.size, places))
    used_sizes = sizes.copy()
    for r in range(runs.size):
        count = runs[r]
        if count > rows:
            break
        first = rows - count
        trained = np.searchsorted(chosen, first)
        before = chosen[trained - 1] if trained > 0 else -1
        since_s = columns[rows - 1, _TIME] - columns[before if trained > 0 else first, _TIME]
        drift = (velocity_sigma * since_s) ** 2 + 4e-4
        if trained < least_trained:
            astray_m = 0.5 * acceleration * unaided_s**2
        else:
            # What has been tracked so far can only have drifted on from there.
            astray_m = acceleration * unaided_s * since_s
        for h in range(kinds.size):
            if kinds[h] == DRIFT:
                used_sizes[h] = max(astray_m, 1e-2)
        prepared, shapes = np.empty((count, 5)), np.empty((count, 7))
        for n in range(count):
            last = before if n == 0 else first + n - 1
            _prepare(columns, first + n, last, length_m, prepared[n])
            free = -1 if n == 0 else last
            _shapes(columns, first + n, free, prepared[n, _RHO], shapes[n])
        for i in range(places):
            s0 = 1.0 / variance + tracked[trained, _ON_C, i]
            s1 = mean[i] / variance + tracked[trained, _PULL, i]
            fit = mean[i] * mean[i] / variance + tracked[trained, _FIT, i]
            logs = np.log(variance) + tracked[trained, _LOG, i]
            train[i] = log_weight[i] - 0.5 * (fit - s1 * s1 / s0 + logs + np.log(s0))
            _test(
                e, gap, first, before, prepared, shapes, i, s1 / s0, 1.0 / s0 + drift, kinds,
                used_sizes, tested,
            )  # fmt: skip
        _mixed(train, tested, out[r])
