"""Faults of the cross-check's bench: every one alone, in its sizes, and some two at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from bench.descents import Flown, Options, scene
from bench.monte_carlo import Task, gathered, interval
from bench.tables import show
from trn.altimetry.verdict import ALTIMETER, CONSISTENT, MAP, NAVIGATION, UNDECIDED
from trn.simulate.range_finder import RangeFinder

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


def fault_text(
    name: str, size: float | None, scaled: bool, unit_m: float, onset_s: float, lasting_s: float
) -> str:
    """A fault as `parse_fault` reads it; scaled: its size is in units of unit_m."""
    text = f"{name}:onset={onset_s},duration={lasting_s}"
    return text if size is None else f"{text},size={size * unit_m if scaled else size}"


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
                lasting_s = onset_s + LASTING_S - onset
                text = fault_text(name, size, scaled, unit, onset, lasting_s)
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
            texts = tuple(
                fault_text(name, sizes[name], scaled[name], unit, onset_s, LASTING_S)
                for name in pair
            )
            for seed in range(seeds):
                key = f"{scenario} {' + '.join(pair)} {seed}"
                tasks.append(Task(key, scenario, 0.0, seed, texts, options, cache, onset_s))
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
