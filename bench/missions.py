"""Whole descents of the cross-check's bench: HAKUTO-R Mission 1, Resilience, and healthy ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2

from bench.descents import Flown, Options, Scene, scene
from bench.monte_carlo import Task, gathered, interval
from bench.tables import show

TRACKS_M = (-4000.0, -2000.0, 0.0, 2000.0, 4000.0)
GATES_M = (150.0, 250.0, 400.0, 600.0)
STATE_SIGMAS_M = (300.0, 1000.0, 2000.0)
REASONABLE_END_M, REASONABLE_END_SHARE = 10.0, 0.005
BELIEVED_UP_M = 3000.0


def rim_index(at: Scene, count: int | None = None) -> int:
    """The reading at which the ground under the lander has fallen most in five seconds.

    count: of readings flown; None for all.
    """
    per, lag = round(at.scenario.imu.rate_hz / at.scenario.altimeter.rate_hz), 50
    altitude_m = at.truth.altitude_m[:count]
    ground_m = np.linalg.norm(at.truth.position_m[::per][: len(altitude_m)], axis=1) - altitude_m
    return int(np.argmax(ground_m[:-lag] - ground_m[lag:])) + lag


def longest(turned_away: Sequence[bool]) -> int:
    """Length of the longest run of True."""
    most = run = 0
    for away in turned_away:
        run = run + 1 if away else 0
        most = max(most, run)
    return most


def healthy_of(run: Flown) -> list[bool]:
    """For each healthy reading over known ground whether it was turned away."""
    return [
        not judged.used
        for judged, ok in zip(run.judged, run.healthy, strict=True)
        if ok and math.isfinite(judged.expected_m)
    ]


def measure_hakuto(task: Task, run: Flown) -> dict[str, Any]:
    """What becomes of baseline and of ours over the rim of Atlas."""
    rim = rim_index(scene(task.scenario, task.cache, task.aside_m), len(run.time_s))
    baseline = np.array(run.baseline_m)
    zero = np.flatnonzero(baseline <= 0.0)
    error = abs(run.altitude_m[-1] - run.true_altitude_m[-1])
    away = healthy_of(run)
    late = [run.true_altitude_m[k] for k in zero[:1]]
    return {
        "gate m": task.options.gate_m,
        "locked out": run.locked_out_s is not None,
        "from rim s": None if run.locked_out_s is None else run.locked_out_s - run.time_s[rim],
        "true altitude at zero m": float(late[0]) if late else None,
        "turned away": sum(away),
        "in a row": longest(away),
        "readings": len(away),
        "end error m": float(error),
        "end within": bool(
            error <= REASONABLE_END_M + REASONABLE_END_SHARE * run.true_altitude_m[-1]
        ),
        "rim NEES": float(run.nees[rim]),
        "alarms": [alarm.kind for alarm in run.alarms],
    }


def swept(seed: int) -> tuple[Options, float]:
    """A descent's gate and state error, and how far aside its track is."""
    gate = GATES_M[seed % len(GATES_M)]
    sigma = STATE_SIGMAS_M[seed % len(STATE_SIGMAS_M)]
    return Options(position_sigma_m=sigma, gate_m=gate), TRACKS_M[seed % len(TRACKS_M)]


