"""A dataset is whole or can be gone on with; same arguments, same bytes; truth stays apart."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import FakeCupy
from tests.simulated import SMALL, small_map
from trn.backend import cuda_usable, select
from trn.backend.cuda_device import CudaDevice
from trn.camera import Camera
from trn.errors import InputError, WorkError
from trn.images import load_image
from trn.maps.lunar_map import LunarMap
from trn.moon.frames import geographic_from_position
from trn.simulate import dataset, world
from trn.simulate import frames as frame_writer
from trn.simulate.dataset import DATASET_FILE, Request, simulate
from trn.simulate.faults import parse_fault
from trn.simulate.flight import fly
from trn.simulate.render import RenderSettings
from trn.simulate.scenario import Scenario
from trn.simulate.terrain import TruthTerrain
from trn.simulate.vehicle import Flight

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCE = Path("small.toml")
BEGIN_S, END_S = 208.0, 211.0
LANDING_S = 400.0, 403.0
FIRST_ON_MAP_S = 144.0
"""When the camera first sees the small map; found by flying the scenario."""
SENSORS = ["cam0", "imu0", "altimeter0", "startracker0"]


@pytest.fixture(scope="module", autouse=True)
def _flown_once() -> Iterator[None]:
    """A flight takes a second to find and is the same each time: it is found once here.

    That it is the same is what the test with a process of its own shows.
    """
    flown: dict[tuple[str, int], Flight] = {}

    def fly_once(scenario: Scenario, terrain: TruthTerrain, folder: Path) -> Flight:
        key = scenario.model_dump_json(), terrain.seed
        if key not in flown:
            flown[key] = fly(scenario, terrain, folder)
        return flown[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dataset, "fly", fly_once)
        yield


class StoppedError(Exception):
    """Stands for whatever ends a run half-way."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def request_(folder: Path) -> Request:
    return Request(SMALL, SOURCE, small_map(folder), 0, (), BEGIN_S, END_S)


@pytest.fixture(scope="module")
def whole(folder: Path, request_: Request) -> Path:
    """The dataset that the tests compare with; nobody changes it."""
    return simulate(request_, folder / "whole")


@pytest.fixture(scope="module")
def landing(folder: Path, request_: Request) -> Path:
    """The last seconds but a few: the lander sinks steadily and upright."""
    begin_s, end_s = LANDING_S
    return simulate(replace(request_, begin_s=begin_s, end_s=end_s), folder / "landing")


def contents(path: Path) -> dict[str, str]:
    """SHA-256 of every file under a folder."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def rows(path: Path) -> tuple[str, list[list[str]]]:
    """Header and rows of a CSV."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    return header, [line.split(",") for line in lines]


def numbers(path: Path) -> np.ndarray:
    return np.array([[float(value) for value in row] for row in rows(path)[1]])


def facts_of(path: Path) -> dict[str, Any]:
    return tomllib.loads((path / DATASET_FILE).read_text(encoding="utf-8"))


def frames(path: Path) -> list[np.ndarray]:
    return [load_image(path / "cam0" / "data" / row[1]) for row in rows(path / "cam0/data.csv")[1]]


def test_same_arguments_same_bytes(whole: Path, request_: Request, tmp_path: Path) -> None:
    again = simulate(request_, tmp_path / "again")
    assert contents(again) == contents(whole)


def test_another_seed_is_another_descent(whole: Path, request_: Request, tmp_path: Path) -> None:
    other = contents(simulate(replace(request_, seed=1), tmp_path / "other"))
    same = {name for name, digest in contents(whole).items() if other.get(name) == digest}
    # What is left: the request, what is written on the sensors, and the list of images.
    expected = {f"{name}/sensor.yaml" for name in SENSORS}
    assert same - {"cam0/data.csv"} == expected | {"scenario.toml", "cam0/camera.yaml"}


def test_what_is_complete_is_left_alone(whole: Path, request_: Request) -> None:
    before = {file: file.stat().st_mtime_ns for file in whole.rglob("*")}
    assert simulate(request_, whole) == whole
    assert {file: file.stat().st_mtime_ns for file in whole.rglob("*")} == before


