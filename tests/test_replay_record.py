"""A run's files read back as they were written; a killed run loses no fix and spoils no old run."""

from __future__ import annotations

import copy
import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from scipy.spatial.transform import Rotation

from trn.errors import InputError, WorkError
from trn.fix import CraterCounts, LandmarkCounts, PositionFix, ProtectionLevel
from trn.replay.fix_rows import PARTIAL_FIXES, fix_row, known_fix
from trn.replay.record import CrosscheckRow, Recorder, read_known_fixes

T0 = 1682481521400000001
FINGERPRINT = "dataset 1f, map 2e, cpu"

SUMMARY: dict[str, Any] = {
    "dataset": "small", "scenario": "small", "seed": 3, "backend": "cpu", "duration_s": 6.0,
    "real_time_factor": 0.5,
    "frames": {"total": 2, "fixes": 1, "refused": 1, "wrong": 0},
    "position_error_m": None,
    "altitude_error_m": {"p50": 1.0, "p95": 2.0, "max": 3.0, "at_end": float("nan")},
    "crosscheck": {
        "measurements": 1, "healthy": 1, "rejected_healthy": 0, "longest_rejection_of_healthy": 0,
        "verdicts": {"consistent": 1, "altimeter": 0, "navigation": 0, "map": 0, "undecided": 0},
        "alarms": [{"time_s": 1.0, "kind": "silence", "text": "no range"}],
    },
    "baseline": {"locked_out": False, "lockout_time_s": None,
                 "true_altitude_when_estimate_is_zero_m": None},
    "seconds_a_frame": np.float64(0.2),
}  # fmt: skip


def a_fix(seed: int = 0, reason: str = "") -> PositionFix:
    rng = np.random.default_rng(seed)
    spread, turn = rng.normal(size=(2, 3, 3))
    return PositionFix(
        "fix",
        reason,
        position_m=1e6 * rng.normal(size=3),
        covariance_m2=spread @ spread.T,
        quaternion_xyzw=Rotation.random(random_state=seed).as_quat(),
        attitude_covariance_rad2=1e-8 * turn @ turn.T,
        altitude_m=float(rng.uniform(0, 1e4)),
        protection_level=ProtectionLevel(80.1, 70.2, 1e-3),
        landmarks=LandmarkCounts(9, 5, 4),
        craters=CraterCounts(3, 2, 1),
        residual_rms_px=0.1 + 0.2,
        channel_separation=1.0 / 3.0,
        light_turn_deg=-61.1,
        latency_ms={"total": 123.4, "predict": 1.0},
    )


REFUSAL = PositionFix.refused('too "dark",\nand cold', LandmarkCounts(4, 0, 0), "cpu", {})


def a_row(**changes: Any) -> CrosscheckRow:
    values: dict[str, Any] = {
        "time_ns": T0, "range_m": 0.1 + 0.2, "valid": True, "beam": 1, "expected_range_m": 1e3 / 3,
        "expected_sigma_m": None, "verdict": "consistent", "probability_consistent": 0.9,
        "probability_altimeter": 0.05, "probability_navigation": 0.03, "probability_map": 0.01,
        "probability_undecided": 0.01, "used": True, "kind": "", "sentence": "All, agree.",
        "altitude_m": np.float64(300.0), "altitude_sigma_m": 2.0, "protection_level_m": 9.0,
        "baseline_altitude_m": float("nan"), "baseline_locked_out": False,
    }  # fmt: skip
    return CrosscheckRow(**{**values, **changes})


def write_run(out: Path, **summary: Any) -> None:
    with Recorder(out, "small", FINGERPRINT) as recorder:
        recorder.add_fix(T0, a_fix(), used=True)
        recorder.add_fix(T0 + 10**9, REFUSAL, used=False, note="refused")
        recorder.add_crosscheck(a_row())
        recorder.add_state(
            T0, np.array([1.5, 2.0, 3.0]), np.ones(3), Rotation.from_euler("z", 90, degrees=True)
            .as_quat(), np.full(15, 0.1),
        )  # fmt: skip
        recorder.add_alarm(T0, "silence", "no range for 2 s")
        recorder.finish({**SUMMARY, **summary}, "<!doctype html>", "<svg/>")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def same_fix(one: PositionFix, other: PositionFix) -> bool:
    def exact(fix: PositionFix) -> dict[str, Any]:
        held = fix.to_dict()
        held["latency_ms"] = held["latency_ms"].get("total")
        held["reason"] = " ".join(fix.reason.split())
        held["attitude"] = (
            None
            if fix.attitude_covariance_rad2 is None
            else np.tril(fix.attitude_covariance_rad2).tolist()
        )
        held["covariance_m2"] = (
            None if fix.covariance_m2 is None else np.tril(fix.covariance_m2).tolist()
        )
        return held

    return exact(one) == exact(other)


