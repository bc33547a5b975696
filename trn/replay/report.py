"""A self-contained page that shows a frame, what was predicted, what matched, and the fix."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.files import write_whole
from trn.fix import PositionFix
from trn.localizer import Trace
from trn.moon.frames import east_north_up
from trn.replay import page as html
from trn.replay.pictures import CAPTION, Picture, frame_pictures, png


@dataclass(frozen=True, eq=False)
class Facts:
    """What a page shows. frame: (height, width) 8-bit. truth_m, prior_m: (3,), MOON_ME."""

    title: str
    frame: NDArray[Any]
    fix: PositionFix
    trace: Trace | None
    truth_m: NDArray[np.float64]
    prior_m: NDArray[np.float64]
    map_pixel_m: float


def write_report(facts: Facts, folder: Path) -> Path:
    """Write report.html and demo.png (the pictures side by side); returns the page's path."""
    pictures = frame_pictures(facts.frame, facts.trace)
    strip = np.hstack([picture for _, picture in pictures])
    write_whole(folder / "demo.png", png(strip))
    page = folder / "report.html"
    write_whole(page, _page(facts, pictures).encode("utf-8"))
    return page


def _rows(facts: Facts) -> list[tuple[str, str]]:
    fix = facts.fix
    axes = east_north_up(facts.truth_m)
    before = axes @ (facts.prior_m - facts.truth_m)
    rows = [
        ("Status", fix.status if not fix.reason else f"{fix.status}: {fix.reason}"),
        ("Prior error, 3-D", f"{np.linalg.norm(before):.0f} m"),
    ]
    if fix.position_m is not None and fix.covariance_m2 is not None:
        error = axes @ (fix.position_m - facts.truth_m)
        sigma = np.sqrt(np.diag(axes @ fix.covariance_m2 @ axes.T))
        distance = float(np.linalg.norm(error))
        rows.append(
            ("Fix error, 3-D", f"{distance:.1f} m = {distance / facts.map_pixel_m:.2f} map pixels")
        )
        for name, e, s in zip(("East", "North", "Up"), error, sigma, strict=True):
            rows.append((f"{name} error", f"{e:+.1f} m ({e / s:+.1f} sigma of {s:.1f} m)"))
    if fix.protection_level is not None:
        level = fix.protection_level
        rows.append(
            (
                "Protection level",
                f"{level.horizontal_m:.0f} m horizontal, {level.vertical_m:.0f} m vertical "
                f"at a risk of {level.integrity_risk:g}",
            )
        )
    counts = fix.landmarks
    rows.append(
        (
            "Landmarks",
            f"{counts.searched} searched, {counts.matched} matched, {counts.inliers} agree",
        )
    )
    return rows


def _page(facts: Facts, pictures: list[tuple[str, Picture]]) -> str:
    fix = json.dumps(facts.fix.to_dict(), indent=1)
    body = (
        html.paragraph(CAPTION)
        + html.views(pictures)
        + html.fact_table(_rows(facts))
        + html.details("The fix as JSON", html.preformatted(fix))
    )
    return html.page(facts.title, body)