@pytest.mark.parametrize(
    ("part", "least"), [("altitude", 0), ("altimeter", 0), ("frames", 1), ("frames", 3)]
)
def test_a_run_that_stops_goes_on_and_ends_in_the_same_bytes(
    whole: Path, request_: Request, tmp_path: Path, part: str, least: int
) -> None:
    def stop(name: str, done: int, total: int) -> None:
        if name == part and done >= least:
            raise StoppedError

    out = tmp_path / "stopped"
    with pytest.raises(StoppedError):
        simulate(request_, out, stop)
    assert facts_of(out)["complete"] is False
    frames_before = sorted((out / "cam0" / "data").iterdir())
    written = {file: file.stat().st_mtime_ns for file in frames_before}
    assert len(written) == (least if part == "frames" else 0)
    simulate(request_, out)
    assert contents(out) == contents(whole)
    assert {file: file.stat().st_mtime_ns for file in frames_before} == written


KILLED = """
import sys
from pathlib import Path
from tests.test_simulate_dataset import BEGIN_S, END_S, SMALL, SOURCE
from trn.simulate.dataset import Request, simulate

def show(part, done, total):
    print(part, done, flush=True)

request = Request(SMALL, SOURCE, Path(sys.argv[1]), 0, (), BEGIN_S, END_S)
simulate(request, Path(sys.argv[2]), show)
"""


