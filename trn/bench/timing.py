"""Times of repeated work: median and tails, throughput, and the table that people read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Times = Sequence[float]


@dataclass(frozen=True)
class Timing:
    """One stage on one backend.

    median_ms, p95_ms, p99_ms: of `runs` times after warm-up; with fewer than 100 runs p99 leans on
    the slowest one. per_second: `unit` done in a second at the median.
    """

    runs: int
    median_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float
    unit: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def summarised(spent_ms: Times, unit: str, work: float = 1.0) -> Timing:
    """Times in ms, float (runs,), of doing `work` units each. Raises ValueError for none."""
    if len(spent_ms) == 0:
        raise ValueError("no times to summarise")
    median, p95, p99 = (float(value) for value in np.percentile(spent_ms, (50, 95, 99)))
    # A clock may not tick during the shortest work.
    per_second = 1e3 * work / max(median, 1e-6)
    return Timing(len(spent_ms), median, p95, p99, per_second, unit)


def timed_ms(work: Callable[[], object], runs: int) -> list[float]:
    """Milliseconds of each of `runs` calls, after one that warms up."""
    work()
    spent = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        spent.append(1e3 * (time.perf_counter() - start))
    return spent


def markdown(title: str, timings: Mapping[str, Mapping[str, Timing]]) -> str:
    """A Markdown table of stages on backends: timings[backend][stage].

    With two backends a last column has how many times faster the second one is, at the median.
    """
    backends = list(timings)
    stages = dict.fromkeys(stage for found in timings.values() for stage in found)
    head = [title]
    for backend in backends:
        head += [f"{backend} median ms", "p95", "p99", "per second"]
    if len(backends) == 2:
        head.append(f"{backends[0]} / {backends[1]}")
    lines = [_row(head), _row(["---"] * len(head))]
    for stage in stages:
        cells = [stage]
        for backend in backends:
            timing = timings[backend].get(stage)
            cells += [""] * 4 if timing is None else _cells(timing)
        if len(backends) == 2:
            pair = [timings[backend].get(stage) for backend in backends]
            known = [timing.median_ms for timing in pair if timing is not None]
            cells.append(_figure(known[0] / max(known[1], 1e-6)) if len(known) == 2 else "")
        lines.append(_row(cells))
    return "\n".join(lines)


def _cells(timing: Timing) -> list[str]:
    times = (timing.median_ms, timing.p95_ms, timing.p99_ms)
    return [*map(_figure, times), f"{_figure(timing.per_second)} {timing.unit}"]


def _figure(value: float) -> str:
    """Three significant digits, thousands apart: 0.00123, 4.56, 1 230 000."""
    if abs(value) < 1000:
        return f"{value:.3g}"
    digits = int(np.floor(np.log10(abs(value))))
    return f"{round(value, 2 - digits):,.0f}".replace(",", " ")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
