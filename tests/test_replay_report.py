"""The page is one self-contained file, escapes what it is given, and shows refusals too."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from trn.fix import LandmarkCounts, PositionFix, ProtectionLevel
from trn.localizer import Trace
from trn.moon.frames import position_from_geographic
from trn.replay.report import Facts, write_report

TRUTH_M = position_from_geographic(0.8, 0.7, 50_000.0)


def trace() -> Trace:
    predicted = np.random.default_rng(0).uniform(0, 1, (40, 40)).astype(np.float32)
    predicted[:5] = np.nan
    place = np.array([[30.0, 40.0], [60.0, 70.0]])
    return Trace(
        predicted,
        np.isfinite(predicted),
        2.5,
        place,
        place + 1.0,
        np.array([True, False]),
        np.array([0.9, 0.3]),
    )


def facts(fix: PositionFix, seen: Trace | None) -> Facts:
    frame = np.full((100, 100), 90, dtype=np.uint8)
    return Facts("A <site>", frame, fix, seen, TRUTH_M, TRUTH_M + 900.0, 237.0)


def test_a_fix_is_shown_with_its_error_in_metres_and_sigmas(tmp_path: Path) -> None:
    fix = PositionFix(
        "fix",
        "",
        position_m=TRUTH_M + np.array([30.0, 0.0, 0.0]),
        covariance_m2=400.0 * np.eye(3),
        quaternion_xyzw=np.array([0.0, 0.0, 0.0, 1.0]),
        protection_level=ProtectionLevel(80.0, 70.0, 1e-3),
        landmarks=LandmarkCounts(9, 2, 1),
    )
    page = write_report(facts(fix, trace()), tmp_path)
    text = page.read_text()
    assert "30.0 m = 0.13 map pixels" in text
    assert "sigma of 20.0 m" in text
    assert text.count("data:image/jpeg;base64,") == 3
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "demo.png"}


def test_a_refusal_is_shown_with_its_reason_escaped(tmp_path: Path) -> None:
    fix = PositionFix.refused("<script>alert(1)</script>", LandmarkCounts(), "cpu", {})
    text = write_report(facts(fix, None), tmp_path).read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "A &lt;site&gt;" in text
