"""A preview shows frames with their altitude, and plots; what is not complete is refused."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tomli_w

from trn.errors import InputError, MissingExtraError
from trn.simulate.preview import contact_sheet, write_preview

START_NS = 1_700_000_000_000_000_000
FRAMES = 30


def make_dataset(folder: Path, bits: int = 8, **changes: Any) -> Path:
    """A dataset's files by hand: frames that grow brighter, a lander that sinks 100 m a second."""
    document = {
        "complete": True,
        "title": "By hand",
        "start_utc": "2023-11-14T22:13:20.000000",
        "start_ns": START_NS,
        "frames": {"bits": bits},
        "faults": [{"name": "lrf-bias", "onset_s": 10.0, "duration_s": float("inf")}],
        **changes,
    }
    for name in ("cam0/data", "state_groundtruth_estimate0", "altimeter0"):
        (folder / name).mkdir(parents=True)
    (folder / "dataset.toml").write_text(tomli_w.dumps(document))
    stamps = [START_NS + k * 1_000_000_000 for k in range(FRAMES)]
    grey = np.linspace(0.0, 1.0, FRAMES) * (2**bits - 1)
    for stamp, value in zip(stamps, grey, strict=True):
        image = np.full((40, 40), round(value), np.uint8 if bits == 8 else np.uint16)
        cv2.imwrite(str(folder / f"cam0/data/{stamp}.png"), image)
    tables = {
        "cam0/data.csv": [f"{stamp},{stamp}.png" for stamp in stamps],
        "state_groundtruth_estimate0/altitude.csv": [
            f"{stamp},{4000.0 - 100.0 * k}" for k, stamp in enumerate(stamps)
        ],
        "state_groundtruth_estimate0/data.csv": [
            f"{stamp},{1741400.0 - 100.0 * k},0,0,1,0,0,0,-100,0,0"
            for k, stamp in enumerate(stamps)
        ],
        "altimeter0/data.csv": [
            f"{stamp},{4000.0 - 100.0 * k},{int(k > 3)},0" for k, stamp in enumerate(stamps)
        ],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(["#header", *lines]) + "\n")
    return folder


@pytest.mark.parametrize("bits", [8, 12])
def test_the_sheet_runs_from_the_first_frame_to_the_last(tmp_path: Path, bits: int) -> None:
    dataset = make_dataset(tmp_path / "made", bits)
    altitude = np.array([[float(k), 4000.0 - 100.0 * k] for k in range(FRAMES)])
    facts = {"frames": {"bits": bits}, "start_ns": START_NS}
    png = contact_sheet(dataset, facts, altitude)
    sheet = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert sheet.shape == (4 * 278, 6 * 256)
    tiles = [sheet[row * 278 + 100, column * 256 + 100] for row in range(4) for column in range(6)]
    assert tiles[0] == 0 and tiles[-1] == 255
    assert np.all(np.diff(np.array(tiles, int)) > 0)
    # Every tile has a caption below it.
    assert all(
        sheet[row * 278 + 256 : (row + 1) * 278, column * 256 : (column + 1) * 256].max() > 200
        for row in range(4)
        for column in range(6)
    )


def test_both_pictures_are_written(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "made")
    paths = write_preview(dataset)
    assert [path.name for path in paths] == ["preview_frames.png", "preview_plots.png"]
    plots = cv2.imread(str(paths[1]))
    assert plots.shape[0] > 800 and plots.shape[1] > 800
    # Same dataset, same sheet.
    first = paths[0].read_bytes()
    assert write_preview(dataset)[0].read_bytes() == first


def test_what_is_not_complete_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "half", complete=False)
    with pytest.raises(InputError, match="run `trn simulate` again"):
        write_preview(dataset)
    with pytest.raises(InputError, match="not a dataset"):
        write_preview(tmp_path)


def test_without_matplotlib_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    with pytest.raises(MissingExtraError, match=r"lunar-trn\[viz\]"):
        write_preview(make_dataset(tmp_path / "made"))
