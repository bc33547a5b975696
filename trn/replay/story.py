"""The story of a descent as charts: altitudes, readings and verdicts over time; errors and bounds.

A `Story` is plain arrays, so that a chart can be drawn of any run, also of one read from its files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.replay.chart import Chart

Array = NDArray[np.float64]

VERDICTS = ("consistent", "undecided", "map", "navigation", "altimeter")
"""From the mildest to the gravest: where several fall on one pixel, the gravest shows."""
VERDICT_COLOURS = ("green", "grey", "violet", "orange", "red")

ZOOM_BEFORE_S, ZOOM_AFTER_S = 25.0, 35.0
_KM_FROM_M = 4000.0
_LEAST_ERROR_M = 0.1


@dataclass(frozen=True, eq=False)
class Curve:
    """Values over time: time_s (N,), ascending; value_m (N,), NaN where there is none."""

    time_s: Array
    value_m: Array


@dataclass(frozen=True, eq=False)
class Readings:
    """Valid range readings: time_s, range_m, used (bool), all (N,)."""

    time_s: Array
    range_m: Array
    used: NDArray[np.bool_]


@dataclass(frozen=True)
class Alarm:
    """One alarm."""

    time_s: float
    kind: str
    text: str


@dataclass(frozen=True)
class FixMark:
    """One answer to a frame.

    error_m: 3-D, None without truth or fix. note: why there is no fix, or why it is not used.
    """

    time_s: float
    status: str
    used: bool
    note: str = ""
    error_m: float | None = None


@dataclass(frozen=True, eq=False)
class Story:
    """A run, for drawing. Times are seconds since the descent's start.

    altitude: ours, with protection_level_m (N,) beside it. true_altitude, baseline: None where
    there are none. verdict_time_s (M,) and verdicts (M), of VERDICTS. lockout_time_s: when the
    baseline shut the range finder out for good. zoom_s: from and to of the second chart; around the
    lock-out where it is None. position_error and position_level: 3-D, None without truth.
    """

    title: str
    altitude: Curve
    protection_level_m: Array
    readings: Readings
    verdict_time_s: Array
    verdicts: tuple[str, ...]
    true_altitude: Curve | None = None
    baseline: Curve | None = None
    lockout_time_s: float | None = None
    alarms: tuple[Alarm, ...] = ()
    fixes: tuple[FixMark, ...] = ()
    zoom_s: tuple[float, float] | None = None
    position_error: Curve | None = None
    position_level: Curve | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for series of unequal length and verdicts that are not known."""
        if self.protection_level_m.shape != self.altitude.time_s.shape:
            raise ValueError("protection_level_m and altitude must have one shape")
        if len(self.verdicts) != len(self.verdict_time_s):
            raise ValueError("verdicts and verdict_time_s must have one length")
        unknown = set(self.verdicts) - set(VERDICTS)
        if unknown:
            raise ValueError(f"unknown verdicts {sorted(unknown)}")

    @property
    def zoom(self) -> tuple[float, float] | None:
        """From and to of the second chart; None where there is nothing to look at closely."""
        if self.zoom_s is not None or self.lockout_time_s is None:
            return self.zoom_s
        return self.lockout_time_s - ZOOM_BEFORE_S, self.lockout_time_s + ZOOM_AFTER_S

    def span_s(self) -> tuple[float, float]:
        """First and last time of anything drawn over altitude."""
        series = [self.altitude.time_s, self.readings.time_s]
        series += [curve.time_s for curve in (self.true_altitude, self.baseline) if curve]
        ends = [float(time) for times in series if times.size for time in (times[0], times[-1])]
        if not ends:
            return 0.0, 1.0
        return min(ends), max(max(ends), min(ends) + 1e-3)


def story_svg(
    story: Story,
    window_s: tuple[float, float] | None = None,
    name: str = "story",
    title: str | None = None,
) -> str:
    """Altitudes, readings, marks and the verdict ribbon over time, as one SVG document.

    window_s: from and to, all of the descent where it is None. name: tells charts of one page
    apart. title: the story's own where it is None. The file follows the reader's light or dark
    mode.
    """
    window = window_s or story.span_s()
    unit, divisor = ("km", 1e3) if _highest(story, window) > _KM_FROM_M else ("m", 1.0)
    # Room above the curves for the words at a mark.
    top = 1.16 * max(_highest(story, window), 1.0) / divisor
    chart = Chart(
        name,
        story.title if title is None else title,
        window,
        (-0.05 * top, top),
        ("Time since the start of the descent, s", f"Altitude and range, {unit}"),
        height_px=518,
        top_px=102,
        bottom_px=112,
    )
    _draw_altitudes(chart, story, divisor)
    _draw_marks(chart, story, divisor)
    _draw_ribbon(chart, story)
    return chart.svg()


