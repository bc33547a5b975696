"""A run against the truth, where there is one: the numbers of summary.json, and the story."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.fix import PositionFix
from trn.localizer import Localizer
from trn.replay.descent import Descent
from trn.replay.onboard import Onboard
from trn.replay.record import CrosscheckRow
from trn.replay.story import Alarm, Curve, FixMark, Readings, Story

Array = NDArray[np.float64]
Fixes = Sequence[tuple[float, PositionFix, bool, str]]
States = Sequence[tuple[float, Array]]
"""Times since the start, and the places navigated then, (3,)."""


WRONG_MAP_PIXELS = 3.0
"""A fix that is further off than this, and beyond its protection level, is wrong."""
CHANGING_FAULTS = ("lrf-stuck", "lrf-bias", "lrf-scale", "lrf-noise", "lrf-spikes", "lrf-latency")
"""Faults under which valid ranges are not healthy; others only take ranges away."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One altimeter reading with what was known after it.

    time_s: since the start. position_m: (3,), navigated. position_level_m: its 3-D protection
    level. level: cosine of the beam's angle off nadir.
    """

    time_s: float
    row: CrosscheckRow
    position_m: Array
    position_level_m: float
    level: float


def summary_of(
    descent: Descent,
    samples: Sequence[Sample],
    states: States,
    fixes: Fixes,
    onboard: Onboard,
    localizer: Localizer,
    wall_s: float,
) -> dict[str, Any]:
    """The values of summary.json; errors are None without truth.

    states: navigated, at every reading and every frame; they tell without an altimeter, too.
    """
    duration_s = 0.0
    if states:
        duration_s = states[-1][0] - descent_begin_s(descent)
    position, altitude = position_errors_m(descent, states), altitude_errors_m(descent, samples)
    verdicts = dict.fromkeys(("consistent", "altimeter", "navigation", "map", "undecided"), 0)
    for sample in samples:
        if sample.row.valid or sample.row.verdict != "consistent":
            verdicts[sample.row.verdict] += 1
    healthy = [sample for sample in samples if is_healthy(descent, sample)]
    return {
        "dataset": descent.name,
        "scenario": descent.scenario,
        "seed": descent.seed,
        "backend": localizer.backend.name,
        "duration_s": duration_s,
        "real_time_factor": duration_s / wall_s if wall_s > 0.0 else None,
        "frames": {
            "total": len(fixes),
            "fixes": sum(fix.status == "fix" for _, fix, _, _ in fixes),
            "refused": sum(fix.status != "fix" for _, fix, _, _ in fixes),
            "wrong": wrong_fixes(descent, fixes, localizer.map.resolution_m),
        },
        "position_error_m": percentiles(position),
        "altitude_error_m": {**percentiles(altitude), "at_end": _last(altitude)},
        "crosscheck": {
            "measurements": sum(sample.row.valid for sample in samples),
            "healthy": len(healthy),
            "rejected_healthy": sum(not sample.row.used for sample in healthy),
            "longest_rejection_of_healthy": longest_rejection(healthy),
            "verdicts": verdicts,
            "alarms": [
                {"time_s": float(alarm.time_s), "kind": alarm.kind, "text": alarm.text}
                for alarm in onboard.alarms
            ],
        },
        "baseline": baseline_of(descent, samples, onboard),
    }


def descent_begin_s(descent: Descent) -> float:
    """Time of the initial state, seconds since the start."""
    return (descent.initial_state.time_ns - descent.start_ns) * 1e-9


def is_healthy(descent: Descent, sample: Sample) -> bool:
    """Whether a reading is valid and no fault was changing it."""
    if not sample.row.valid:
        return False
    return not any(
        fault.name in CHANGING_FAULTS
        and fault.onset_ns <= sample.row.time_ns
        and (fault.end_ns is None or sample.row.time_ns < fault.end_ns)
        for fault in descent.faults
    )


def longest_rejection(healthy: Sequence[Sample]) -> int:
    """Healthy readings turned away in a row, at most."""
    longest = run = 0
    for sample in healthy:
        run = 0 if sample.row.used else run + 1
        longest = max(longest, run)
    return longest


def true_positions_m(descent: Descent, time_s: Array) -> Array:
    """True positions at times, (N, 3), cubic between the truth's samples; NaN outside them."""
    truth = descent.truth
    if truth is None or truth.time_ns.size < 2:
        return np.full((len(time_s), 3), np.nan)
    known_s = (truth.time_ns - descent.start_ns) * 1e-9
    k = np.clip(np.searchsorted(known_s, time_s, side="right") - 1, 0, known_s.size - 2)
    step = (known_s[k + 1] - known_s[k])[:, None]
    s = (time_s - known_s[k])[:, None] / step
    p0, p1 = truth.position_m[k], truth.position_m[k + 1]
    v0, v1 = truth.velocity_m_per_s[k] * step, truth.velocity_m_per_s[k + 1] * step
    # Hermite's cubic.
    places = p0 + s * (v0 + s * (3 * (p1 - p0) - 2 * v0 - v1 + s * (2 * (p0 - p1) + v0 + v1)))
    places[(time_s < known_s[0] - 1e-6) | (time_s > known_s[-1] + 1e-6)] = np.nan
    return np.asarray(places)


def position_errors_m(descent: Descent, states: States) -> Array:
    """3-D position error of each state, NaN without truth."""
    if not states:
        return np.empty(0)
    truth = true_positions_m(descent, np.array([time_s for time_s, _ in states]))
    believed = np.array([position_m for _, position_m in states])
    return np.asarray(np.linalg.norm(believed - truth, axis=1))


