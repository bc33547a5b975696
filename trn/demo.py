"""The demonstration: HAKUTO-R Mission 1's descent over a region made by code, flown and judged.

The scenario comes with trn; here it begins shortly before the rim, with fewer and smaller frames
and readings, so that it takes a minute or two on any machine. The on-board side is given its own
map: half the resolution, with noise, and other photometry.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

from trn.replay.run import replay
from trn.simulate.dataset import Request, simulate
from trn.simulate.progress import Progress
from trn.simulate.scenario import read_text, scenario_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCENARIO = "hakuto-r-m1"
SEED = 1
BEGIN_S = 3480.0
LIGHTER: dict[str, Any] = {
    "truth_rate_hz": 5.0,
    "camera": {"width": 512, "height": 512, "rate_hz": 0.2},
    "altimeter": {"rate_hz": 5.0},
}


def run_demo(out: Path, say: Callable[[str], object], progress: Progress | None = None) -> Path:
    """Simulate and replay the demonstration into a folder; returns the path of its page.

    Given again, it goes on where it was stopped. progress is called with the name of the part in
    the making, how much of it is done, and all of it.
    """
    show = progress or (lambda part, done, total: None)
    path = scenario_path(SCENARIO)
    request = Request(_lighter(read_text(path)), path, None, SEED, (), BEGIN_S)
    say("flying HAKUTO-R Mission 1 over a region made by code ...")
    dataset = simulate(request, out / "dataset", show)
    say("replaying it: navigation, cross-check, and the baseline that flew ...")
    run = out / "run"
    summary = replay(dataset, None, run, progress=lambda done, total: show("replay", done, total))
    for line in told(summary):
        say(line)
    return run / "report.html"


def _lighter(text: str) -> str:
    """The scenario's text with what LIGHTER changes."""
    document = tomllib.loads(text)
    for name, value in LIGHTER.items():
        if isinstance(value, dict):
            document[name].update(value)
        else:
            document[name] = value
    return tomli_w.dumps(document)


def told(summary: dict[str, Any]) -> list[str]:
    """The story of a run in a few lines."""
    baseline, check = summary["baseline"], summary["crosscheck"]
    lines = []
    if baseline["locked_out"]:
        lines.append(f"baseline: shut the range finder out at {baseline['lockout_time_s']:.0f} s")
        up_m = baseline["true_altitude_when_estimate_is_zero_m"]
        if up_m is not None:
            lines.append(f"baseline: believed to have landed while {up_m:,.0f} m up")
    lines.append(
        f"cross-check: {check['healthy']:,} healthy readings, {check['rejected_healthy']} turned "
        "away"
    )
    error_m = summary["altitude_error_m"]["at_end"]
    if error_m is not None:
        lines.append(f"cross-check: altitude off by {error_m:.1f} m at the end")
    return lines
