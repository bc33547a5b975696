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

NONE, BIAS, SCALE, DELAY, NOISE, ROUGH = range(6)
"""What a supposed fault does to tested residuals; ROUGH is none: relief that the map does not show
is larger there by the factor that is its size."""


@njit(cache=True)
def _whitened(
    e: Any,
    a: Any,
    x: Any,
    keep: Any,
    noise: Any,
    map_variance: Any,
    gap: Any,
    k: int,
    i: int,
    extra: float,
    extra_before: float,
    rough: Any,
) -> tuple[float, float, float, float]:
    """Residual, its response to c and b, and variance of row k at place i, given the row before.

    rough: (K,), what is added to the map's variance.
    """
    if k == 0:
        return e[0, i], a[0], x[0], noise[0] + extra + gap[0, i] + map_variance[0] + rough[0]
    rho = keep[k]
    variance = (
        noise[k] + extra + gap[k, i]
        + rho * rho * (noise[k - 1] + extra_before)
        + (1.0 - rho * rho) * (map_variance[k] + rough[k])
    )  # fmt: skip
    return e[k, i] - rho * e[k - 1, i], a[k] - rho * a[k - 1], x[k] - rho * x[k - 1], variance


@njit(cache=True)
def _log_evidence(
    e: Any,
    gap: Any,
    a: Any,
    keep: Any,
    noise: Any,
    map_variance: Any,
    relief: Any,
    trained: int,
    log_weight: Any,
    mean: Any,
    variance: float,
    drift: float,
    kinds: Any,
    sizes: Any,
    shapes: Any,
    out: Any,
) -> None:
    """Log probability of the rows from `trained` on, given those before, for each explanation.

    e, gap: (K, N), residuals at N places and the variance of the relief between places. a, keep,
    noise, map_variance, relief: (K,). log_weight, mean: (N,), of the places and of c there;
    variance: of c, drift: added to it between training and test. kinds, sizes: (H,), what each
    explanation does and its 1-sigma size. shapes: (H, K), x_k. out: (H,).
    """
    rows, places = e.shape
    zero = np.zeros(rows)
    tested = np.empty((kinds.size, places))
    train = np.empty(places)
    for i in range(places):
        s0, s1 = 1.0 / variance, mean[i] / variance
        fit = mean[i] * mean[i] / variance
        logs = np.log(variance)
        for k in range(trained):
            y, response, _, v = _whitened(
                e, a, zero, keep, noise, map_variance, gap, k, i, 0.0, 0.0, zero
            )
            s0 += response * response / v
            s1 += response * y / v
            fit += y * y / v
            logs += np.log(v)
        train[i] = log_weight[i] - 0.5 * (fit - s1 * s1 / s0 + logs + np.log(s0))
        c, c_variance = s1 / s0, 1.0 / s0 + drift
        for h in range(kinds.size):
            extra = sizes[h] * sizes[h] if kinds[h] == NOISE else 0.0
            p0, p1 = 1.0 / c_variance, c / c_variance
            rough = (sizes[h] * sizes[h] - 1.0) * relief if kinds[h] == ROUGH else zero
            free = kinds[h] == BIAS or kinds[h] == SCALE or kinds[h] == DELAY
            q0 = 1.0 / (sizes[h] * sizes[h]) if free else 1.0
            q1, cross = 0.0, 0.0
            fit = c * c / c_variance
            logs = np.log(c_variance) - np.log(q0)
            for k in range(trained, rows):
                before = extra if k > trained else 0.0
                # The row before the first tested one is free of the supposed fault.
                y, response, shape, v = _whitened(
                    e, a, shapes[h], keep, noise, map_variance, gap, k, i, extra, before, rough
                )
                if k == trained and k > 0:
                    shape = shapes[h, k]
                p0 += response * response / v
                p1 += response * y / v
                fit += y * y / v
                logs += np.log(2.0 * np.pi * v)
                if free:
                    q0 += shape * shape / v
                    q1 += shape * y / v
                    cross += response * shape / v
            determinant = p0 * q0 - cross * cross
            solved = (q0 * p1 * p1 - 2.0 * cross * p1 * q1 + p0 * q1 * q1) / determinant
            tested[h, i] = -0.5 * (fit - solved + logs + np.log(determinant))
    highest = train.max()
    total = 0.0
    for i in range(places):
        total += np.exp(train[i] - highest)
    for h in range(kinds.size):
        best = -np.inf
        for i in range(places):
            best = max(best, train[i] - highest + tested[h, i])
        share = 0.0
        for i in range(places):
            share += np.exp(train[i] - highest + tested[h, i] - best)
        out[h] = best + np.log(share) - np.log(total)


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

    columns: (K, 8), of each row: time, range, response a, instrument's variance, map's variance,
    ground passed, range rate, the part of relief in the map's variance. accepted: (K,), whether a
    row may serve as comparison; the tested rows need not be. The last of `kinds` stands for dead
    reckoning that drifted in height, its size worked out from the time without a fix. out:
    (runs, H); rows of runs longer than K are left.
    """
    rows = e.shape[0]
    chosen = np.empty(rows, np.int64)
    for r in range(runs.size):
        count = runs[r]
        if count > rows:
            break
        trained = 0
        for k in range(rows - count):
            if accepted[k]:
                chosen[trained] = k
                trained += 1
        total = trained + count
        for k in range(count):
            chosen[trained + k] = rows - count + k
        pick = chosen[:total]
        a, noise, map_variance = columns[pick, 2], columns[pick, 3], columns[pick, 4]
        relief = columns[pick, 7]
        keep = np.ones(total)
        for k in range(1, total):
            keep[k] = np.exp(-(columns[pick[k], 5] - columns[pick[k - 1], 5]) / length_m)
        since_s = columns[rows - 1, 0] - columns[pick[max(trained - 1, 0)], 0]
        drift = (velocity_sigma * since_s) ** 2 + 4e-4
        if trained < least_trained:
            astray_m = 0.5 * acceleration * unaided_s**2
        else:
            # What has been tracked so far can only have drifted on from there.
            astray_m = acceleration * unaided_s * since_s
        used_sizes = sizes.copy()
        used_sizes[-1] = max(astray_m, 1e-2)
        shapes = np.ones((kinds.size, total))
        for h in range(kinds.size):
            for k in range(total):
                if kinds[h] == SCALE:
                    shapes[h, k] = columns[pick[k], 1]
                elif kinds[h] == DELAY:
                    shapes[h, k] = -columns[pick[k], 6]
                elif h == kinds.size - 1:
                    shapes[h, k] = a[k]
        _log_evidence(
            e[pick], gap[pick], a, keep, noise, map_variance, relief, trained, log_weight, mean,
            variance, drift, kinds, used_sizes, shapes, out[r],
        )  # fmt: skip
