"""Does the cross-check blame the right party? Monte Carlo over descents without pictures.

    python -m bench.crosscheck hakuto --seeds 200
    python -m bench.crosscheck rim --seeds 1000
    python -m bench.crosscheck resilience --seeds 200
    python -m bench.crosscheck matrix --seeds 100 [--faults lrf-latency lrf-scale ...]
    python -m bench.crosscheck healthy --seeds 20
    python -m bench.crosscheck cost

Truth, sensors and faults are the simulator's over the real maps, image fixes are drawn
(`bench.descents` says how). Each finished descent is a line of --log, so that a run that was
stopped goes on; --workers N uses N processes. Tables go to standard output, --json FILE keeps them.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom, chi2

from bench.descents import Flown, Options, Scene, flown, scene
from bench.monte_carlo import Task, gathered, interval
from bench.tables import save, show
from trn.altimetry.verdict import ALTIMETER, CONSISTENT, MAP, NAVIGATION, UNDECIDED
from trn.simulate.range_finder import RangeFinder

CACHE = Path("runs/bench")

TRACKS_M = (-4000.0, -2000.0, 0.0, 2000.0, 4000.0)
GATES_M = (150.0, 250.0, 400.0, 600.0)
STATE_SIGMAS_M = (300.0, 1000.0, 2000.0)
REASONABLE_END_M, REASONABLE_END_SHARE = 10.0, 0.005
BELIEVED_UP_M = 3000.0

MATRIX_SCENARIOS = {"hakuto-r-m1": 3560.0, "tycho-highlands": 250.0, "mare-flat": 250.0}
BEFORE_S, LASTING_S, AFTER_S = 12.0, 15.0, 6.0
DETECTED_WITHIN = 10
READMITTED_WITHIN = 10

# Fault, sizes (None: the fault has none; in units of the least size that counts where `scaled`),
# and who must be named: a verdict, or the kind of an alarm while the altimeter stays trusted.
_SCALED, _PLAIN = True, False
BELOW_LEAST = {("lrf-latency", 0.3), ("lrf-dropout", 0.3)}
"""Listed, and counted apart: ranges change by less than the least size that counts, or not at all
(three missed readings in ten cannot be told within ten; see `dropout_bound`)."""
MATRIX: tuple[tuple[str, bool, tuple[float | None, ...], str], ...] = (
    ("lrf-stuck", _PLAIN, (None,), ALTIMETER),
    ("lrf-bias", _SCALED, (1.2, 3.0, 10.0), ALTIMETER),
    ("lrf-scale", _PLAIN, (0.012, 0.03, 0.1), ALTIMETER),
    ("lrf-noise", _SCALED, (1.2, 3.0, 10.0), ALTIMETER),
    ("lrf-dropout", _PLAIN, (0.3, 0.6, 1.0), ALTIMETER),
    ("lrf-late-acquisition", _PLAIN, (1000.0,), ALTIMETER),
    ("lrf-spikes", _SCALED, (1.2, 3.0, 10.0), ALTIMETER),
    ("lrf-latency", _PLAIN, (0.3, 1.0, 3.0), ALTIMETER),
    ("camera-blackout", _PLAIN, (0.02,), "camera"),
    ("camera-overexposed", _PLAIN, (8.0,), "camera"),
    ("camera-smear", _PLAIN, (12.0,), "camera"),
    ("imu-bias-step", _PLAIN, (0.05, 0.2, 1.0), "imu"),
    ("star-tracker-offset", _PLAIN, (0.1, 0.5, 2.0), "star-tracker"),
    ("state-position-jump", _PLAIN, (150.0, 500.0, 2000.0), NAVIGATION),
    ("map-shift", _PLAIN, (150.0, 400.0, 1000.0), MAP),
    ("clock-offset", _PLAIN, (0.1, 0.3, 1.0), "clock"),
)
DOUBLES = (
    ("lrf-bias", "camera-blackout"), ("lrf-noise", "state-position-jump"),
    ("lrf-stuck", "clock-offset"), ("imu-bias-step", "camera-blackout"),
    ("lrf-scale", "star-tracker-offset"), ("map-shift", "lrf-dropout"),
)  # fmt: skip
"""Pairs at once; a verdict is wrong where it names, with confidence, who is not at fault."""


# --- the missions --------------------------------------------------------------------------------


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


# --- the matrix of faults ------------------------------------------------------------------------


def least_size_m(scenario: str, cache: Path, time_s: float) -> float:
    """The least size of an altimeter's fault that counts: 30 m or 1 % of the range."""
    truth = scene(scenario, cache).truth
    return max(30.0, 0.01 * float(np.interp(time_s, truth.time_s, truth.range_m)))