def true_altitudes_m(descent: Descent, time_s: Array) -> Array:
    """True altitudes at times, (N,), NaN where the truth has none."""
    truth = descent.truth
    if truth is None or not truth.altitude_m.size:
        return np.full(len(time_s), np.nan)
    known_s = (truth.altitude_time_ns - descent.start_ns) * 1e-9
    return np.asarray(np.interp(time_s, known_s, truth.altitude_m, left=math.nan, right=math.nan))


def altitude_errors_m(descent: Descent, samples: Sequence[Sample]) -> Array:
    """Magnitude of the altitude's error at each sample, NaN where either is not known."""
    truth = true_altitudes_m(descent, np.array([sample.time_s for sample in samples]))
    believed = np.array(
        [math.nan if s.row.altitude_m is None else s.row.altitude_m for s in samples]
    )
    return np.abs(believed - truth)


def percentiles(errors: Array) -> dict[str, float | None]:
    """Median, 95 % and largest of what is known; None where nothing is."""
    known = errors[np.isfinite(errors)]
    if not known.size:
        return {"p50": None, "p95": None, "max": None}
    p50, p95 = np.percentile(known, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "max": float(known.max())}


def _last(errors: Array) -> float | None:
    known = errors[np.isfinite(errors)]
    return float(known[-1]) if known.size else None


def fix_errors_m(descent: Descent, fixes: Fixes) -> Array:
    """3-D error of each fix, NaN for refusals and without truth."""
    if not fixes:
        return np.empty(0)
    truth = true_positions_m(descent, np.array([time_s for time_s, *_ in fixes]))
    nowhere = np.full(3, math.nan)
    found = np.array([nowhere if f.position_m is None else f.position_m for _, f, _, _ in fixes])
    return np.asarray(np.linalg.norm(found - truth, axis=1))


def wrong_fixes(descent: Descent, fixes: Fixes, map_pixel_m: float) -> int | None:
    """Fixes further off than they may be; None without truth."""
    if descent.truth is None:
        return None
    wrong = 0
    for (_, fix, _, _), error in zip(fixes, fix_errors_m(descent, fixes), strict=True):
        level = fix.protection_level
        if level is None or not math.isfinite(error):
            continue
        allowed = math.hypot(level.horizontal_m, level.vertical_m)
        wrong += int(error > max(allowed, WRONG_MAP_PIXELS * map_pixel_m))
    return wrong


def baseline_of(
    descent: Descent, samples: Sequence[Sample], onboard: Onboard
) -> dict[str, float | bool | None]:
    """What became of the baseline."""
    baseline = onboard.baseline
    zero = next(
        (
            sample
            for sample in samples
            if sample.row.baseline_altitude_m is not None and sample.row.baseline_altitude_m <= 0.0
        ),
        None,
    )
    true_m = None
    if zero is not None:
        true_m = finite_or_none(float(true_altitudes_m(descent, np.array([zero.time_s]))[0]))
    return {
        "locked_out": baseline is not None and baseline.locked_out,
        "lockout_time_s": None if baseline is None else baseline.locked_out_at_s,
        "true_altitude_when_estimate_is_zero_m": true_m,
    }


def finite_or_none(value: float) -> float | None:
    """The value, None where it is not finite."""
    return value if math.isfinite(value) else None


def story_of(descent: Descent, samples: Sequence[Sample], fixes: Fixes, onboard: Onboard) -> Story:
    """The run for drawing. Ranges are shown as the vertical distances that they stand for."""
    time_s = np.array([sample.time_s for sample in samples])
    altitude = _column([sample.row.altitude_m for sample in samples])
    level = _column([sample.row.protection_level_m for sample in samples])
    baseline = _column([sample.row.baseline_altitude_m for sample in samples])
    valid = np.array([sample.row.valid for sample in samples], dtype=bool)
    ranges = np.array([sample.row.range_m * sample.level for sample in samples])
    used = np.array([sample.row.used for sample in samples], dtype=bool)
    lockout_s = None if onboard.baseline is None else onboard.baseline.locked_out_at_s
    truth = descent.truth
    true_altitude = None
    if truth is not None and truth.altitude_m.size:
        shown_s = np.asarray((truth.altitude_time_ns - descent.start_ns) * 1e-9, dtype=np.float64)
        true_altitude = Curve(shown_s, truth.altitude_m)
    errors = fix_errors_m(descent, fixes)
    has_truth = truth is not None
    position = position_errors_m(descent, [(each.time_s, each.position_m) for each in samples])
    return Story(
        title=descent.title,
        altitude=Curve(time_s, altitude),
        protection_level_m=level,
        readings=Readings(time_s[valid], ranges[valid], used[valid]),
        verdict_time_s=time_s,
        verdicts=tuple(sample.row.verdict for sample in samples),
        true_altitude=true_altitude,
        baseline=Curve(time_s, baseline),
        lockout_time_s=lockout_s,
        alarms=tuple(Alarm(float(a.time_s), a.kind, a.text) for a in onboard.alarms),
        fixes=tuple(
            FixMark(at_s, fix.status, used_fix, note or fix.reason, finite_or_none(float(error)))
            for (at_s, fix, used_fix, note), error in zip(fixes, errors, strict=True)
        ),
        position_error=Curve(time_s, position) if has_truth else None,
        position_level=(
            Curve(time_s, np.array([sample.position_level_m for sample in samples]))
            if has_truth
            else None
        ),
    )


def _column(values: Sequence[float | None]) -> Array:
    return np.array([math.nan if value is None else value for value in values])