def symmetric(fix: PositionFix) -> PositionFix:
    """A product A A^T may differ from its transpose in the last bit."""
    for matrix in (fix.covariance_m2, fix.attitude_covariance_rad2):
        if matrix is not None:
            matrix[:] = np.triu(matrix) + np.triu(matrix, 1).T
    return fix


def test_a_finished_run_holds_its_files_and_nothing_else(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "summary.json", "fixes.csv", "displacements.csv", "crosscheck.csv", "trajectory.tum",
        "log.mcap", "report.html", "story.svg",
    }  # fmt: skip


def test_fixes_read_back_bit_for_bit(tmp_path: Path) -> None:
    write_run(tmp_path)
    with (tmp_path / "fixes.csv").open(newline="") as stream:
        _, *rows = csv.reader(stream)
    first, second = (known_fix(row) for row in rows)
    assert (first.time_ns, first.used, first.note) == (T0, True, "")
    assert same_fix(first.fix, symmetric(a_fix()))
    assert (second.time_ns, second.used, second.note) == (T0 + 10**9, False, "refused")
    assert same_fix(second.fix, REFUSAL)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), reason=st.text(), note=st.text())
def test_any_fix_with_any_text_is_one_line_that_reads_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, reason: str, note: str
) -> None:
    reason, note = (text.encode("utf-8", "replace").decode() for text in (reason, note))
    out = tmp_path_factory.mktemp("any")
    fix = symmetric(a_fix(seed, reason))
    with Recorder(out, "any", FINGERPRINT) as recorder:
        recorder.add_fix(T0, fix, used=True, note=note)
    known = read_known_fixes(out, FINGERPRINT)
    assert same_fix(known[T0].fix, fix)
    assert known[T0].note == " ".join(note.split())


@given(fields=st.lists(st.text(max_size=5), max_size=45))
def test_rows_that_are_no_fix_are_refused(fields: list[str]) -> None:
    with pytest.raises(ValueError):
        known_fix(fields)


@given(column=st.integers(0, 39), text=st.text(max_size=5))
def test_a_spoilt_field_gives_a_fix_or_an_error(column: int, text: str) -> None:
    row = fix_row(T0, a_fix(), used=True, note="")
    row[column % len(row)] = text
    try:
        fix = known_fix(row).fix
    except ValueError:
        return
    assert (fix.status == "fix") == (fix.position_m is not None)


def test_crosscheck_rows_hold_every_column_exactly(tmp_path: Path) -> None:
    write_run(tmp_path)
    (row,) = rows_of(tmp_path / "crosscheck.csv")
    assert list(row) == list(CrosscheckRow.__dataclass_fields__)
    assert (row["time_ns"], row["valid"], row["beam"]) == (str(T0), "1", "1")
    assert float(row["range_m"]) == 0.1 + 0.2
    assert float(row["expected_range_m"]) == 1e3 / 3
    assert (row["expected_sigma_m"], row["baseline_altitude_m"]) == ("", "nan")
    assert (row["altitude_m"], row["sentence"]) == ("300.0", "All, agree.")


def test_the_trajectory_is_tum_with_exact_seconds_and_vehicle_to_body_fixed(
    tmp_path: Path,
) -> None:
    write_run(tmp_path)
    lines = (tmp_path / "trajectory.tum").read_text().splitlines()
    (fields,) = [line.split(" ") for line in lines if not line.startswith("#")]
    assert Decimal(fields[0]) == Decimal(T0) / 10**9
    assert [float(field) for field in fields[1:4]] == [1.5, 2.0, 3.0]
    # Body-fixed to vehicle turned +90 degrees about z: back is -90.
    turn = Rotation.from_quat([float(field) for field in fields[4:]])
    assert turn.as_euler("xyz", degrees=True) == pytest.approx([0.0, 0.0, -90.0])


