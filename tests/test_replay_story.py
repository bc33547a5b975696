"""The page of a run tells its story in one small file that loads nothing and runs nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trn.replay.chart import Scale, thinned
from trn.replay.run_report import run_report, write_run_report
from trn.replay.story import VERDICTS, Alarm, Curve, FixMark, Readings, Story, error_svg, story_svg

CRATER_S, LOCKOUT_S, SILENCE_S = 300.0, 302.0, (480.0, 486.0)

SUMMARY: dict[str, Any] = {
    "dataset": "atlas-1", "scenario": "hakuto-r-m1", "seed": 1, "backend": "cpu",
    "duration_s": 600.0, "real_time_factor": 3.2,
    "frames": {"total": 600, "fixes": 560, "refused": 40, "wrong": 0},
    "position_error_m": {"p50": 21.0, "p95": 60.0, "max": 140.0},
    "altitude_error_m": {"p50": 2.0, "p95": 14.0, "max": 30.0, "at_end": 1.1},
    "crosscheck": {
        "measurements": 6000, "healthy": 5940, "rejected_healthy": 0,
        "longest_rejection_of_healthy": 0,
        "verdicts": {"consistent": 5850, "altimeter": 60, "navigation": 0, "map": 0,
                     "undecided": 90},
        "alarms": [],
    },
    "baseline": {"locked_out": True, "lockout_time_s": LOCKOUT_S,
                 "true_altitude_when_estimate_is_zero_m": 5100.0},
}  # fmt: skip


def believable_story(samples: int = 6000) -> Story:
    """Ten minutes that end in a crater: its rim, 3 km high, is where the baseline gives up."""
    rng = np.random.default_rng(5)
    time = np.linspace(0.0, 600.0, samples)
    height = 9000.0 * (1.0 - time / 600.0) ** 1.3
    plain = 200.0 * np.sin(time / 19.0) * np.exp(-(((time - 150.0) / 90.0) ** 2))
    rim = 700.0 * np.exp(-(((time - 285.0) / 12.0) ** 2))
    floor = -3000.0 / (1.0 + np.exp(-(time - CRATER_S) / 0.8))
    truth = np.maximum(height - plain - rim - floor - 3000.0 * (time / 600.0) ** 3, 0.0)
    sigma = 12.0 + 60.0 * np.exp(-time / 60.0)
    ours = truth + sigma * np.convolve(rng.normal(size=samples), np.ones(80) / 40, "same")
    believed = np.where(time < LOCKOUT_S, truth + 30.0, np.nan)
    after = time >= LOCKOUT_S
    believed[after] = truth[after] - 3600.0 - 9.0 * (time[after] - LOCKOUT_S)
    stuck = (time > 400.0) & (time < 408.0)
    silent = (time > SILENCE_S[0]) & (time < SILENCE_S[1])
    ranges = truth + rng.normal(0.0, 8.0, samples)
    ranges[stuck] = ranges[np.argmax(stuck)] + 400.0
    heard = ~silent & (truth > 5.0)
    verdicts = np.where(stuck, "altimeter", "consistent").astype(object)
    verdicts[(time > 398.8) & (time <= 400.0)] = "undecided"
    verdicts[(time > 299.6) & (time < 300.8)] = "undecided"
    second = np.arange(0.0, 600.0)
    error = np.abs(np.interp(second, time, ours - truth)) + rng.gamma(2.0, 8.0, second.size)
    fixes = tuple(
        FixMark(
            float(at),
            "no_fix" if at % 15 == 7 else "fix",
            at % 15 != 7 and at % 50 != 3,
            {7: "too few landmarks agree"}.get(at % 15, ""),
            None if at % 15 == 7 else float(miss),
        )
        for at, miss in zip(second.astype(int).tolist(), rng.gamma(3.0, 9.0, second.size))
    )
    return Story(
        title="HAKUTO-R Mission 1 over the rim of Atlas",
        altitude=Curve(time, ours),
        protection_level_m=4.0 * sigma + 30.0,
        readings=Readings(time[heard], ranges[heard], ~stuck[heard]),
        verdict_time_s=time[heard],
        verdicts=tuple(verdicts[heard]),
        true_altitude=Curve(time, truth),
        baseline=Curve(time, believed),
        lockout_time_s=LOCKOUT_S,
        alarms=(
            Alarm(400.6, "altimeter", "The range has stuck at one value; the images disagree."),
            Alarm(482.1, "silence", "No valid range for 2 s below 30 km."),
        ),
        fixes=fixes,
        position_error=Curve(second, error),
        position_level=Curve(second, np.interp(second, time, 5.0 * sigma + 60.0)),
    )


@pytest.fixture(scope="module")
def story() -> Story:
    return believable_story()


def bare(story: Story) -> Story:
    """The same run without truth, baseline, alarms or fixes."""
    return replace(
        story, true_altitude=None, baseline=None, lockout_time_s=None, alarms=(), fixes=(),
        position_error=None, position_level=None,
    )  # fmt: skip


def numbers(svg: str) -> str:
    return re.sub(r"<style>.*?</style>", "", svg, flags=re.DOTALL)


def test_the_page_is_one_small_file_that_loads_and_runs_nothing(story: Story) -> None:
    pictures = [("A frame", np.full((20, 20, 3), 90, dtype=np.uint8))]
    text = run_report(story, SUMMARY, pictures, ["imu0/data.csv: 1 row dropped"])
    assert len(text.encode()) < 1_000_000
    assert "<script" not in text and "<link" not in text and "@import" not in text
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    assert not re.search(r"url\((?!#)", text)
    assert "prefers-color-scheme:dark" in text and "color-scheme: light dark" in text
    assert text.count("<svg") == 3
    assert "A frame" in text and "imu0/data.csv: 1 row dropped" in text


def test_a_long_descent_stays_under_one_megabyte() -> None:
    assert len(run_report(believable_story(400_000), SUMMARY).encode()) < 1_000_000


def test_the_story_is_told_in_words(story: Story) -> None:
    svg = story_svg(story)
    ElementTree.fromstring(svg)
    for words in ("true altitude", "protection level", "range taken", "range turned away",
                  "baseline locks the range finder out", "altimeter faulty", "navigation wrong",
                  "Altitude and range, km", "Time since the start of the descent, s"):  # fmt: skip
        assert words in svg
    assert "baseline believes 0 m" in svg
    (said,) = re.findall(r"true altitude ([\d,]+) m", svg)
    zero = story.baseline.time_s[np.argmax(story.baseline.value_m <= 0)]  # type: ignore[union-attr]
    truth = np.interp(zero, story.true_altitude.time_s, story.true_altitude.value_m)  # type: ignore[union-attr]
    assert float(said.replace(",", "")) == pytest.approx(truth, abs=0.5)


def test_every_verdict_has_its_colour_in_the_ribbon(story: Story) -> None:
    time = np.arange(0.0, 600.0, 0.5)
    each = tuple(VERDICTS[int(at // 120)] for at in time)
    svg = story_svg(replace(story, verdict_time_s=time, verdicts=each))
    strips = re.findall(r'width="(\d+)" height="16" fill="var\(--(\w+)\)"/>', svg)
    assert [colour for _, colour in strips] == ["green", "grey", "violet", "orange", "red"]
    assert all(int(width) == pytest.approx(163, abs=2) for width, _ in strips)


def test_one_grave_verdict_among_thousands_is_seen(story: Story) -> None:
    verdicts = ["consistent"] * len(story.verdicts)
    verdicts[1234] = "altimeter"
    svg = story_svg(replace(story, verdicts=tuple(verdicts)))
    assert 'height="16" fill="var(--red)"' in svg


def test_silence_leaves_a_gap_in_the_ribbon(story: Story) -> None:
    quiet = (story.verdict_time_s > 100.0) & (story.verdict_time_s < 200.0)
    verdicts = ("consistent",) * int((~quiet).sum())
    svg = story_svg(replace(story, verdict_time_s=story.verdict_time_s[~quiet], verdicts=verdicts))
    strips = re.findall(r'<rect x="(\d+)" y="\d+" width="(\d+)" height="16" fill="var\(--g', svg)
    (_, first), (start, _) = [(int(x), int(width)) for x, width in strips[1:3]]
    assert start - 66 - first == pytest.approx(816 * 100 / 600, abs=6)


def test_all_text_from_outside_is_escaped(story: Story) -> None:
    evil = "<script>alert(1)</script>"
    spoilt = replace(
        story,
        title=evil,
        alarms=(Alarm(9.0, evil, evil),),
        fixes=(FixMark(1.0, evil, False, evil),),
    )
    text = run_report(spoilt, {**SUMMARY, "dataset": evil}, [(evil, np.zeros((2, 2, 3), np.uint8))],
                      [evil])  # fmt: skip
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 9


def test_a_run_without_truth_baseline_or_fixes_has_a_page(story: Story) -> None:
    less = {**SUMMARY, "position_error_m": None, "altitude_error_m": None, "baseline": None}
    text = run_report(bare(story), less)
    assert text.count("<svg") == 1
    assert "true altitude" not in numbers(story_svg(bare(story)))
    assert "not known" in text
    assert error_svg(bare(story)) is None


def test_an_empty_run_has_a_page() -> None:
    nothing = np.zeros(0)
    empty = Story(
        "Nothing", Curve(nothing, nothing), nothing,
        Readings(nothing, nothing, np.zeros(0, np.bool_)), nothing, (),
    )  # fmt: skip
    ElementTree.fromstring(story_svg(empty))
    assert "<svg" in run_report(empty, SUMMARY)


def test_gaps_and_absurd_values_draw_nothing_outside_the_chart(story: Story) -> None:
    value = story.altitude.value_m.copy()
    value[100:200], value[300] = np.nan, 1e300
    ranges = story.readings.range_m.copy()
    ranges[:3] = 1e300, -1e300, np.inf
    level = story.protection_level_m.copy()
    level[50:60] = np.inf
    spoilt = replace(
        story,
        altitude=Curve(story.altitude.time_s, value),
        readings=replace(story.readings, range_m=ranges),
        protection_level_m=level,
    )
    drawn = numbers(story_svg(replace(spoilt, true_altitude=None)))
    assert "nan" not in drawn and "inf" not in drawn.replace("inflated", "")
    assert max(len(digits) for digits in re.findall(r"\d+", drawn)) < 8


def test_the_closer_look_is_where_it_is_asked_for_or_at_the_lock_out(story: Story) -> None:
    assert story.zoom == (LOCKOUT_S - 25.0, LOCKOUT_S + 35.0)
    assert replace(story, zoom_s=(1.0, 2.0)).zoom == (1.0, 2.0)
    assert replace(story, lockout_time_s=None).zoom is None


def test_unknown_verdicts_and_unequal_series_are_refused(story: Story) -> None:
    with pytest.raises(ValueError, match="unknown verdicts"):
        replace(story, verdicts=("fine",) * len(story.verdicts))
    with pytest.raises(ValueError, match="one length"):
        replace(story, verdicts=())
    with pytest.raises(ValueError, match="one shape"):
        replace(story, protection_level_m=np.zeros(1))


def test_the_page_is_written_whole(story: Story, tmp_path: Path) -> None:
    write_run_report(tmp_path / "report.html", story, SUMMARY)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@given(
    y=arrays.arrays(np.float64, st.integers(0, 60), elements=st.floats(-1e6, 1e6)),
    columns=st.integers(1, 20),
)
def test_thinning_keeps_ends_and_extremes_of_each_column(y: np.ndarray, columns: int) -> None:
    x = np.linspace(0.0, columns - 0.01, y.size)
    px, py = thinned(x, y)
    assert py.size <= 4 * (columns + 1)
    for column in np.unique(np.floor(x)):
        here, kept = y[np.floor(x) == column], py[np.floor(px) == column]
        assert (kept.min(), kept.max()) == (here.min(), here.max())
        assert (kept[0], kept[-1]) == (here[0], here[-1])


@given(low=st.floats(-1e5, 1e5), span=st.floats(1e-3, 1e6), most=st.integers(2, 12))
def test_ticks_are_inside_the_scale_and_not_too_many(low: float, span: float, most: int) -> None:
    scale = Scale(low, low + span, 0.0, 800.0)
    ticks = scale.ticks(most)
    assert len(ticks) <= most + 1
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)
