"""A dataset at a glance: a contact sheet of its frames, and plots over time."""

from __future__ import annotations

import io
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError, MissingExtraError
from trn.files import write_whole
from trn.images import load_image
from trn.moon.frames import east_north_up
from trn.moon.sun import sun_direction_moon_me

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Array = NDArray[np.float64]

_COLUMNS, _ROWS, _THUMB_PX, _CAPTION_PX = 6, 4, 256, 22


def write_preview(dataset: Path) -> list[Path]:
    """Write preview_frames.png and preview_plots.png into a dataset; returns their paths.

    Raises MissingExtraError without matplotlib, InputError for a dataset that is not complete.
    """
    try:
        import matplotlib as _  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "the preview needs matplotlib; install it with: pip install 'lunar-trn[viz]'"
        ) from error
    try:
        facts = tomllib.loads((dataset / "dataset.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{dataset}: not a dataset ({error})") from error
    if not facts.get("complete"):
        raise InputError(f"{dataset}: not complete; run `trn simulate` again to finish it")
    altitude = _table(dataset / "state_groundtruth_estimate0" / "altitude.csv", facts)
    paths = [dataset / "preview_frames.png", dataset / "preview_plots.png"]
    write_whole(paths[0], contact_sheet(dataset, facts, altitude))
    write_whole(paths[1], _plots(dataset, facts, altitude))
    return paths


def _table(path: Path, facts: dict[str, Any]) -> Array:
    """A CSV of numbers, its time stamps as seconds since the descent's start."""
    rows = [
        line.split(",")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    start = int(facts["start_ns"])
    return np.array([[(int(row[0]) - start) * 1e-9, *map(float, row[1:])] for row in rows])


def contact_sheet(dataset: Path, facts: dict[str, Any], altitude: Array) -> bytes:
    """A PNG of frames spread evenly over the descent, each with its time and altitude."""
    bits = int(facts["frames"]["bits"])
    listing = (dataset / "cam0" / "data.csv").read_text(encoding="utf-8").splitlines()[1:]
    chosen = np.unique(np.linspace(0, len(listing) - 1, _COLUMNS * _ROWS).round().astype(int))
    tile_height = _THUMB_PX + _CAPTION_PX
    rows = -(-chosen.size // _COLUMNS)
    sheet = np.zeros((rows * tile_height, _COLUMNS * _THUMB_PX), np.uint8)
    for k, index in enumerate(chosen):
        stamp, name = listing[index].split(",")
        image = load_image(dataset / "cam0" / "data" / name).astype(np.float32)
        if bits > 8:
            image *= 255.0 / (2**bits - 1)
        thumb = cv2.resize(image, (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA)
        top, left = (k // _COLUMNS) * tile_height, (k % _COLUMNS) * _THUMB_PX
        sheet[top : top + _THUMB_PX, left : left + _THUMB_PX] = thumb.round()
        time_s = (int(stamp) - int(facts["start_ns"])) * 1e-9
        caption = f"{time_s:.1f} s"
        if altitude.size:
            height = float(np.interp(time_s, altitude[:, 0], altitude[:, 1]))
            caption += f"  {height / 1e3:.2f} km" if height >= 1e3 else f"  {height:.0f} m"
        cv2.putText(
            sheet, caption, (left + 6, top + _THUMB_PX + 16), cv2.FONT_HERSHEY_SIMPLEX,
            0.45, 255, 1, cv2.LINE_AA,
        )  # fmt: skip
    return cv2.imencode(".png", sheet)[1].tobytes()


def _plots(dataset: Path, facts: dict[str, Any], altitude: Array) -> bytes:
    """A PNG of altitude and range, speed, and the Sun's height, over time."""
    from matplotlib.figure import Figure

    truth = _table(dataset / "state_groundtruth_estimate0" / "data.csv", facts)
    altimeter = _table(dataset / "altimeter0" / "data.csv", facts)
    start = datetime.fromisoformat(facts["start_utc"]).replace(tzinfo=timezone.utc)
    first_s = float(altitude[0, 0]) if altitude.size else float(truth[0, 0])
    # What comes before the map would only stretch the axes.
    truth, altimeter = truth[truth[:, 0] >= first_s], altimeter[altimeter[:, 0] >= first_s]
    few = truth[:: max(1, len(truth) // 400)]
    sun = [
        np.degrees(np.arcsin(sun_direction_moon_me(start + timedelta(seconds=float(row[0])))
                             @ east_north_up(row[1:4])[2]))
        for row in few
    ]  # fmt: skip
    figure = Figure(figsize=(9, 9), layout="constrained")
    heights, speeds, suns = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1.5, 1])
    valid = altimeter[:, 2] > 0
    heights.plot(altimeter[valid, 0], altimeter[valid, 1] / 1e3, ".", ms=2, color="#d1495b",
                 label="range readings")  # fmt: skip
    if altitude.size:
        heights.plot(altitude[:, 0], altitude[:, 1] / 1e3, lw=1, color="#1f4e79",
                     label="true altitude")  # fmt: skip
    heights.set_ylabel("km")
    speeds.plot(truth[:, 0], np.linalg.norm(truth[:, 8:11], axis=1), lw=1, color="#1f4e79")
    speeds.set_ylabel("speed over ground, m/s")
    suns.plot(few[:, 0], sun, lw=1, color="#b8860b")
    suns.set_ylabel("Sun, degrees high")
    suns.set_xlabel("seconds since the start")
    for axes in (heights, speeds, suns):
        axes.grid(alpha=0.3)
        for fault in facts["faults"]:
            end = min(fault["onset_s"] + fault["duration_s"], float(truth[-1, 0]))
            axes.axvspan(max(fault["onset_s"], first_s), end, color="#d1495b", alpha=0.08)
    names = ", ".join(fault["name"] for fault in facts["faults"])
    heights.set_title(facts["title"] + (f" ({names})" if names else ""))
    heights.legend(loc="upper right")
    heights.set_xlim(first_s, float(truth[-1, 0]))
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()