def error_svg(story: Story) -> str | None:
    """Position error and protection level over time, logarithmic; None without truth."""
    error, level = story.position_error, story.position_level
    if error is None or not np.isfinite(error.value_m).any():
        return None
    found = [error.value_m] if level is None else [error.value_m, level.value_m]
    values = np.concatenate(found)
    values = np.maximum(values[np.isfinite(values)], _LEAST_ERROR_M)
    bounds = 10.0 ** np.floor(np.log10(values.min())), 10.0 ** np.ceil(np.log10(1.1 * values.max()))
    chart = Chart(
        "errors",
        "Position: error against protection level",
        story.span_s(),
        (float(bounds[0]), float(bounds[1])),
        ("Time since the start of the descent, s", "Distance, m"),
        height_px=360,
        log_y=True,
    )
    if level is not None:
        floor = np.full(level.time_s.shape, bounds[0])
        chart.band(level.time_s, floor, level.value_m, "ours")
        chart.curve(level.time_s, level.value_m, "ours", 1.4, opacity=0.8)
    chart.curve(error.time_s, np.maximum(error.value_m, _LEAST_ERROR_M), "ink", 1.2)
    known = [mark for mark in story.fixes if mark.error_m is not None]
    for used, colour in ((True, "taken"), (False, "away")):
        some = [mark for mark in known if mark.used is used]
        chart.marks(
            np.array([mark.time_s for mark in some]),
            np.maximum(np.array([mark.error_m for mark in some]), _LEAST_ERROR_M),
            colour,
            "ring",
            2.6,
        )
    chart.legend(
        [
            ("error of the state", "ink", "line"),
            ("protection level", "ours", "band"),
            ("error of a fix used", "taken", "ring"),
            ("of a fix not used", "away", "ring"),
        ],
        46.0,
    )
    return chart.svg()


def _highest(story: Story, window: tuple[float, float]) -> float:
    """Largest altitude inside a window, but for a few absurd ones; readings may be anything."""
    highest = 0.0
    for curve in (story.true_altitude, story.altitude):
        if curve is not None:
            inside = (curve.time_s >= window[0]) & (curve.time_s <= window[1])
            values = curve.value_m[inside & np.isfinite(curve.value_m)]
            highest = max(highest, float(np.quantile(values, 0.999)) if values.size else 0.0)
    return highest


def _draw_altitudes(chart: Chart, story: Story, divisor: float) -> None:
    ours, level = story.altitude, story.protection_level_m
    entries = []
    if story.true_altitude is not None:
        truth = story.true_altitude
        chart.curve(truth.time_s, truth.value_m / divisor, "truth", 5.0, opacity=0.65)
        entries.append(("true altitude", "truth", "thick"))
    chart.band(
        ours.time_s, (ours.value_m - level) / divisor, (ours.value_m + level) / divisor, "ours"
    )
    taken, readings = story.readings.used, story.readings
    for some, colour, shape, size in ((taken, "taken", "dot", 1.6), (~taken, "away", "cross", 2.2)):
        chart.marks(
            readings.time_s[some],
            readings.range_m[some] / divisor,
            colour,
            "dot" if shape == "dot" else "cross",
            size,
        )
    if story.baseline is not None:
        chart.curve(story.baseline.time_s, story.baseline.value_m / divisor, "baseline", 2.0, "7 4")
    chart.curve(ours.time_s, ours.value_m / divisor, "ours", 1.8)
    entries += [("trn", "ours", "line"), ("protection level", "ours", "band")]
    if story.baseline is not None:
        entries.append(("baseline: gate with lock-out", "baseline", "dashes"))
    chart.legend(entries, 46.0)
    marks = [("range taken", "taken", "dot"), ("range turned away", "away", "cross")]
    if story.alarms:
        marks.append(("alarm", "away", "flag"))
    chart.legend(marks, 66.0)


def _draw_marks(chart: Chart, story: Story, divisor: float) -> None:
    chart.flags(
        [alarm.time_s for alarm in story.alarms],
        "away",
        [f"{alarm.kind}: {alarm.text}" for alarm in story.alarms],
    )
    if story.lockout_time_s is None:
        return
    chart.moment(story.lockout_time_s, "baseline locks the range finder out", "baseline", 16.0)
    zero = _time_of_zero(story)
    if zero is None:
        return
    text, foot = "baseline believes 0 m", 0.0
    if story.true_altitude is not None:
        truth = float(np.interp(zero, story.true_altitude.time_s, story.true_altitude.value_m))
        text += f"\ntrue altitude {truth:,.0f} m"
        if chart.x.low <= zero <= chart.x.high:
            chart.gap(zero, 0.0, truth / divisor, "baseline")
        # The lander falls: to the right, over its true altitude, nothing else is drawn.
        foot = max(truth / divisor, 0.0)
    chart.point(zero, 0.0, text, "baseline", float(chart.y(foot) - chart.y(0.0)) - 9.0)


def _time_of_zero(story: Story) -> float | None:
    """When the baseline's altitude first falls to zero after its lock-out."""
    if story.baseline is None or story.lockout_time_s is None:
        return None
    later = (story.baseline.time_s >= story.lockout_time_s) & (story.baseline.value_m <= 0.0)
    return float(story.baseline.time_s[np.argmax(later)]) if later.any() else None


def _draw_ribbon(chart: Chart, story: Story) -> None:
    top = chart.bottom + 46.0
    severity = np.array([VERDICTS.index(verdict) for verdict in story.verdicts], dtype=np.int64)
    chart.ribbon(story.verdict_time_s, severity, VERDICT_COLOURS, top, 16.0)
    chart.label(chart.left - 8, top + 12, "verdict", "end", "soft")
    names = {"consistent": "all consistent", "undecided": "undecided", "map": "map wrong",
             "navigation": "navigation wrong", "altimeter": "altimeter faulty"}  # fmt: skip
    chart.legend(
        [
            (names[verdict], colour, "box")
            for verdict, colour in zip(VERDICTS, VERDICT_COLOURS, strict=True)
        ],
        top + 38.0,
    )