def measure_fault(task: Task, run: Flown) -> dict[str, Any]:
    """Delay, who was named, false alarms before, and re-admission after."""
    onset_s = task.options.begin_s + BEFORE_S
    end_s = onset_s + LASTING_S
    verdicts = [judged.verdict for judged in run.judged]
    before = [
        judged.verdict != CONSISTENT
        for judged, t, ok in zip(run.judged, run.time_s, run.healthy, strict=True)
        if ok and t < onset_s
    ]
    altimeter_fault = any(text.startswith("lrf-") for text in task.faults)
    acted = run.touched if altimeter_fault else run.time_s >= onset_s
    acted = acted & (run.time_s >= onset_s - (1e9 if "late" in task.key else 0.0))
    first = int(np.argmax(acted)) if acted.any() else None
    delay = None
    named: Counter[str] = Counter()
    if first is not None:
        for k in range(first, len(verdicts)):
            if run.time_s[k] < end_s and verdicts[k] != CONSISTENT:
                if delay is None:
                    delay = k - first + 1
                named[verdicts[k]] += 1
    confident = Counter(
        judged.verdict
        for judged, t in zip(run.judged, run.time_s, strict=True)
        if onset_s <= t < end_s and judged.verdict not in (CONSISTENT, UNDECIDED)
    )
    alarms = [alarm.kind for alarm in run.alarms if alarm.time_s >= onset_s]
    after = [
        judged.used
        for judged, t, ok in zip(run.judged, run.time_s, run.healthy, strict=True)
        if ok and t >= end_s
    ]
    readmitted = next((k + 1 for k, used in enumerate(after) if used), None)
    alarm_s = next((a.time_s - onset_s for a in run.alarms if a.time_s >= onset_s), None)
    return {
        "before": len(before),
        "false": sum(before),
        "acted": first is not None,
        "delay": delay,
        "named": dict(named),
        "confident": dict(confident),
        "alarms": alarms,
        "alarm s": None if alarm_s is None else float(alarm_s),
        "readmitted": readmitted,
        "after": len(after),
        "touched": int(run.touched.sum()),
        "taken": sum(
            judged.used and bool(off) for judged, off in zip(run.judged, run.touched, strict=True)
        ),
    }


def matrix_tasks(
    seeds: int, cache: Path, faults: Sequence[str] = ()
) -> list[tuple[tuple[str, str, float | None], Task]]:
    """Every fault (or those named), size, scenario and seed."""
    tasks = []
    for scenario, onset_s in MATRIX_SCENARIOS.items():
        unit = least_size_m(scenario, cache, onset_s)
        options = Options(onset_s - BEFORE_S, onset_s + LASTING_S + AFTER_S, 300.0)
        for name, scaled, sizes, _ in MATRIX:
            if faults and name not in faults:
                continue
            for size in sizes:
                # A range finder that acquires late has been silent before.
                late = name == "lrf-late-acquisition"
                onset = 0.0 if late else onset_s
                healthy_until_s = None if late else onset_s
                text = f"{name}:onset={onset},duration={onset_s + LASTING_S - onset}"
                if size is not None:
                    text += f",size={size * unit if scaled else size}"
                for seed in range(seeds):
                    key = f"{scenario} {name} {size} {seed}"
                    task = Task(key, scenario, 0.0, seed, (text,), options, cache, healthy_until_s)
                    tasks.append(((scenario, name, size), task))
    return tasks


