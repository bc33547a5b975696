"""A dataset is read as it was written; what is wrong with one is named, and the rest is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.simulated import SMALL, small_map
from trn.errors import InputError
from trn.replay import description, tables
from trn.replay.dataset import read_descent
from trn.replay.tables import read_table
from trn.simulate.dataset import Request, simulate
from trn.simulate.faults import parse_fault
from trn.simulate.star_tracker import TYPICAL

BEGIN_S, END_S = 334.0, 335.0
FAULTS = ("state-position-jump:onset=334.5,size=400", "map-shift:onset=1,size=100,duration=2")
IMU, ALTIMETER = "imu0/data.csv", "altimeter0/data.csv"
STARS, FRAMES = "startracker0/data.csv", "cam0/data.csv"
TRUTH = "state_groundtruth_estimate0/data.csv"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a descent, as the simulator writes it."""
    folder = tmp_path_factory.mktemp("dataset")
    faults = tuple(parse_fault(text) for text in FAULTS)
    request = Request(SMALL, Path("small.toml"), small_map(folder), 3, faults, BEGIN_S, END_S)
    return simulate(request, folder / "small")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(whole, tmp_path / "small"))


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Change the lines of a file, the header among them."""
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def replace_line(path: Path, number: int, text: str) -> None:
    """Line number (from 1) becomes text."""
    edit(path, lambda lines: [*lines[: number - 1], text + "\n", *lines[number:]])


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def field(path: Path, number: int, column: int, text: str) -> None:
    """One field of line number becomes text."""
    fields = path.read_text().splitlines()[number - 1].split(",")
    fields[column] = text
    replace_line(path, number, ",".join(fields))


def test_a_whole_dataset_is_read_without_a_problem(whole: Path) -> None:
    descent = read_descent(whole)
    assert descent.problems == ()
    assert (descent.name, descent.scenario, descent.seed) == ("small", "small", 3)
    assert (descent.map_name, descent.embedded) == ("site", False)
    assert descent.start_ns + 1e9 * BEGIN_S == descent.initial_state.time_ns
    assert [frame.time_ns for frame in descent.frames] == [
        descent.initial_state.time_ns,
        descent.initial_state.time_ns + 10**9,
    ]
    assert all(frame.path.is_file() for frame in descent.frames)
    assert descent.camera.width == 96
    assert descent.imu_model.rate_hz == 50.0
    assert descent.imu.time_ns[0] == descent.initial_state.time_ns + 20_000_000
    assert len(descent.imu.time_ns) == 50
    assert descent.altimeter.valid.all()
    assert len(descent.altimeter_model.beams) == 2


def test_attitudes_of_truth_and_star_tracker_mean_the_same(whole: Path) -> None:
    descent = read_descent(whole)
    truth = descent.truth
    assert truth is not None
    told = np.isin(truth.time_ns, descent.star_tracker.time_ns)
    error = (
        Rotation.from_quat(descent.star_tracker.quaternion_xyzw)
        * Rotation.from_quat(truth.quaternion_xyzw[told]).inv()
    )
    assert error.magnitude().max() < 6 * TYPICAL.sigma_rad


def test_the_beam_that_looks_down_measures_the_altitude(whole: Path) -> None:
    descent = read_descent(whole)
    truth = descent.truth
    assert truth is not None
    beam = descent.altimeter_model.beams[descent.altimeter.beam[0]]
    down = (beam * Rotation.from_quat(truth.quaternion_xyzw[0])).inv().apply([0.0, 0.0, 1.0])
    up = truth.position_m[0] / np.linalg.norm(truth.position_m[0])
    assert -(down @ up) * descent.altimeter.range_m[0] == pytest.approx(
        truth.altitude_m[0], rel=0.1
    )


def test_the_camera_looks_where_the_simulator_mounted_it(whole: Path) -> None:
    boresight = read_descent(whole).to_camera.inv().apply([0.0, 0.0, 1.0])
    assert boresight == pytest.approx([-np.sin(np.deg2rad(40)), 0.0, -np.cos(np.deg2rad(40))])


def test_faults_that_a_replay_applies_are_told_with_their_times(whole: Path) -> None:
    descent = read_descent(whole)
    jump, shift = descent.injected
    assert (jump.name, jump.size, jump.end_ns) == ("state-position-jump", 400.0, None)
    assert jump.onset_ns == descent.start_ns + 334_500_000_000
    assert (shift.name, shift.onset_ns) == ("map-shift", descent.start_ns + 10**9)
    assert shift.end_ns == descent.start_ns + 3 * 10**9
    assert np.linalg.norm(shift.direction_east_north) == pytest.approx(1.0)


def test_other_faults_are_not_told(whole: Path, folder: Path) -> None:
    replace_text(folder / "dataset.toml", '"map-shift"', '"lrf-bias"')
    assert len(read_descent(folder).injected) == 1


def test_data_sheets_may_be_short(folder: Path) -> None:
    for name, gone in (("imu0", "scale"), ("imu0", "misalignment"), ("startracker0", "across"),
                       ("startracker0", "roll"), ("startracker0", "mounting")):  # fmt: skip
        edit(
            folder / name / "sensor.yaml",
            lambda lines, gone=gone: [line for line in lines if gone not in line],  # type: ignore[misc]
        )
    descent = read_descent(folder)
    assert descent.imu_model.gyroscope_scale == 0.0
    assert descent.star_tracker_model.across_rad == pytest.approx(TYPICAL.sigma_rad)
    assert descent.star_tracker_model.mounting_rad == 0.0


def test_data_sheets_are_read_where_they_are_full(folder: Path) -> None:
    for name, more in (
        ("imu0", "gyroscope_scale: 1e-5\naccelerometer_misalignment_rad: 0.0001\n"),
        ("startracker0", "across_rad: 1e-5\nroll_rad: 2e-4\nmounting_rad: 5.0e-05\n"),
    ):
        with (folder / name / "sensor.yaml").open("a") as stream:
            stream.write(more)
    descent = read_descent(folder)
    assert descent.imu_model.gyroscope_scale == 1e-5
    assert descent.imu_model.accelerometer_misalignment_rad == 1e-4
    model = descent.star_tracker_model
    assert (model.across_rad, model.roll_rad, model.mounting_rad) == (1e-5, 2e-4, 5e-5)


def test_stamps_stay_exact(folder: Path) -> None:
    odd = 1682481525420000001
    field(folder / IMU, 2, 0, str(odd))
    assert read_descent(folder).imu.time_ns[0] == odd
    (folder / IMU).write_bytes((folder / IMU).read_bytes() + b"12")
    assert read_descent(folder).imu.time_ns[0] == odd


def test_time_that_does_not_ascend_is_dropped_and_named(folder: Path) -> None:
    edit(folder / IMU, lambda lines: [*lines[:4], lines[3], lines[1], *lines[4:]])
    descent = read_descent(folder)
    assert len(descent.imu.time_ns) == 50
    assert descent.problems == (
        "imu0/data.csv: 2 rows out of time order: dropped (line 5 the first)",
    )


def test_one_stamp_far_ahead_costs_its_own_row_alone(folder: Path) -> None:
    field(folder / IMU, 3, 0, "2682481525440000000")
    descent = read_descent(folder)
    assert len(descent.imu.time_ns) == 49
    assert descent.problems == ("imu0/data.csv: 1 row out of time order: dropped (line 3)",)


def test_of_equal_stamps_the_first_row_is_kept(folder: Path) -> None:
    first = read_descent(folder).altimeter.range_m[0]
    edit(folder / ALTIMETER, lambda lines: [*lines[:2], "1682481525400000000,1,1,1\n", *lines[2:]])
    descent = read_descent(folder)
    assert descent.altimeter.range_m[0] == first and len(descent.problems) == 1


def test_frames_that_do_not_ascend_are_dropped_and_named(folder: Path) -> None:
    edit(folder / FRAMES, lambda lines: [*lines[:2], lines[1], *lines[2:]])
    descent = read_descent(folder)
    assert len(descent.frames) == 2
    assert descent.problems == ("cam0/data.csv: 1 row out of time order: dropped (line 3)",)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "fast", "", "1_0"])
def test_a_field_that_is_no_finite_number_drops_its_row(folder: Path, text: str) -> None:
    field(folder / IMU, 3, 4, text)
    descent = read_descent(folder)
    assert len(descent.imu.time_ns) == 49
    assert descent.problems == (
        "imu0/data.csv: 1 row with a field that is no finite number: dropped (line 3)",
    )


@pytest.mark.parametrize("text", ["1682481525.4", "1.6e18", "-5", "", "9" * 19, "9" * 3000])
def test_a_stamp_that_is_no_whole_number_drops_its_row(folder: Path, text: str) -> None:
    field(folder / STARS, 3, 0, text)
    assert read_descent(folder).problems == (
        "startracker0/data.csv: 1 row whose stamp is no whole number of nanoseconds: dropped "
        "(line 3)",
    )


@pytest.mark.parametrize("text", ["1682481525440000000,1,2", "," * 20, "x" * 9000])
def test_a_row_with_a_wrong_number_of_fields_is_dropped(folder: Path, text: str) -> None:
    replace_line(folder / IMU, 3, text)
    descent = read_descent(folder)
    assert len(descent.imu.time_ns) == 49
    assert descent.problems == (
        "imu0/data.csv: 1 row with a wrong number of fields: dropped (line 3)",
    )


@pytest.mark.parametrize("name", [IMU, ALTIMETER, STARS, TRUTH, FRAMES])
def test_a_line_cut_off_at_the_end_is_dropped_and_all_before_it_kept(
    folder: Path, name: str
) -> None:
    path = folder / name
    count = len(path.read_text().splitlines())
    # Cut where the row still looks whole: only the missing line feed tells.
    path.write_bytes(path.read_bytes()[:-2])
    descent = read_descent(folder)
    assert descent.problems == (
        f"{name}: 1 row cut off at the end of the file: dropped (line {count})",
    )


def test_line_ends_of_windows_are_read(folder: Path) -> None:
    before = read_descent(folder)
    for name in (IMU, FRAMES, ALTIMETER):
        (folder / name).write_bytes((folder / name).read_bytes().replace(b"\n", b"\r\n"))
    after = read_descent(folder)
    assert after.problems == () and after.frames == before.frames
    assert (after.imu.angular_rate_rad_per_s == before.imu.angular_rate_rad_per_s).all()


@pytest.mark.parametrize("text", ["-0.5", "1000001", "1e300"])
def test_absurd_ranges_are_kept_as_invalid(folder: Path, text: str) -> None:
    field(folder / ALTIMETER, 4, 1, text)
    descent = read_descent(folder)
    assert descent.altimeter.valid.tolist() == [True, True, False, True, True, True]
    assert descent.problems == (
        "altimeter0/data.csv: 1 row whose range is below 0 or beyond 1e+06 m: kept as invalid "
        "(line 4)",
    )


def test_what_an_invalid_reading_holds_is_no_problem(folder: Path) -> None:
    replace_line(folder / ALTIMETER, 4, "1682481525800000000,-1,0,1")
    descent = read_descent(folder)
    assert descent.problems == () and not descent.altimeter.valid[2]


def test_flags_and_beams_that_mean_nothing_are_told(folder: Path) -> None:
    field(folder / ALTIMETER, 3, 2, "7")
    field(folder / ALTIMETER, 4, 3, "2")
    descent = read_descent(folder)
    assert descent.altimeter.valid.tolist() == [True, False, True, True, True]
    assert [problem.partition(": ")[2] for problem in descent.problems] == [
        "1 row whose beam sensor.yaml does not have: dropped (line 4)",
        "1 row whose valid is not 0 or 1: kept as invalid (line 3)",
    ]


def test_ranges_of_a_single_beam_need_no_number(folder: Path) -> None:
    edit(folder / ALTIMETER, lambda lines: [line.rpartition(",")[0] + "\n" for line in lines])
    descent = read_descent(folder)
    assert descent.problems == () and (descent.altimeter.beam == 0).all()


def test_quaternions_near_unit_length_are_normalised_and_others_dropped(folder: Path) -> None:
    edit(folder / STARS, lambda lines: [*lines[:2], "1682481525900000000,0,0,0,1.002,1e-4\n",
                                        "1682481526400000000,0,0,0,1.0009,1e-4\n"])  # fmt: skip
    field(folder / TRUTH, 3, 4, "1e200")
    descent = read_descent(folder)
    assert np.linalg.norm(descent.star_tracker.quaternion_xyzw, axis=1) == pytest.approx(1.0)
    assert descent.problems == (
        "startracker0/data.csv: 1 row whose quaternion is not of unit length: dropped (line 3)",
        f"{TRUTH}: 1 row whose quaternion is not of unit length: dropped (line 3)",
    )


@pytest.mark.parametrize(
    "name", ["dataset.toml", "cam0/camera.yaml", "cam0/sensor.yaml", IMU, "imu0/sensor.yaml"]
)
def test_a_replay_cannot_do_without(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: is missing; "):
        read_descent(folder)


@pytest.mark.parametrize("name", [ALTIMETER, STARS, FRAMES, TRUTH, "altimeter0/sensor.yaml"])
def test_a_replay_can_do_without(folder: Path, name: str) -> None:
    (folder / name).unlink()
    descent = read_descent(folder)
    assert len(descent.problems) == 1 and descent.problems[0].startswith(f"{name}: is missing; ")
    sensor = name.partition("/")[0]
    assert (descent.altimeter.time_ns.size == 0) == (sensor == "altimeter0")
    assert (descent.star_tracker.time_ns.size == 0) == (sensor == "startracker0")
    assert (descent.frames == ()) == (sensor == "cam0")
    assert (descent.truth is None) == (name == TRUTH)


def test_a_missing_frame_is_left_out_and_named(folder: Path) -> None:
    descent = read_descent(folder)
    descent.frames[0].path.unlink()
    again = read_descent(folder)
    assert again.frames == descent.frames[1:]
    assert again.problems == (
        "cam0/data.csv: 1 row whose frame is missing in cam0/data: left out (line 2)",
    )


@pytest.mark.parametrize("text", ["../../../../etc/passwd", "/etc/passwd", "a\0b"])
def test_a_frame_outside_the_folder_is_refused(folder: Path, text: str) -> None:
    field(folder / FRAMES, 2, 1, text)
    with pytest.raises(InputError, match="line 2 names a frame outside the dataset"):
        read_descent(folder)


def test_a_link_that_leaves_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    frame = read_descent(folder).frames[0].path
    frame.rename(tmp_path / "elsewhere.png")
    frame.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(InputError, match="outside the dataset"):
        read_descent(folder)


def test_an_incomplete_dataset_is_read_as_far_as_it_goes(folder: Path) -> None:
    replace_text(folder / "dataset.toml", "complete = true", "complete = false")
    descent = read_descent(folder)
    assert descent.problems == ("dataset.toml: the dataset is not complete",)
    assert len(descent.frames) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seed = 3", "seed is missing; add it"),
        ("embedded = false", "map.embedded is missing; add it"),
        ("velocity_sigma_m_per_s = 1.0", "initial_state.velocity_sigma_m_per_s is missing"),
    ],
)
def test_a_field_that_a_foreign_dataset_lacks_is_named(folder: Path, line: str, said: str) -> None:
    replace_text(folder / "dataset.toml", line, "")
    with pytest.raises(InputError, match=f"dataset.toml: {said}"):
        read_descent(folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("dataset.toml", "seed = 3", "seed = -3", "seed: .*, not -3"),
        ("dataset.toml", "seed = 3", "seed = ", "not TOML"),
        ("dataset.toml", "direction_east_north", "direction", "lacks direction_east_north"),
        ("imu0/sensor.yaml", "rate_hz: 50.0", "rate_hz: .nan", "rate_hz: .*, not nan"),
        ("imu0/sensor.yaml", "rate_hz: 50.0", "rate_hz: [", "not YAML"),
        ("imu0/sensor.yaml", "rate_hz", "!!python/object/apply:os.system [x]\nrate_hz", "not YAML"),
        ("imu0/sensor.yaml", "[1.0, 0.0", "[2.0, 0.0", "T_BS: is no rotation"),
        ("altimeter0/sensor.yaml", "returns: mean", "returns: last", "returns: "),
        ("altimeter0/sensor.yaml", "range_m: 5.0", "range_m: 5.0e+5", "minimum_range_m must be"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(
    folder: Path, name: str, old: str, new: str, said: str
) -> None:
    replace_text(folder / name, old, new)
    with pytest.raises(InputError, match=f"{name}: {said}|{name}: faults: .*{said}"):
        read_descent(folder)


def test_an_imu_turned_in_the_vehicle_is_turned_back(folder: Path) -> None:
    before = read_descent(folder)
    replace_text(folder / "imu0" / "sensor.yaml", "[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0,",
                 "[0.0, -1.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0,")  # fmt: skip
    after = read_descent(folder)
    force = before.imu.specific_force_m_per_s2
    turned = np.stack([-force[:, 1], force[:, 0], force[:, 2]], axis=1)
    assert after.imu.specific_force_m_per_s2 == pytest.approx(turned, abs=1e-12)
    assert after.problems == ("imu0/sensor.yaml: T_BS has a translation, which is not used",)


def test_sizes_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tables, "MOST_BYTES", 1000)
        with pytest.raises(InputError, match="split the dataset"):
            read_descent(folder)
    with monkeypatch.context() as patch:
        patch.setattr(tables, "MOST_ROWS", 20)
        with pytest.raises(InputError, match="million rows; split the dataset"):
            read_descent(folder)
    monkeypatch.setattr(description, "MOST_FILE_BYTES", 50)
    with pytest.raises(InputError, match=r"dataset\.toml: over"):
        read_descent(folder)


def test_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_descent(tmp_path / "none")


FIELD = st.one_of(
    st.integers(-3, 60).map(str),
    st.floats().map(repr),
    st.text("0123456789.eE+-_naif #\r\t", max_size=6),
)
LINE = st.lists(FIELD, max_size=5).map(",".join)


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(st.one_of(LINE, st.text(max_size=9))), end=st.sampled_from(["", "\n"]))
def test_whatever_a_file_holds_only_whole_ascending_finite_rows_are_kept(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(("\n".join(lines) + end).encode("utf-8", errors="replace"))
    table = read_table(path, "any.csv", (3,))
    assert (np.diff(table.time_ns) > 0).all() and (table.time_ns >= 0).all()
    assert np.isfinite(table.values).all()
    careful = tables._read_carefully(path, "any.csv", (3,))
    assert (table.time_ns == careful.time_ns).all() and (table.values == careful.values).all()
    if careful.tally.sentences():
        assert table.tally.sentences() == careful.tally.sentences()


@settings(max_examples=100, deadline=None)
@given(
    stamps=st.lists(st.integers(0, 2**63 - 1), min_size=1, unique=True),
    value=st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_clean_file_reads_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, stamps: list[int], value: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "clean.csv"
    stamps.sort()
    path.write_text("#timestamp [ns],x\n" + "".join(f"{stamp},{value!r}\n" for stamp in stamps))
    table = read_table(path, "clean.csv", (2,))
    assert table.time_ns.tolist() == stamps
    assert table.tally.sentences() == ()
    assert (table.values == value).all()
    assert tables._read_clean(path, "clean.csv", (2,)) is not None
