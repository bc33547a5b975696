"""A replay with fixes that come late: each is told at its arrival, for its exposure."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.simulated import SMALL, small_map
from trn.errors import InputError
from trn.fix import PositionFix
from trn.navigation.filter import ALL_SHARE, VIEW_SHARE
from trn.replay import run as replaying
from trn.replay.dataset import read_descent
from trn.replay.judge import true_positions_m
from trn.simulate.dataset import Request, simulate

BEGIN_S, END_S = 350.0, 356.0
FIX_SIGMA_M = 5.0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a descent, with its map beside it."""
    folder = tmp_path_factory.mktemp("dataset")
    request = Request(SMALL, Path("small.toml"), small_map(folder), 3, (), BEGIN_S, END_S)
    return simulate(request, folder / "small")


@pytest.fixture
def seen(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame's fix is the truth of its exposure, some metres off and much alike."""
    descent = read_descent(dataset)
    # One sigma an axis of what fixes share.
    alike = math.sqrt(VIEW_SHARE + ALL_SHARE) * np.ones(3)

    stamps = [frame.time_ns for frame in descent.frames]

    def locate(loop: Any, image: Any, time_ns: int) -> PositionFix:
        index, time_s = stamps.index(time_ns), (time_ns - descent.start_ns) * 1e-9
        own = np.random.default_rng(index).normal(size=3)
        off = FIX_SIGMA_M * (alike + math.sqrt(1.0 - VIEW_SHARE - ALL_SHARE) * own)
        return PositionFix(
            "fix",
            "",
            position_m=true_positions_m(descent, np.array([time_s]))[0] + off,
            covariance_m2=FIX_SIGMA_M**2 * np.eye(3),
            quaternion_xyzw=np.array([0.0, 0.0, 0.0, 1.0]),
            attitude_covariance_rad2=1e-8 * np.eye(3),
        )

    monkeypatch.setattr(replaying._Loop, "_locate", locate)


def replayed(dataset: Path, out: Path, latency_s: float) -> tuple[dict[str, Any], list[Any]]:
    """The summary, and the rows of fixes.csv."""
    summary = replaying.replay(
        dataset, small_map(dataset.parent), out, "cpu", fix_latency_s=latency_s
    )
    with (out / "fixes.csv").open() as stream:
        return summary, list(csv.DictReader(stream))


@pytest.mark.usefixtures("seen")
def test_late_fixes_are_taken_as_well_as_prompt_ones(dataset: Path, tmp_path: Path) -> None:
    prompt, prompt_rows = replayed(dataset, tmp_path / "prompt", 0.0)
    late, late_rows = replayed(dataset, tmp_path / "late", 1.5)
    assert [row["time_ns"] for row in late_rows] == [row["time_ns"] for row in prompt_rows]
    assert all(row["used"] == "1" for row in prompt_rows)
    # The last ones were still on their way when the inertial data ended.
    waiting = [row for row in late_rows if row["used"] == "0"]
    assert 1 <= len(waiting) <= 2
    assert {row["note"] for row in waiting} == {"came after the last inertial sample"}
    assert late_rows[-len(waiting) :] == waiting
    assert prompt["crosscheck"]["alarms"] == late["crosscheck"]["alarms"] == []
    for summary in (prompt, late):
        assert summary["frames"]["wrong"] == 0
        assert summary["position_error_m"]["p50"] < 15.0
    assert late["position_error_m"]["p50"] < prompt["position_error_m"]["p50"] + FIX_SIGMA_M


@pytest.mark.parametrize("latency_s", [-0.1, 10.5, float("nan")])
def test_a_latency_that_cannot_be_is_refused(
    dataset: Path, tmp_path: Path, latency_s: float
) -> None:
    with pytest.raises(InputError, match="fix latency"):
        replayed(dataset, tmp_path / "run", latency_s)
    assert not (tmp_path / "run").exists()