def matrix(seeds: int, cache: Path, workers: int, faults: Sequence[str] = ()) -> dict[str, Any]:
    """Detection, isolation, false alarms and re-admission by fault."""
    pairs = matrix_tasks(seeds, cache, faults)
    found = gathered([task for _, task in pairs], measure_fault, cache / "matrix.jsonl", workers)
    groups: dict[tuple[str, str, float | None], list[dict[str, Any]]] = {}
    for (group, _), result in zip(pairs, found, strict=True):
        groups.setdefault(group, []).append(result)
    expected = {name: party for name, _, _, party in MATRIX}
    table = []
    for (scenario, name, size), rows in groups.items():
        table.append(_matrix_row(scenario, name, size, rows, expected[name]))
    show("Faults: detection, isolation, re-admission", table)
    # Faults of one scenario and seed share what was before them: it counts once.
    begun = {(task.scenario, task.seed): row for (_, task), row in zip(pairs, found, strict=True)
             if task.healthy_until_s is not None}  # fmt: skip
    false, before = (sum(row[key] for row in begun.values()) for key in ("false", "before"))
    totals = [
        {"claim": "healthy readings before the faults", "value": before, "goal": ""},
        {"claim": "of those, not judged consistent", "value": false, "goal": before // 10_000},
        {"claim": "their share, 95 %", "value": interval(false, before), "goal": "0.01 %"},
        *_totals(groups, expected),
    ]
    show("Faults: all together", totals)
    return {"table": table, "totals": totals}


def right_party(row: dict[str, Any], party: str) -> bool:
    """Whether a run named who is at fault, and nobody else more often."""
    named = Counter(row["confident"])
    if party in (ALTIMETER, NAVIGATION, MAP):
        return bool(named) and named.most_common(1)[0][0] == party
    # A faulty inertial unit makes the navigated state wrong: both names are right.
    wrong = set(named) - ({NAVIGATION} if party == "imu" else set())
    alarms = [kind for kind in row["alarms"] if kind != UNDECIDED]
    return not wrong and bool(alarms) and alarms[0] == party


def detected(row: dict[str, Any], party: str) -> bool:
    """Whether a run noticed its fault: in time by a verdict, or at all by an alarm."""
    if party == ALTIMETER:
        return row["delay"] is not None and row["delay"] <= DETECTED_WITHIN
    return row["delay"] is not None or bool(row["alarms"])


def blamed(kind: str) -> bool:
    """Whether an alarm blames another than the altimeter."""
    return kind != UNDECIDED and not kind.startswith(ALTIMETER)


def _matrix_row(
    scenario: str, name: str, size: float | None, rows: list[dict[str, Any]], party: str
) -> dict[str, Any]:
    acted = [row for row in rows if row["acted"]]
    seen = [row for row in acted if detected(row, party)]
    noticed = [row for row in acted if row["delay"] is not None or row["alarms"]]
    delays = [row["delay"] for row in acted if row["delay"] is not None]
    back = [row["readmitted"] for row in acted if row["after"] >= READMITTED_WITHIN]
    return {
        "scenario": scenario,
        "fault": name,
        "size": "" if size is None else size,
        "runs": len(acted),
        "detected": len(seen),
        "ever": len(noticed),
        "delay p50": float(np.median(delays)) if delays else "",
        "delay max": max(delays) if delays else "",
        "right party": sum(right_party(row, party) for row in noticed),
        "re-admitted": f"{sum(n is not None and n <= READMITTED_WITHIN for n in back)}/{len(back)}",
    }


def dropout_bound(share: float, usual: float, within: int, false_alarms: float) -> float:
    """The most that any test can find of dropouts within so many readings (Neyman and Pearson).

    share, usual: of readings lost, faulty and healthy. false_alarms: a window of readings.
    """
    missed = np.arange(within + 1)
    beyond = binom.sf(missed - 1, within, usual)
    least = int(missed[beyond <= false_alarms][0])
    # The rest of the false alarms allowed is spent by lot one missed reading earlier.
    lot = (false_alarms - beyond[least]) / (beyond[least - 1] - beyond[least])
    return float(binom.sf(least - 1, within, share) + lot * binom.pmf(least - 1, within, share))


def _totals(
    groups: dict[tuple[str, str, float | None], list[dict[str, Any]]], expected: dict[str, str]
) -> list[dict[str, Any]]:
    acted = [
        (expected[name], row)
        for (_, name, _), rows in groups.items()
        for row in rows
        if row["acted"]
    ]
    large = [
        (expected[name], row)
        for (_, name, size), rows in groups.items()
        for row in rows
        if row["acted"] and expected[name] == ALTIMETER and (name, size) not in BELOW_LEAST
    ]
    small = [
        (expected[name], row)
        for (_, name, size), rows in groups.items()
        for row in rows
        if row["acted"] and (name, size) in BELOW_LEAST
    ]
    noticed = [(p, row) for p, row in acted if row["delay"] is not None or row["alarms"]]
    back = [row for p, row in large if row["after"] >= READMITTED_WITHIN]
    return [
        {"claim": f"altimeter faults noticed within {DETECTED_WITHIN} readings",
         "value": f"{sum(detected(row, p) for p, row in large)} of {len(large)}", "goal": "99 %"},
        {"claim": "smaller ones (dropouts of 30 %, latency of 0.3 s) noticed so",
         "value": f"{sum(detected(row, p) for p, row in small)} of {len(small)}", "goal": ""},
        {"claim": "the most that can be told of dropouts of 30 % at 1 false alarm in 10,000",
         "value": f"{dropout_bound(0.3, RangeFinder.dropouts, DETECTED_WITHIN, 1e-4):.0%}",
         "goal": ""},
        {"claim": "right party, of all faults noticed",
         "value": f"{sum(right_party(row, p) for p, row in noticed)} of {len(noticed)}",
         "goal": "98 %"},
        {"claim": "faulty readings taken, of altimeter faults noticed",
         "value": f"{sum(r['taken'] for _, r in large)} of {sum(r['touched'] for _, r in large)}",
         "goal": ""},
        {"claim": "altimeter faults with an alarm that blames another",
         "value": f"{sum(any(blamed(kind) for kind in r['alarms']) for _, r in large)} of "
                  f"{len(large)}", "goal": 0},
        {"claim": "other faults noticed",
         "value": f"{sum(detected(r, p) for p, r in acted if p != ALTIMETER)} of "
                  f"{sum(p != ALTIMETER for p, _ in acted)}", "goal": ""},
        {"claim": f"re-admitted within {READMITTED_WITHIN} readings",
         "value": f"{sum((r['readmitted'] or 99) <= READMITTED_WITHIN for r in back)} of "
                  f"{len(back)}", "goal": "100 %"},
    ]  # fmt: skip


def double(seeds: int, cache: Path, workers: int) -> dict[str, Any]:
    """Two faults at once: confident verdicts that name who is not at fault."""
    expected = {name: party for name, _, _, party in MATRIX}
    sizes = {name: sizes[len(sizes) // 2] for name, _, sizes, _ in MATRIX}
    scaled = {name: flag for name, flag, _, _ in MATRIX}
    tasks, parties = [], []
    for scenario, onset_s in MATRIX_SCENARIOS.items():
        unit = least_size_m(scenario, cache, onset_s)
        options = Options(onset_s - BEFORE_S, onset_s + LASTING_S + AFTER_S, 300.0)
        for pair in DOUBLES:
            texts = []
            for name in pair:
                text = f"{name}:onset={onset_s},duration={LASTING_S}"
                size = sizes[name]
                if size is not None:
                    text += f",size={size * unit if scaled[name] else size}"
                texts.append(text)
            for seed in range(seeds):
                key = f"{scenario} {' + '.join(pair)} {seed}"
                tasks.append(Task(key, scenario, 0.0, seed, tuple(texts), options, cache, onset_s))
                parties.append({expected[name] for name in pair})
    found = gathered(tasks, measure_fault, cache / "double.jsonl", workers)
    groups: dict[str, list[tuple[dict[str, Any], set[str]]]] = {}
    for task, row, guilty in zip(tasks, found, parties, strict=True):
        groups.setdefault(task.key.rsplit(" ", 1)[0], []).append((row, guilty))
    table = []
    for name, rows in groups.items():
        wrong = sum(
            sum(count for party, count in row["confident"].items() if party not in guilty)
            for row, guilty in rows
        )
        verdicts = sum(round(LASTING_S * 10) for _ in rows)
        table.append(
            {
                "scenario and faults": name,
                "runs": len(rows),
                "verdicts": verdicts,
                "confident and wrong": wrong,
                "per 1,000": 1000.0 * wrong / verdicts,
            }
        )
    show("Two faults at once", table)
    return {"table": table}


# --- healthy descents, and cost -------------------------------------------------------------------


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


def cost(cache: Path) -> dict[str, Any]:
    """Time a measurement of cross-check and filters, on one core."""
    at = scene("hakuto-r-m1", cache)
    options = Options(3500.0, 3600.0)
    # Once before: kernels are loaded and the map's tiles cut.
    flown(at, 0, (), options)
    run = flown(at, 1, (), options)
    each_ms = 1e3 * run.onboard_s / len(run.judged)
    table = [
        {"what": "inertial samples, aids, cross-check, altitude: a measurement, ms",
         "value": each_ms, "goal": 2.0}
    ]  # fmt: skip
    show("Cost on one core", table)
    return {"table": table}


def main() -> None:
    """Run one bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = ("hakuto", "rim", "resilience", "matrix", "double", "healthy", "cost")
    parser.add_argument("what", choices=what)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=CACHE, help="truth made once, and logs")
    names = [name for name, _, _, _ in MATRIX]
    parser.add_argument("--faults", nargs="+", choices=names, default=[], help="of the matrix")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.what == "cost":
        results = cost(given.cache)
    elif given.what == "matrix":
        results = matrix(given.seeds, given.cache, given.workers, given.faults)
    else:
        run = {"hakuto": hakuto, "rim": rim, "resilience": resilience, "double": double,
               "healthy": healthy}[given.what]  # fmt: skip
        results = run(given.seeds, given.cache, given.workers)
    save(given.json, results)


if __name__ == "__main__":
    main()
