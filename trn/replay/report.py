"""A self-contained page that shows a frame, what was predicted, what matched, and the fix."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.files import write_whole
from trn.fix import PositionFix
from trn.localizer import Trace
from trn.moon.frames import east_north_up

SIDE_PX = 720
RESIDUAL_SCALE = 8.0
AGREE_BGR = (120, 220, 90)
DISAGREE_BGR = (70, 90, 255)
UNKNOWN_BGR = (110, 60, 20)


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
    pictures = [("Frame", _frame_picture(facts.frame))]
    if facts.trace is not None:
        pictures.append(("Predicted view, from the map", _predicted_picture(facts.trace)))
        pictures.append(("Landmarks matched", _match_picture(facts.frame, facts.trace)))
    strip = np.hstack([picture for _, picture in pictures])
    write_whole(folder / "demo.png", _png(strip))
    page = folder / "report.html"
    write_whole(page, _page(facts, pictures).encode("utf-8"))
    return page


def _frame_picture(frame: NDArray[Any]) -> NDArray[np.uint8]:
    grey = cv2.resize(frame, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def _predicted_picture(trace: Trace) -> NDArray[np.uint8]:
    known = trace.predicted[trace.mask]
    low, high = np.percentile(known, [1, 99]) if known.size else (0.0, 1.0)
    grey = np.clip((trace.predicted - low) / max(high - low, 1e-9), 0, 1)
    grey = (255 * np.nan_to_num(grey)).astype(np.uint8)
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    colour[~trace.mask] = UNKNOWN_BGR
    return np.asarray(
        cv2.resize(colour, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST), dtype=np.uint8
    )


def _match_picture(frame: NDArray[Any], trace: Trace) -> NDArray[np.uint8]:
    picture = _frame_picture(frame)
    scale = np.array([SIDE_PX / frame.shape[1], SIDE_PX / frame.shape[0]])
    for place, found, agrees in zip(
        trace.predicted_px, trace.measured_px, trace.inlier, strict=True
    ):
        start = np.round((found + 0.5) * scale).astype(int)
        end = np.round((found + 0.5 + RESIDUAL_SCALE * (found - place)) * scale).astype(int)
        colour = AGREE_BGR if agrees else DISAGREE_BGR
        cv2.line(picture, start.tolist(), end.tolist(), colour, 1, cv2.LINE_AA)
        cv2.circle(picture, start.tolist(), 2, colour, -1, cv2.LINE_AA)
    return picture


def _png(picture: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return data.tobytes()


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return data.tobytes()


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


def _page(facts: Facts, pictures: list[tuple[str, NDArray[np.uint8]]]) -> str:
    figures = "".join(
        f'<figure><img alt="{html.escape(name)}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(_jpeg(picture)).decode()}"><figcaption>{html.escape(name)}</figcaption>'
        "</figure>"
        for name, picture in pictures
    )
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in _rows(facts)
    )
    fix = html.escape(json.dumps(facts.fix.to_dict(), indent=1))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>trn: {html.escape(facts.title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; --line: #8884; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 78rem; margin: 2rem auto;
 padding: 0 1rem; }}
.views {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1rem; }}
figure {{ margin: 0; }} img {{ width: 100%; border-radius: 6px; display: block; }}
figcaption {{ opacity: .75; font-size: .9rem; }}
table {{ border-collapse: collapse; margin: 1.5rem 0; }}
th, td {{ text-align: left; padding: .35rem 1.2rem .35rem 0;
 border-bottom: 1px solid var(--line); }}
pre {{ overflow: auto; padding: 1rem; border: 1px solid var(--line); border-radius: 6px; }}
</style></head><body>
<h1>{html.escape(facts.title)}</h1>
<p>Residuals are drawn {RESIDUAL_SCALE:g} times enlarged: green where a landmark agrees with the
fix, red where it does not. Blue in the predicted view: not predictable.</p>
<div class="views">{figures}</div>
<table>{rows}</table>
<details><summary>The fix as JSON</summary><pre>{fix}</pre></details>
</body></html>
"""
