"""report.html of a run: the story of the descent on one self-contained page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trn.files import write_whole
from trn.replay import page as html
from trn.replay.log import plain
from trn.replay.pictures import CAPTION, Picture
from trn.replay.story import Story, error_svg, story_svg

MOST_LISTED = 200


def run_report(
    story: Story,
    summary: Mapping[str, Any],
    pictures: Sequence[tuple[str, Picture]] = (),
    problems: Sequence[str] = (),
) -> str:
    """The page's text.

    summary: of summary.json. pictures: of one frame, with captions. problems: of the dataset.
    """
    charts = [_chart(story_svg(story, title="Altitude, ranges and verdicts"))]
    if story.zoom is not None:
        closer = f"A closer look: {story.zoom[0]:.0f} to {story.zoom[1]:.0f} s"
        charts.append(_chart(story_svg(story, story.zoom, "zoom", closer)))
    errors = error_svg(story)
    if errors is not None:
        charts.append(_chart(errors))
    if pictures:
        charts += [html.heading("One frame"), html.views(pictures), html.paragraph(CAPTION, True)]
    parts = [
        *charts,
        html.heading("Numbers"),
        f'<div class="tables">{"".join(map(html.fact_table, _tables(summary)))}</div>',
        html.heading("Alarms"),
        _alarms(story),
        html.heading("Fixes"),
        *_fixes(story),
    ]
    if problems:
        parts += [html.heading("What the dataset lacked"), *map(html.paragraph, problems)]
    text = json.dumps(plain(summary), indent=1)
    parts.append(html.details("summary.json", html.preformatted(text)))
    return html.page(story.title, "\n".join(parts))


def write_run_report(
    path: Path,
    story: Story,
    summary: Mapping[str, Any],
    pictures: Sequence[tuple[str, Picture]] = (),
    problems: Sequence[str] = (),
) -> None:
    """Write the page of `run_report`, whole; raises WorkError where it cannot be written."""
    write_whole(path, run_report(story, summary, pictures, problems))


def _chart(svg: str) -> str:
    return f'<figure class="wide">{svg}</figure>'


def _tables(summary: Mapping[str, Any]) -> Iterator[list[tuple[str, str]]]:
    frames, check = summary["frames"], summary["crosscheck"]
    baseline = summary["baseline"] or {}
    yield [
        ("Dataset", str(summary["dataset"])),
        ("Scenario, seed", f"{summary['scenario']}, {summary['seed']}"),
        ("Back end", str(summary["backend"])),
        ("Duration", _number(summary["duration_s"], "s")),
        ("Times real time", _number(summary["real_time_factor"], "")),
        ("Frames", f"{frames['total']}: {frames['fixes']} fixes, {frames['refused']} refused, "
                   f"{_number(frames['wrong'], '')} wrong"),
        ("Baseline locked out", "yes" if baseline.get("locked_out") else "no"),
        ("Its lock-out", _number(baseline.get("lockout_time_s"), "s")),
        ("True altitude at its zero",
         _number(baseline.get("true_altitude_when_estimate_is_zero_m"), "m")),
    ]  # fmt: skip
    yield [
        *_errors("Position error", summary["position_error_m"]),
        *_errors("Altitude error", summary["altitude_error_m"]),
    ]
    yield [
        ("Ranges", _number(check["measurements"], "")),
        ("Healthy ranges", _number(check["healthy"], "")),
        ("Healthy ranges turned away", _number(check["rejected_healthy"], "")),
        ("Longest run of those", _number(check["longest_rejection_of_healthy"], "")),
        *((f"Verdict: {name}", _number(count, "")) for name, count in check["verdicts"].items()),
    ]


def _errors(name: str, errors: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    names = {"p50": "median", "p95": "95 %", "max": "largest", "at_end": "at the end"}
    return [
        (f"{name}, {names.get(key, key)}", _number(value, "m"))
        for key, value in (errors or {"p50": None}).items()
    ]


def _number(value: Any, unit: str) -> str:
    if value is None:
        return "not known"
    text = f"{value:,}" if isinstance(value, int) else f"{float(value):,.4g}"
    return f"{text} {unit}".strip()


def _alarms(story: Story) -> str:
    if not story.alarms:
        return html.paragraph("None.", True)
    rows = [
        (str(number), f"{alarm.time_s:.1f}", alarm.kind, alarm.text)
        for number, alarm in enumerate(story.alarms[:MOST_LISTED], start=1)
    ]
    table = html.list_table(("No.", "Time, s", "Kind", "What"), rows)
    left_out = len(story.alarms) - len(rows)
    return table + (html.paragraph(f"And {left_out} more.", True) if left_out else "")


def _fixes(story: Story) -> list[str]:
    fixes = story.fixes
    if not fixes:
        return [html.paragraph("None.", True)]
    used = sum(mark.used for mark in fixes)
    given = sum(mark.status == "fix" for mark in fixes)
    said = f"{len(fixes)} frames: {given} fixes, {used} of them used, {len(fixes) - given} refused."
    step = -(-len(fixes) // MOST_LISTED)
    rows = [
        (
            f"{mark.time_s:.1f}",
            mark.status,
            "yes" if mark.used else "no",
            "" if mark.error_m is None else f"{mark.error_m:.1f}",
            mark.note,
        )
        for mark in fixes[::step]
    ]
    table = html.list_table(("Time, s", "Status", "Used", "Error, m", "Why"), rows)
    each = "All of them" if step == 1 else f"One in {step} of them"
    return [html.paragraph(said), html.details(f"{each}; fixes.csv has every column", table)]