def test_a_killed_process_leaves_what_the_next_one_finishes(
    whole: Path, request_: Request, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(request_.map_path), str(out)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("frames 1"):
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() == -signal.SIGKILL
    assert facts_of(out)["complete"] is False
    # What a kill in the middle of a write leaves besides.
    (out / "imu0" / ".data.csv.12345").write_text("half a")
    (out / "altimeter0" / "data.csv").unlink()
    (out / "altimeter0" / ".noise_free.csv").write_text("1234.5,0.25\n12", encoding="utf-8")
    (out / "altimeter0" / ".noise_free.csv").unlink()
    simulate(request_, out)
    assert contents(out) == contents(whole)


def test_a_reading_that_was_cut_off_is_cast_again(
    whole: Path, request_: Request, tmp_path: Path
) -> None:
    def stop(part: str, done: int, total: int) -> None:
        if part == "altimeter" and done == total:
            raise StoppedError

    out = tmp_path / "cut"
    with pytest.raises(StoppedError):
        simulate(request_, out, stop)
    partial = out / "altimeter0" / ".noise_free.csv"
    text = partial.read_text(encoding="utf-8")
    partial.write_text(text[: len(text) // 2], encoding="utf-8")
    simulate(request_, out)
    assert contents(out) == contents(whole)


def test_a_run_killed_at_its_first_write_can_be_started_again(
    whole: Path, request_: Request, tmp_path: Path
) -> None:
    out = tmp_path / "early"
    out.mkdir()
    (out / f".{DATASET_FILE}.4711").write_text("form")
    simulate(request_, out)
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("when", ["a whole file", "a list that grows"])
def test_a_full_disk_says_what_to_do_and_the_run_goes_on(
    whole: Path, request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def full(*arguments: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "full"
    with monkeypatch.context() as disk:
        if when == "a whole file":
            write_bytes = Path.write_bytes

            def write(path: Path, data: bytes) -> int:
                return full() if path.name.startswith(".data.csv") else write_bytes(path, data)

            disk.setattr(Path, "write_bytes", write)
        else:
            disk.setattr(dataset, "write_frames", full)
        with pytest.raises(WorkError) as stopped:
            simulate(request_, out)
    line = str(stopped.value)
    assert "No space left" in line
    assert "run the same command again" in line
    assert "\n" not in line
    simulate(request_, out)
    assert contents(out) == contents(whole)


def test_a_folder_of_something_else_is_left_alone(request_: Request, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(InputError, match="no dataset; choose another --out"):
        simulate(request_, tmp_path)
    with pytest.raises(InputError, match="no dataset; choose another --out"):
        simulate(request_, tmp_path / "letters.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
    (tmp_path / DATASET_FILE).write_text("not = toml = at all")
    with pytest.raises(InputError, match="cannot be read"):
        simulate(request_, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"text": SMALL + "# another\n"},
        {"faults": (parse_fault("lrf-bias"),)},
        {"end_s": 209.0},
        {"map_path": None},
    ],
)
def test_a_dataset_of_other_arguments_is_left_alone(
    whole: Path, request_: Request, changes: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="made with other arguments"):
        simulate(replace(request_, **changes), whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"begin_s": 5000.0, "end_s": 6000.0}, "the descent lasts 408.* begin earlier"),
        ({"begin_s": 0.0, "end_s": 2.0}, "no frame of small sees the map"),
        ({"text": SMALL.replace("latitude_deg = 46.5", "latitude_deg = 10.0")}, "holds it"),
        ({"text": SMALL.replace("latitude_deg = 46.5", "latitude_deg = 89.0")}, "pole"),
        (
            {"text": SMALL.replace("heading_deg = 30.0", "heading_deg = 30.0\nmass_kg = -1.0")},
            "small.toml: trajectory.mass_kg",
        ),
        (
            {"text": SMALL.replace("heading_deg = 30.0", "heading_deg = 30.0\n"
                                   "apoapsis_height_m = 1000.0")},
            "apoapsis_height_m is less than periapsis_height_m",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_flown_is_refused_before_anything_is_written(
    request_: Request, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    out = tmp_path / "never"
    with pytest.raises(InputError, match=words):
        simulate(replace(request_, **changes), out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"seed": -1}, "seed"), ({"begin_s": -1.0}, "from"), ({"begin_s": 9.0, "end_s": 9.0}, "from")],
)
def test_arguments_that_cannot_be_are_named(
    request_: Request, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(InputError, match=word):
        replace(request_, **changes)


def test_the_files_are_those_of_euroc(whole: Path) -> None:
    assert set(contents(whole)) == {
        DATASET_FILE,
        "scenario.toml",
        *(f"{name}/sensor.yaml" for name in SENSORS),
        *(f"{name}/data.csv" for name in SENSORS),
        "cam0/camera.yaml",
        "state_groundtruth_estimate0/data.csv",
        "state_groundtruth_estimate0/altitude.csv",
        *(f"cam0/data/{row[1]}" for row in rows(whole / "cam0/data.csv")[1]),
    }


@pytest.mark.parametrize(
    ("name", "header", "count"),
    [
        ("cam0", "#timestamp [ns],filename", 4),
        (
            "imu0",
            "#timestamp [ns],w_RS_S_x [rad s^-1],w_RS_S_y [rad s^-1],w_RS_S_z [rad s^-1],"
            "a_RS_S_x [m s^-2],a_RS_S_y [m s^-2],a_RS_S_z [m s^-2]",
            150,
        ),
        (
            "state_groundtruth_estimate0",
            "#timestamp [ns],p_RS_R_x [m],p_RS_R_y [m],p_RS_R_z [m],"
            "q_RS_w [],q_RS_x [],q_RS_y [],q_RS_z [],"
            "v_RS_R_x [m s^-1],v_RS_R_y [m s^-1],v_RS_R_z [m s^-1]",
            31,
        ),
        ("altimeter0", "#timestamp [ns],range_m [m],valid [],beam []", 16),
        (
            "startracker0",
            "#timestamp [ns],q_body_to_vehicle_x [],q_body_to_vehicle_y [],"
            "q_body_to_vehicle_z [],q_body_to_vehicle_w [],sigma [rad]",
            7,
        ),
    ],
)
def test_every_list_has_its_columns_its_rate_and_stamps_in_nanoseconds(
    whole: Path, name: str, header: str, count: int
) -> None:
    found, lines = rows(whole / name / "data.csv")
    assert found == header
    assert len(lines) == count
    assert {len(line) for line in lines} == {header.count(",") + 1}
    stamps = np.array([int(line[0]) for line in lines])
    facts = facts_of(whole)
    assert np.all(np.diff(stamps) > 0)
    seconds = (stamps - facts["start_ns"]) * 1e-9
    assert seconds.min() >= BEGIN_S - 1e-6 and seconds.max() <= END_S + 1e-6
    if name != "state_groundtruth_estimate0":
        sensor = yaml.safe_load((whole / name / "sensor.yaml").read_text(encoding="utf-8"))
        assert np.allclose(np.diff(seconds), 1.0 / sensor["rate_hz"], atol=1e-6)


def test_truth_is_a_rotation_a_position_and_its_velocity(landing: Path) -> None:
    truth = numbers(landing / "state_groundtruth_estimate0/data.csv")
    assert np.allclose(np.linalg.norm(truth[:, 4:8], axis=1), 1.0, atol=1e-12)
    step = np.diff(truth[:, 0]) * 1e-9
    travelled = np.diff(truth[:, 1:4], axis=0) / step[:, None]
    assert np.allclose(travelled, 0.5 * (truth[1:, 8:] + truth[:-1, 8:]), atol=0.01)
    altitude = numbers(landing / "state_groundtruth_estimate0/altitude.csv")
    assert np.array_equal(altitude[:, 0], truth[:, 0])
    # Down the last metres altitude is lost as the vertical speed says.
    up = truth[:, 1:4] / np.linalg.norm(truth[:, 1:4], axis=1, keepdims=True)
    climb = np.sum(truth[:, 8:] * up, axis=1)
    assert altitude[-1, 1] - altitude[0, 1] == pytest.approx(climb.mean() * 3.0, abs=0.3)


def test_every_sensor_states_where_it_sits_and_its_data_sheet(whole: Path) -> None:
    sheets = {
        name: yaml.safe_load((whole / name / "sensor.yaml").read_text(encoding="utf-8"))
        for name in SENSORS
    }
    for sheet in sheets.values():
        turn = np.array(sheet["T_BS"]["data"]).reshape(4, 4)
        assert np.allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3))
        assert np.linalg.det(turn[:3, :3]) == pytest.approx(1.0)
        assert turn[3].tolist() == [0.0, 0.0, 0.0, 1.0]
    camera = Camera.load(whole / "cam0" / "camera.yaml")
    assert sheets["cam0"]["intrinsics"] == pytest.approx(
        [camera.fx, camera.fy, camera.cx, camera.cy]
    )
    assert sheets["cam0"]["resolution"] == [96, 80]
    assert sheets["cam0"]["distortion_model"] == "radial-tangential"
    for kind in ("accelerometer", "gyroscope"):
        for field in ("noise_density", "random_walk", "bias_sigma", "scale", "misalignment_rad"):
            assert sheets["imu0"][f"{kind}_{field}"] > 0.0
    for field in ("sigma_rad", "across_rad", "roll_rad", "mounting_rad"):
        assert 0.0 < sheets["startracker0"][field] < 1e-3
    assert len(sheets["altimeter0"]["beams"]) == 2
    assert sheets["altimeter0"]["noise_m"] > 0.0


def test_sensors_report_the_truth_with_their_own_errors(landing: Path) -> None:
    truth = numbers(landing / "state_groundtruth_estimate0/data.csv")
    stars = numbers(landing / "startracker0/data.csv")
    told = np.searchsorted(truth[:, 0], stars[:, 0])
    true = Rotation.from_quat(truth[told][:, [5, 6, 7, 4]]).inv()
    off = (Rotation.from_quat(stars[:, 1:5]) * true.inv()).magnitude()
    assert np.all((off > 0.0) & (off < 6.0 * stars[:, 5]))
    force = np.linalg.norm(numbers(landing / "imu0/data.csv")[:, 4:7], axis=1)
    # Steady vertical descent: the engine holds the lander up against lunar gravity.
    assert force[:50].mean() == pytest.approx(1.62, abs=0.02)
    altitude = numbers(landing / "state_groundtruth_estimate0/altitude.csv")
    readings = numbers(landing / "altimeter0/data.csv")
    there = np.interp(readings[:, 0], altitude[:, 0], altitude[:, 1])
    valid = readings[:, 2] > 0
    assert valid.sum() > 10
    # The beam for the vertical descent is tilted by 10 degrees.
    tilted = np.cos(np.radians(10.0))
    assert readings[valid, 1] * tilted == pytest.approx(there[valid], abs=3.0)
    assert set(readings[:, 3]) == {1.0}


def test_truth_is_told_by_nothing_but_its_own_folder(whole: Path) -> None:
    facts = facts_of(whole)
    assert set(facts) == {
        "format", "complete", "scenario", "title", "seed", "fingerprint", "trn_version",
        "start_utc", "start_ns", "begin_s", "end_s", "map", "frames", "initial_state", "faults",
    }  # fmt: skip
    truth = numbers(whole / "state_groundtruth_estimate0/data.csv")
    start = facts["initial_state"]
    assert start["time_ns"] == int(rows(whole / "state_groundtruth_estimate0/data.csv")[1][0][0])
    # What is handed over is the truth with an error of the size that it states.
    for field, values, unit in (
        ("position", truth[0, 1:4], "moon_me_m"),
        ("velocity", truth[0, 8:11], "moon_me_m_per_s"),
    ):
        sigma = start[f"{field}_sigma_{unit.removeprefix('moon_me_')}"]
        off = np.linalg.norm(np.array(start[f"{field}_{unit}"]) - values)
        assert 0.05 * sigma < off < 5.0 * sigma
    digits = {f"{x:.3f}" for x in truth[:, 1:4].ravel()}
    for name in (*(f"{sensor}/data.csv" for sensor in SENSORS), "scenario.toml"):
        text = (whole / name).read_text(encoding="utf-8")
        assert not any(number in text for number in digits)


def test_faults_are_recorded_and_applied(whole: Path, request_: Request, tmp_path: Path) -> None:
    texts = [
        "lrf-bias:onset=209,size=50",
        "camera-blackout:onset=209.5,size=0.1,duration=1",
        "imu-bias-step:onset=209,size=0.5",
        "star-tracker-offset:onset=209,size=2",
        "clock-offset:onset=0,size=0.25",
        "state-position-jump:size=300",
    ]
    faults = tuple(parse_fault(text) for text in texts)
    out = simulate(replace(request_, faults=faults), tmp_path / "faulty")
    recorded = {fault["name"]: fault for fault in facts_of(out)["faults"]}
    assert set(recorded) == {fault.name for fault in faults}
    assert recorded["lrf-bias"]["onset_s"] == 209.0
    assert recorded["lrf-bias"]["size"] == 50.0
    # Without an onset of its own a fault begins when the scenario says.
    assert recorded["state-position-jump"]["onset_s"] == 60.0
    assert np.hypot(*recorded["state-position-jump"]["direction_east_north"]) == pytest.approx(1.0)
    assert facts_of(whole)["faults"] == []

    def change(name: str, columns: slice) -> np.ndarray:
        healthy, faulty = numbers(whole / name), numbers(out / name)
        return np.linalg.norm(faulty[:, columns] - healthy[:, columns], axis=1)

    seconds = (numbers(whole / "altimeter0/data.csv")[:, 0] - facts_of(whole)["start_ns"]) * 1e-9
    valid = numbers(whole / "altimeter0/data.csv")[:, 2] > 0
    longer = change("altimeter0/data.csv", slice(1, 2))
    assert longer[valid] == pytest.approx(np.where(seconds[valid] > 208.99, 50.0, 0.0), abs=1e-6)
    pushed = change("imu0/data.csv", slice(4, 7))
    assert np.sort(pushed)[[0, -1]] == pytest.approx([0.0, 0.5])
    assert change("imu0/data.csv", slice(1, 4)).max() == 0.0
    turned = change("startracker0/data.csv", slice(1, 5))
    assert turned[0] == 0.0
    assert turned[-1] == pytest.approx(2.0 * np.sin(np.radians(0.5)), rel=1e-3)
    late = [
        int(faulty[0]) - int(healthy[0])
        for faulty, healthy in zip(
            rows(out / "cam0/data.csv")[1], rows(whole / "cam0/data.csv")[1], strict=True
        )
    ]
    assert late == [250_000_000] * 4
    brightness = [float(a.mean() / b.mean()) for a, b in zip(frames(out), frames(whole))]
    assert brightness == pytest.approx([1.0, 1.0, 0.1, 1.0], abs=0.02)
    # The truth stays as it was.
    for name in ("data.csv", "altitude.csv"):
        path = Path("state_groundtruth_estimate0") / name
        assert (out / path).read_bytes() == (whole / path).read_bytes()


def test_faults_of_the_scenario_are_always_there(request_: Request, tmp_path: Path) -> None:
    text = SMALL + '\n[faults]\nalways = ["lrf-dropout:onset=0,size=1,duration=inf"]\n'
    out = simulate(replace(request_, text=text), tmp_path / "deaf")
    assert [fault["name"] for fault in facts_of(out)["faults"]] == ["lrf-dropout"]
    assert numbers(out / "altimeter0/data.csv")[:, 2].max() == 0.0


def test_frames_begin_when_the_view_is_on_the_map(request_: Request, tmp_path: Path) -> None:
    window = replace(request_, begin_s=FIRST_ON_MAP_S - 5.0, end_s=FIRST_ON_MAP_S + 1.0)
    out = simulate(window, tmp_path / "border")
    stamps = [int(row[0]) for row in rows(out / "cam0/data.csv")[1]]
    facts = facts_of(out)
    assert [(stamp - facts["start_ns"]) * 1e-9 for stamp in stamps] == pytest.approx(
        [FIRST_ON_MAP_S, FIRST_ON_MAP_S + 1.0]
    )
    assert facts["frames"]["count"] == 2
    assert facts["frames"]["first_ns"] == stamps[0]
    assert facts["frames"]["last_ns"] == stamps[-1]
    # Sensors that need no map run all the same, and altitude is told where there is one.
    assert len(rows(out / "imu0/data.csv")[1]) == 300
    truth = numbers(out / "state_groundtruth_estimate0/data.csv")
    assert len(truth) == 61
    bounds = LunarMap.open(request_.map_path).bounds
    latitude = np.degrees(geographic_from_position(truth[:, 1:4])[0])
    below = numbers(out / "state_groundtruth_estimate0/altitude.csv")
    assert len(below) == np.sum(latitude >= bounds.latitude_min_deg + 0.5 / 32)


def test_the_last_frame_is_above_the_lowest_altitude(request_: Request, tmp_path: Path) -> None:
    text = SMALL.replace("[camera]", "[camera]\nlast_altitude_m = 12.0").replace("5.0", "0.5")
    window = replace(request_, text=text, begin_s=402.0, end_s=np.inf)
    out = simulate(window, tmp_path / "low")
    altitude = numbers(out / "state_groundtruth_estimate0/altitude.csv")
    last = facts_of(out)["frames"]["last_ns"]
    # The map's own height is metres off here: what counts is the true ground.
    assert 12.0 <= np.interp(last, altitude[:, 0], altitude[:, 1]) < 17.5
    assert altitude[-1, 1] < 3.0


def test_a_made_region_comes_with_the_map_that_an_estimator_gets(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "EMBEDDED_PIXELS_PER_DEGREE", 16)
    made = replace(request_, map_path=None, begin_s=300.0, end_s=301.0)
    out = simulate(made, tmp_path / "made")
    facts = facts_of(out)
    assert facts["map"] == {
        "name": "atlas", "sha256": "", "embedded": True, "estimator_map": "site.map"
    }  # fmt: skip
    handed = LunarMap.open(out / facts["map"]["estimator_map"])
    assert np.isfinite(handed.height(46.5, 44.5))
    again = simulate(made, tmp_path / "again")
    assert contents(again) == contents(out)
    # A kill before the map was built: it is built by the next run, the rest stays.
    shutil.rmtree(out / "site.map")
    description = (out / DATASET_FILE).read_text(encoding="utf-8")
    (out / DATASET_FILE).write_text(
        description.replace("complete = true", "complete = false"), encoding="utf-8"
    )
    simulate(made, out)
    assert contents(out) == contents(again)


@pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())
def test_frames_of_a_gpu_are_those_of_the_cpu_and_named_so(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = CudaDevice(FakeCupy(), strict=True)
    monkeypatch.setattr(dataset, "cuda_device", lambda: device)
    # On the CPU, too, shadows are a ray a pixel here.
    exact = partial(RenderSettings, exact_shadows=True)
    monkeypatch.setattr(frame_writer, "RenderSettings", exact)
    begin_s, _ = LANDING_S
    asked = replace(request_, begin_s=begin_s, end_s=begin_s + 2.0, backend="cuda")
    made = simulate(asked, tmp_path / "gpu")
    by_cpu = simulate(replace(asked, backend="cpu"), tmp_path / "cpu")
    assert tomllib.loads((made / "dataset.toml").read_text())["renderer"] == "cuda"
    assert "renderer" not in tomllib.loads((by_cpu / "dataset.toml").read_text())
    names = sorted(path.name for path in (made / "cam0" / "data").iterdir())
    assert names
    for name in names:
        ours, theirs = (
            cv2.imread(str(path / "cam0" / "data" / name), cv2.IMREAD_UNCHANGED).astype(int)
            for path in (made, by_cpu)
        )
        # A ray that grazes a ridge, or ends on the seam of two patches, may see the Sun in one and
        # not in the other; its neighbours get a share by the optics. Of 7 680 pixels up to three
        # did, one of them lit far brighter than the rest, which shortened the exposure by 0.6 %.
        assert (np.abs(ours - theirs) > 1 + 0.01 * theirs).sum() <= 2 * 3 * 3
    with pytest.raises(InputError, match="other arguments"):
        simulate(replace(asked, backend="cpu"), made)


def test_a_gpu_that_is_not_there_is_said_before_anything_is_written(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = cuda_usable.CudaFinding(False, "CuPy is not installed", "pip install it")
    monkeypatch.setattr(select, "examine_cuda", lambda: finding)
    with pytest.raises(WorkError, match="CuPy is not installed; pip install it"):
        simulate(replace(request_, backend="cuda"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="use cpu or cuda"):
        replace(request_, backend="auto")