def hakuto(seeds: int, cache: Path, workers: int) -> dict[str, Any]:
    """The baseline against ours, gate, state error and track swept."""
    tasks = []
    for seed in range(seeds):
        options, aside_m = swept(seed)
        tasks.append(Task(f"hakuto {seed}", "hakuto-r-m1", aside_m, seed, (), options, cache))
    found = gathered(tasks, measure_hakuto, cache / "hakuto.jsonl", workers)
    locked = [row for row in found if row["locked out"]]
    up = [row["true altitude at zero m"] for row in locked]
    reached = np.array([value for value in up if value is not None])
    by_gate = []
    for gate in GATES_M:
        here = [row for row in found if row["gate m"] == gate]
        shut = [row for row in here if row["locked out"]]
        zeros = np.array([row["true altitude at zero m"] or 0.0 for row in shut])
        by_gate.append(
            {
                "gate m": gate,
                "descents": len(here),
                "locked out": len(shut),
                "zero above 2.5 km": int((zeros > 2500.0).sum()),
                "zero above 3 km": int((zeros > BELIEVED_UP_M).sum()),
                "true altitude at zero, median m": float(np.median(zeros)) if len(zeros) else "",
            }
        )
    bound = float(chi2.isf(1e-3, 3))
    readings = sum(row["readings"] for row in found)
    away = sum(row["turned away"] for row in found)
    ours = [
        {"claim": "descents", "value": len(found), "goal": 200},
        {"claim": "baseline locked out", "value": len(locked), "goal": ""},
        {"claim": "of those, believed zero while more than 3 km up",
         "value": int((reached > BELIEVED_UP_M).sum()), "goal": "a stated share"},
        {"claim": "healthy readings over the map, as believed", "value": readings, "goal": ""},
        {"claim": "of those turned away by ours", "value": away, "goal": ""},
        {"claim": "longest run turned away", "value": max(row["in a row"] for row in found),
         "goal": 3},
        {"claim": "ended within 10 m + 0.5 %", "value": sum(row["end within"] for row in found),
         "goal": len(found)},
        {"claim": "largest error at the end, m",
         "value": max(row["end error m"] for row in found), "goal": 10},
        {"claim": "state inside its 99.9 % bound at the rim",
         "value": sum(row["rim NEES"] < bound for row in found), "goal": len(found)},
        {"claim": "mean NEES at the rim, a degree of freedom",
         "value": float(np.mean([row["rim NEES"] for row in found])) / 3.0, "goal": 1},
        {"claim": "descents with any alarm", "value": sum(bool(row["alarms"]) for row in found),
         "goal": 0},
    ]  # fmt: skip
    show("HAKUTO-R Mission 1: the baseline by its gate", by_gate)
    show("HAKUTO-R Mission 1: ours", ours)
    return {"by gate": by_gate, "ours": ours, "runs": found}


def measure_rim(task: Task, run: Flown) -> dict[str, Any]:
    """The state's error where a descent was ended."""
    return {"rim NEES": float(run.nees[-1])}


def rim(seeds: int, cache: Path, workers: int) -> dict[str, Any]:
    """The state's error at the rim against its own bounds: descents of `hakuto`, flown so far."""
    tasks = []
    for seed in range(1000, 1000 + seeds):
        options, aside_m = swept(seed)
        at = scene("hakuto-r-m1", cache, aside_m)
        options = replace(options, end_s=float(at.truth.time_s[rim_index(at)]))
        tasks.append(Task(f"rim {seed}", "hakuto-r-m1", aside_m, seed, (), options, cache))
    found = gathered(tasks, measure_rim, cache / "rim.jsonl", workers)
    nees = np.array([row["rim NEES"] for row in found])
    table = [{"claim": "mean NEES, a degree of freedom", "value": float(nees.mean()) / 3.0,
              "95 %": "", "goal": 1}]  # fmt: skip
    for risk in (0.05, 0.01, 0.001):
        beyond = int((nees > chi2.isf(risk, 3)).sum())
        table.append(
            {"claim": f"beyond the {1 - risk:.1%} bound", "value": f"{beyond} of {len(nees)}",
             "95 %": interval(beyond, len(nees)), "goal": f"{risk:.1%}"}
        )  # fmt: skip
    show("HAKUTO-R Mission 1: the state at the rim", table)
    return {"table": table}


def measure_resilience(task: Task, run: Flown) -> dict[str, Any]:
    """Silence, and late data, over Mare Frigoris."""
    at = scene(task.scenario, task.cache, task.aside_m)
    due = at.truth.range_m[: len(run.time_s)] < at.finder.maximum_range_m
    passed = float(run.time_s[int(np.argmax(due))])
    alarm = next((a.time_s for a in run.alarms if a.kind == "altimeter-silent"), None)
    first = int(np.argmax(run.valid))
    before = first - 1
    used = [k for k in range(first, len(run.judged)) if run.judged[k].used]
    jump = math.inf
    if used:
        k = used[0]
        # What the altitude moved by, less what the lander fell by in between.
        fell = run.true_altitude_m[k] - run.true_altitude_m[k - 1]
        jump = abs(run.altitude_m[k] - run.altitude_m[k - 1] - fell)
    return {
        "silence alarm s": None if alarm is None else float(alarm) - passed,
        "altitude error at 900 m": abs(run.altitude_m[before] - run.true_altitude_m[before]),
        "accepted after": used[0] - first + 1 if used else None,
        "jump m": float(jump),
        "claimed sigma m": run.sigma_m[before],
        "end error m": abs(run.altitude_m[-1] - run.true_altitude_m[-1]),
    }


