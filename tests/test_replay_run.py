"""A whole replay of a small dataset: its folder, its second start, and what bad input does."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cliff import cliff_map
from tests.simulated import SMALL, small_map
from trn.errors import InputError
from trn.fix import PositionFix, ProtectionLevel
from trn.localizer import Localizer
from trn.prior import Prior
from trn.replay.fix_rows import PARTIAL_FIXES
from trn.replay.run import replay
from trn.simulate.dataset import Request, simulate

BEGIN_S, END_S = 333.0, 337.0
FILES = {
    "crosscheck.csv", "fixes.csv", "log.mcap", "report.html", "story.svg", "summary.json",
    "displacements.csv",
    "trajectory.tum",
}  # fmt: skip
TRUTH = "state_groundtruth_estimate0"

Run = Callable[..., tuple[int, str, str]]


class Killed(Exception):
    """Stands for a process that is ended."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset of four seconds and its map."""
    folder = tmp_path_factory.mktemp("replay")
    moon_map = small_map(folder)
    request = Request(SMALL, Path("small.toml"), moon_map, 3, (), BEGIN_S, END_S)
    return simulate(request, folder / "small"), moon_map


@pytest.fixture
def dataset(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(made[0], tmp_path / "small"))


@pytest.fixture(scope="module")
def whole(
    made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A run of the whole dataset, and its summary."""
    out = tmp_path_factory.mktemp("run") / "run"
    return out, replay(made[0], made[1], out)


@pytest.fixture
def fixing(monkeypatch: pytest.MonkeyPatch) -> list[Prior]:
    """Every frame gives a fix that depends on what was believed; the priors that were asked."""
    asked: list[Prior] = []

    def locate(self: Localizer, image: Any, prior: Prior) -> tuple[PositionFix, None]:
        asked.append(prior)
        found = PositionFix(
            "fix", "", np.round(prior.position_m, 1) + np.array([3.0, -2.0, 4.0]),
            400.0 * np.eye(3), np.asarray(prior.quaternion_xyzw), 1e-6 * np.eye(3), 3_000.0,
            ProtectionLevel(90.0, 60.0, 1e-3), residual_rms_px=0.4,
            latency_ms={"total": float(len(asked))},
        )  # fmt: skip
        return found, None

    monkeypatch.setattr(Localizer, "locate_with_trace", locate)
    return asked


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def without_clock(out: Path) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Fixes and summary, but for how long anything took."""
    rows = [
        {k: v for k, v in row.items() if "latency" not in k} for row in rows_of(out / "fixes.csv")
    ]
    summary = json.loads((out / "summary.json").read_text())
    return rows, {k: v for k, v in summary.items() if k != "real_time_factor"}


def killed_after(events: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        assert done <= total
        if done == events:
            raise Killed

    return progress


def test_a_runs_folder_is_whole(whole: tuple[Path, dict[str, Any]]) -> None:
    out, summary = whole
    assert {path.name for path in out.iterdir()} == FILES
    assert json.loads((out / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert "</html>" in (out / "report.html").read_text()
    assert summary["frames"]["total"] == len(rows_of(out / "fixes.csv")) == 4
    assert summary["duration_s"] == pytest.approx(END_S - BEGIN_S, abs=0.3)


def test_every_reading_has_its_row_and_its_words(whole: tuple[Path, dict[str, Any]]) -> None:
    out, summary = whole
    rows = rows_of(out / "crosscheck.csv")
    assert len(rows) == 20
    assert summary["crosscheck"]["measurements"] == sum(row["valid"] == "1" for row in rows)
    names = ("consistent", "altimeter", "navigation", "map", "undecided")
    for row in rows:
        assert sum(float(row[f"probability_{name}"]) for name in names) == pytest.approx(1.0)
        assert row["sentence"] and row["verdict"] in names
    stamps = [int(row["time_ns"]) for row in rows]
    assert stamps == sorted(set(stamps))


def test_healthy_readings_are_kept_and_the_altitude_is_right(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    out, summary = whole
    assert summary["crosscheck"]["rejected_healthy"] == 0
    assert summary["crosscheck"]["alarms"] == []
    assert summary["frames"]["wrong"] == 0
    for row in rows_of(out / "crosscheck.csv"):
        assert float(row["protection_level_m"]) > float(row["altitude_sigma_m"]) > 0.0
    assert summary["altitude_error_m"]["at_end"] < 300.0


def test_the_trajectory_goes_on_in_time_with_unit_quaternions(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    rows = np.loadtxt(whole[0] / "trajectory.tum")
    assert (np.diff(rows[:, 0]) >= 0.0).all()
    assert np.linalg.norm(rows[:, 4:], axis=1) == pytest.approx(1.0)
    assert np.linalg.norm(np.diff(rows[:, 1:4], axis=0), axis=1).max() < 2_000.0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    made: tuple[Path, Path], tmp_path: Path, fixing: list[Prior], share: float
) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    totals: list[int] = []
    replay(*made, once, progress=lambda done, total: totals.append(total))
    asked = len(fixing)
    assert asked == 4
    fixing.clear()
    with pytest.raises(Killed):
        replay(*made, twice, progress=killed_after(round(share * totals[0])))
    left = {path.name for path in twice.iterdir()}
    assert not left & FILES and PARTIAL_FIXES in left
    replay(*made, twice)
    # No frame was located twice.
    assert len(fixing) == asked
    assert {path.name for path in twice.iterdir()} == FILES
    assert without_clock(twice) == without_clock(once)
    for name in ("crosscheck.csv", "trajectory.tum"):
        assert (twice / name).read_bytes() == (once / name).read_bytes()


def test_a_run_that_was_killed_twice_loses_nothing(
    made: tuple[Path, Path], tmp_path: Path, fixing: list[Prior]
) -> None:
    for events in (20, 3):
        with pytest.raises(Killed):
            replay(*made, tmp_path / "run", progress=killed_after(events))
    before = len(fixing)
    assert 1 <= before < 4
    replay(*made, tmp_path / "run")
    assert len(fixing) == 4


def test_another_dataset_takes_up_no_fixes(
    made: tuple[Path, Path], dataset: Path, tmp_path: Path, fixing: list[Prior]
) -> None:
    with pytest.raises(Killed):
        replay(*made, tmp_path / "run", progress=killed_after(20))
    fixing.clear()
    about = dataset / "dataset.toml"
    about.write_text(about.read_text().replace("seed = 3", "seed = 4"))
    replay(dataset, made[1], tmp_path / "run")
    assert len(fixing) == 4


def test_fixes_are_used_by_the_navigation(
    made: tuple[Path, Path], tmp_path: Path, fixing: list[Prior]
) -> None:
    summary = replay(*made, tmp_path / "run")
    assert summary["frames"]["fixes"] == 4
    rows = rows_of(tmp_path / "run" / "fixes.csv")
    assert [row["used"] for row in rows] == ["1"] * 4
    assert all(prior.position_sigma_m >= 100.0 for prior in fixing)


def test_the_map_inside_a_dataset_is_taken_where_none_is_given(
    made: tuple[Path, Path], dataset: Path, tmp_path: Path, whole: tuple[Path, dict[str, Any]]
) -> None:
    with pytest.raises(InputError, match="holds no map of its own; give --map"):
        replay(dataset, None, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    shutil.copytree(made[1], dataset / "site.map")
    replay(dataset, None, tmp_path / "run")
    assert without_clock(tmp_path / "run") == without_clock(whole[0])


def test_without_a_star_tracker_there_is_no_attitude_to_start_from(
    dataset: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    (dataset / "startracker0" / "data.csv").unlink()
    with pytest.raises(InputError, match=r"startracker0/data\.csv has no reading to start from"):
        replay(dataset, made[1], tmp_path / "run")


def test_a_star_tracker_that_begins_later_is_told(
    dataset: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    path = dataset / "startracker0" / "data.csv"
    header, *rows = path.read_text().splitlines(keepends=True)
    late = [row for row in rows if int(row.split(",")[0]) > int(rows[0].split(",")[0]) + 2 * 10**9]
    path.write_text(header + "".join(late))
    with pytest.raises(InputError, match="no reading within a second of the initial state"):
        replay(dataset, made[1], tmp_path / "run")


def test_a_dataset_without_truth_runs_alike_and_has_no_errors(
    dataset: Path, made: tuple[Path, Path], tmp_path: Path, whole: tuple[Path, dict[str, Any]]
) -> None:
    shutil.rmtree(dataset / TRUTH)
    summary = replay(dataset, made[1], tmp_path / "run")
    nothing = {"p50": None, "p95": None, "max": None}
    assert summary["position_error_m"] == nothing
    assert summary["altitude_error_m"] == {**nothing, "at_end": None}
    assert summary["frames"]["wrong"] is None
    # What runs on board never saw the truth.
    for name in ("crosscheck.csv", "trajectory.tum"):
        assert (tmp_path / "run" / name).read_bytes() == (whole[0] / name).read_bytes()


@pytest.mark.parametrize("gone", ["altimeter0/data.csv", "cam0/data.csv"])
def test_a_sensor_without_data_is_told_in_the_report(
    dataset: Path, made: tuple[Path, Path], tmp_path: Path, gone: str
) -> None:
    (dataset / gone).unlink()
    summary = replay(dataset, made[1], tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert gone.split("/")[0] in (tmp_path / "run" / "report.html").read_text()
    if "altimeter" in gone:
        assert summary["crosscheck"]["measurements"] == 0
        assert summary["baseline"]["locked_out"] is False
    else:
        assert summary["frames"]["total"] == 0


def test_inertial_data_that_end_early_end_the_run(
    dataset: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    path = dataset / "imu0" / "data.csv"
    lines = path.read_text().splitlines(keepends=True)
    # Cut off in the middle of a line, two seconds in.
    path.write_text("".join(lines[:101]) + lines[101][:30])
    summary = replay(dataset, made[1], tmp_path / "run")
    assert summary["duration_s"] == pytest.approx(2.0, abs=0.3)


def test_a_gap_in_the_inertial_data_is_bridged(
    dataset: Path, made: tuple[Path, Path], tmp_path: Path, whole: tuple[Path, dict[str, Any]]
) -> None:
    path = dataset / "imu0" / "data.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:60] + lines[110:]))
    summary = replay(dataset, made[1], tmp_path / "run")
    assert summary["crosscheck"]["measurements"] == whole[1]["crosscheck"]["measurements"]
    assert summary["position_error_m"]["max"] < whole[1]["position_error_m"]["max"] + 100.0


def test_frames_that_cannot_be_read_are_counted(
    dataset: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    frames = sorted((dataset / "cam0" / "data").iterdir())
    frames[2].write_bytes(b"no picture")
    summary = replay(dataset, made[1], tmp_path / "run")
    assert summary["frames"]["total"] == 4
    assert "1 frames could not be read" in (tmp_path / "run" / "report.html").read_text()


def test_a_state_that_the_replay_displaces_is_off_by_as_much(
    made: tuple[Path, Path], dataset: Path, tmp_path: Path, fixing: list[Prior]
) -> None:
    about = dataset / "dataset.toml"
    jump = '{name = "state-position-jump", onset_s = 334.5, size = 900.0, duration_s = inf, '
    jump += "direction_east_north = [0.6, 0.8]}"
    assert "faults = []" in about.read_text()
    about.write_text(about.read_text().replace("faults = []", f"faults = [{jump}]"))
    replay(made[0], made[1], tmp_path / "plain")
    plain = [prior.position_m for prior in fixing]
    fixing.clear()
    replay(dataset, made[1], tmp_path / "run")
    assert fixing[0].position_m == pytest.approx(plain[0], abs=1.0)
    assert np.linalg.norm(fixing[1].position_m - plain[1]) == pytest.approx(900.0, abs=60.0)


def test_the_command_prints_the_report_or_the_summary(
    made: tuple[Path, Path], tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "run"
    status, text, errors = run("replay", made[0], "--map", made[1], "--out", out)
    assert (status, errors) == (0, "")
    assert Path(text.strip()) == out / "report.html"
    status, text, _ = run("replay", made[0], "--map", made[1], "--out", out, "--json")
    told = json.loads(text)
    held = json.loads((out / "summary.json").read_text())
    assert status == 0 and told.pop("real_time_factor") > 0.0
    assert math.isfinite(held.pop("real_time_factor")) and told == held


def test_the_commands_errors_are_one_line_and_status_2(
    made: tuple[Path, Path], dataset: Path, tmp_path: Path, run: Run
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("mine")
    (dataset / "startracker0" / "data.csv").unlink()
    for words, said in (
        ((tmp_path / "none", "--map", made[1], "--out", tmp_path / "run"), "no such folder"),
        ((made[0], "--map", tmp_path / "none.map", "--out", tmp_path / "run"), "none.map"),
        ((made[0], "--out", tmp_path / "run"), "give --map"),
        ((made[0], "--map", made[1], "--out", full), "choose another --out"),
        ((made[0], "--map", made[1], "--out", tmp_path / "run", "--backend", "abacus"), "abacus"),
        ((dataset, "--map", made[1], "--out", tmp_path / "run"), "startracker0/data.csv"),
        ((made[0], "--map", made[1]), "--out"),
    ):
        status, text, errors = run("replay", *words)
        assert (status, text) == (2, ""), errors
        assert errors.startswith("trn: ") and said in errors and errors.count("\n") == 1
    assert (full / "letter.txt").read_text() == "mine"
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_map_of_somewhere_else_gives_no_wrong_answer(
    made: tuple[Path, Path], cliff_folder: Path, tmp_path: Path
) -> None:
    cliff_map(cliff_folder)
    summary = replay(made[0], cliff_folder / "cliff0.map", tmp_path / "run")
    assert summary["frames"]["fixes"] == 0
    assert summary["crosscheck"]["verdicts"]["undecided"] == 20
    assert summary["altitude_error_m"]["max"] is None