def test_the_log_tells_all_that_was_recorded_with_its_schemas(tmp_path: Path) -> None:
    write_run(tmp_path)
    with (tmp_path / "log.mcap").open("rb") as stream:
        messages = list(make_reader(stream).iter_messages())
    told: dict[str, list[dict[str, Any]]] = {}
    for schema, channel, message in messages:
        assert schema is not None and schema.encoding == "jsonschema"
        assert channel.message_encoding == "json"
        held = json.loads(message.data)
        assert set(held) == set(json.loads(schema.data)["properties"])
        told.setdefault(channel.topic, []).append(held)
        assert message.log_time in (T0, T0 + 10**9)
    assert {topic: len(held) for topic, held in told.items()} == {
        "/fix": 2, "/crosscheck": 1, "/state": 1, "/alarm": 1
    }  # fmt: skip
    assert told["/crosscheck"][0]["baseline_altitude_m"] is None
    assert told["/fix"][1]["reason"] == REFUSAL.reason


def test_the_summary_is_plain_json(tmp_path: Path) -> None:
    write_run(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert summary["altitude_error_m"] == {"p50": 1.0, "p95": 2.0, "max": 3.0, "at_end": None}
    assert summary["position_error_m"] is None and summary["seconds_a_frame"] == 0.2


def test_a_summary_that_lacks_a_key_is_refused(tmp_path: Path) -> None:
    short = copy.deepcopy(SUMMARY)
    del short["crosscheck"]["verdicts"]["map"]
    with (
        Recorder(tmp_path, "small", FINGERPRINT) as recorder,
        pytest.raises(ValueError, match=r"summary lacks crosscheck\.verdicts\.map"),
    ):
        recorder.finish(short)


def test_a_killed_run_leaves_its_fixes_to_the_next(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "small", FINGERPRINT)
    recorder.add_fix(T0, a_fix(), used=True)
    recorder.add_fix(T0 + 1, REFUSAL, used=False, note="refused")
    # Nothing is closed: each row stands on disk as soon as it is told.
    known = read_known_fixes(tmp_path, FINGERPRINT)
    assert list(known) == [T0, T0 + 1]
    assert same_fix(known[T0].fix, symmetric(a_fix()))
    recorder.close()


def test_a_row_cut_off_in_the_middle_is_ignored(tmp_path: Path) -> None:
    with Recorder(tmp_path, "small", FINGERPRINT) as recorder:
        recorder.add_fix(T0, a_fix(), used=True)
        recorder.add_fix(T0 + 1, a_fix(), used=True)
    partial = tmp_path / PARTIAL_FIXES
    whole = partial.read_bytes()
    for cut in (1, 2, 40, 300):
        partial.write_bytes(whole[:-cut])
        assert list(read_known_fixes(tmp_path, FINGERPRINT)) == [T0]


def test_known_fixes_outlive_a_second_kill(tmp_path: Path) -> None:
    for k in range(3):
        with Recorder(tmp_path, "small", FINGERPRINT) as recorder:
            recorder.add_fix(T0 + k, a_fix(k), used=True)
    assert sorted(read_known_fixes(tmp_path, FINGERPRINT)) == [T0, T0 + 1, T0 + 2]


def test_fixes_of_another_dataset_map_or_backend_are_not_known(tmp_path: Path) -> None:
    with Recorder(tmp_path, "small", FINGERPRINT) as recorder:
        recorder.add_fix(T0, a_fix(), used=True)
    assert read_known_fixes(tmp_path, "another") == {}
    Recorder(tmp_path, "small", "another").close()
    assert read_known_fixes(tmp_path, FINGERPRINT) == {}


def test_a_finished_run_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    write_run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with Recorder(tmp_path, "small", "another") as recorder:
        recorder.add_fix(T0 + 7, a_fix(7), used=True)
    assert before.items() <= {path.name: path.read_bytes() for path in tmp_path.iterdir()}.items()
    write_run(tmp_path, seed=4)
    assert set(before) == {path.name for path in tmp_path.iterdir()}
    assert json.loads((tmp_path / "summary.json").read_text())["seed"] == 4


def test_a_report_of_an_earlier_run_does_not_stand_beside_a_new_run(tmp_path: Path) -> None:
    write_run(tmp_path)
    with Recorder(tmp_path, "small", FINGERPRINT) as recorder:
        recorder.finish(SUMMARY)
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "story.svg").exists()


@pytest.mark.parametrize("name", ["thesis.txt", "summary.json", "fixes.csv"])
def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(InputError, match="no run; choose another --out"):
        Recorder(tmp_path, "small", FINGERPRINT)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is no folder"):
        Recorder(tmp_path / "run", "small", FINGERPRINT)


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    with Recorder(tmp_path, "small", FINGERPRINT) as recorder:
        recorder._fixes.close()
        recorder._fixes = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 (it closes it)
        with pytest.raises(WorkError, match=r"No space left on device.* are kept"):
            recorder.add_fix(T0, a_fix(), used=True)