def resilience(seeds: int, cache: Path, workers: int) -> dict[str, Any]:
    """Silence is noticed; late data is taken without a jump."""
    tasks = [
        Task(f"resilience {seed}", "resilience", 0.0, seed, (), Options(), cache)
        for seed in range(seeds)
    ]
    found = gathered(tasks, measure_resilience, cache / "resilience.jsonl", workers)
    delays = [row["silence alarm s"] for row in found]
    known = np.array([value for value in delays if value is not None])
    errors = np.array([row["altitude error at 900 m"] for row in found])
    accepted = [row["accepted after"] for row in found]
    ratio = np.array([row["jump m"] / row["claimed sigma m"] for row in found])
    table = [
        {"claim": "descents", "value": len(found), "goal": 200},
        {"claim": "silence alarm raised", "value": len(known), "goal": len(found)},
        {"claim": "within 2 s of 3 km", "value": int(((known >= 0) & (known <= 2)).sum()),
         "goal": len(found)},
        {"claim": "largest delay, s", "value": float(known.max()), "goal": 2},
        {"claim": "altitude error before the first range, median m",
         "value": float(np.median(errors)), "goal": ""},
        {"claim": "within 30 m", "value": int((errors <= 30).sum()), "goal": len(found)},
        {"claim": "first range taken within 5 readings",
         "value": sum(n is not None and n <= 5 for n in accepted), "goal": len(found)},
        {"claim": "jump no larger than the claimed sigma", "value": int((ratio <= 1).sum()),
         "goal": len(found)},
        {"claim": "jump over claimed sigma, p50 / max",
         "value": f"{np.median(ratio):.2f} / {ratio.max():.2f}", "goal": ""},
    ]  # fmt: skip
    show("Resilience: silence and late data", table)
    return {"table": table, "runs": found}


def measure_healthy(task: Task, run: Flown) -> dict[str, Any]:
    """False alarms, altitude against its level, over a whole descent."""
    known = np.isfinite(run.altitude_m)
    error = np.abs(np.array(run.altitude_m) - run.true_altitude_m)[known]
    level = np.array(run.level_m)[known]
    away = healthy_of(run)
    return {
        "readings": len(away),
        "turned away": sum(away),
        "in a row": longest(away),
        "altitudes": int(known.sum()),
        "beyond level": int((error > level).sum()),
        "error p50": float(np.median(error)),
        "level p50": float(np.median(level)),
        "alarms": [a.kind for a in run.alarms if not a.kind.startswith("altimeter-silent")],
    }


def healthy(seeds: int, cache: Path, workers: int) -> dict[str, Any]:
    """Nothing is wrong, and nothing may be said to be."""
    names = ("hakuto-r-m1", "resilience", "blue-ghost-m1", "tycho-highlands", "mare-flat")
    tasks = [
        Task(f"{name} {seed}", name, 0.0, 1000 + seed, (), Options(), cache)
        for name in names
        for seed in range(seeds)
    ]
    found = gathered(tasks, measure_healthy, cache / "healthy.jsonl", workers)
    table = []
    for name in names:
        rows = [row for row in found if row["key"].startswith(name)]
        readings, altitudes = (sum(row[key] for row in rows) for key in ("readings", "altitudes"))
        table.append(
            {
                "scenario": name,
                "descents": len(rows),
                "readings": readings,
                "turned away": sum(row["turned away"] for row in rows),
                "most in a row": max(row["in a row"] for row in rows),
                "alarms": sum(len(row["alarms"]) for row in rows),
                "altitudes": altitudes,
                "beyond level, share": sum(row["beyond level"] for row in rows) / altitudes,
                "error p50 m": float(np.median([row["error p50"] for row in rows])),
                "level p50 m": float(np.median([row["level p50"] for row in rows])),
            }
        )
    show("Healthy descents", table)
    return {"table": table, "runs": found}
