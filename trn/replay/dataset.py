"""Reads a dataset folder in the EuRoC form; what is less than whole is named, not guessed.

docs/replay.md has the table of what happens with bad input.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.altimetry.instrument import AltimeterModel
from trn.camera import Camera
from trn.errors import InputError
from trn.navigation.sensors import ImuModel, StarTrackerModel
from trn.replay import description
from trn.replay.descent import (
    AltimeterSeries,
    Array,
    Descent,
    FaultSpan,
    Frame,
    ImuSeries,
    InitialState,
    InjectedFault,
    StarTrackerSeries,
    Truth,
)
from trn.replay.tables import Table, read_listing, read_table

__all__ = [
    "AltimeterModel",
    "AltimeterSeries",
    "Descent",
    "Frame",
    "ImuModel",
    "ImuSeries",
    "InitialState",
    "InjectedFault",
    "StarTrackerModel",
    "StarTrackerSeries",
    "Truth",
    "read_descent",
]

Mask = NDArray[np.bool_]

DATASET_FILE = "dataset.toml"
MOST_RANGE_M = 1e6
UNIT_TOLERANCE = 1e-3
APPLIED_BY_REPLAY = ("state-position-jump", "map-shift")

_TRUTH = "state_groundtruth_estimate0/data.csv"
_LEAST_LEVER_M = 1e-3

_NO_ALTIMETER = AltimeterModel(
    rate_hz=0.0, beam_rad=1e-3, returns="mean", minimum_range_m=0.0, maximum_range_m=MOST_RANGE_M,
    noise_m=0.0, noise_of_range=0.0, noise_of_spread=0.0, resolution_m=0.0, dropouts=1.0,
    latency_s=0.0, beams=(),
)  # fmt: skip
_NO_STAR_TRACKER = StarTrackerModel(across_rad=math.pi, roll_rad=math.pi)


def read_descent(folder: Path) -> Descent:
    """Read a dataset folder.

    Rows that are cut off, malformed, not finite or out of time order are dropped;
    ranges below 0 or beyond 1000 km are kept as invalid; attitudes off unit length by more than
    1e-3 are dropped; frames without their file are left out. A missing altimeter, star tracker,
    camera listing or truth leaves an empty series (truth: None), a dataset that is not complete is
    read as far as it goes. Each of these is a line in `problems`. Raises InputError, naming file
    and remedy, where dataset.toml, imu0 or cam0's camera.yaml is missing or says what cannot be,
    where a frame's path leaves the folder, and where a file is over its bound (CSV 1 GB and 20
    million rows, TOML and YAML 1 MB).
    """
    return _Reader(Path(folder)).read()


class _Reader:
    """One dataset in the reading."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def read(self) -> Descent:
        """Everything of the dataset."""
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: no such folder; give a dataset folder")
        about = description.read_toml(self.folder / DATASET_FILE, description.DatasetDocument)
        if not about.complete:
            self.problems.append(f"{DATASET_FILE}: the dataset is not complete")
        camera, to_camera = self._camera()
        imu_model, imu = self._imu()
        star_tracker_model, star_tracker = self._star_tracker()
        altimeter_model, altimeter = self._altimeter()
        state = about.initial_state
        return Descent(
            folder=self.folder,
            name=self.folder.resolve().name,
            scenario=about.scenario,
            title=about.title or about.scenario,
            seed=about.seed,
            start_ns=about.start_ns,
            embedded=about.map.embedded,
            map_name=about.map.name,
            map_sha256=about.map.sha256,
            camera=camera,
            to_camera=to_camera,
            frames=self._frames(),
            imu=imu,
            imu_model=imu_model,
            star_tracker=star_tracker,
            star_tracker_model=star_tracker_model,
            altimeter=altimeter,
            altimeter_model=altimeter_model,
            initial_state=InitialState(
                state.time_ns,
                np.array(state.position_moon_me_m),
                state.position_sigma_m,
                np.array(state.velocity_moon_me_m_per_s),
                state.velocity_sigma_m_per_s,
            ),
            injected=self._injected(about),
            truth=self._truth(),
            faults=tuple(FaultSpan(fault.name, *_span(about, fault)) for fault in about.faults),
            problems=tuple(self.problems),
        )

    def _table(self, name: str, *widths: int) -> Table:
        return read_table(self.folder / name, name, widths)

    def _lacks(self, name: str, consequence: str) -> bool:
        """Whether a file is missing, said among the problems."""
        if (self.folder / name).is_file():
            return False
        self.problems.append(f"{name}: is missing; {consequence}")
        return True

    def _mounting(self, name: str, pose: description.PoseDocument) -> Rotation:
        if pose.lever_m > _LEAST_LEVER_M:
            self.problems.append(f"{name}: T_BS has a translation, which is not used")
        return pose.to_sensor(f"{self.folder / name}: T_BS")

    def _camera(self) -> tuple[Camera, Rotation]:
        path = self.folder / "cam0" / "camera.yaml"
        if not path.is_file():
            raise InputError(f"{path}: is missing; write a ROS camera_info file there")
        name = "cam0/sensor.yaml"
        sensor = description.read_yaml(self.folder / name, description.SensorDocument)
        return Camera.load(path), self._mounting(name, sensor.T_BS)

    def _frames(self) -> tuple[Frame, ...]:
        name = "cam0/data.csv"
        if self._lacks(name, "there are no frames"):
            return ()
        rows, tally = read_listing(self.folder / name, name)
        images, inside = self.folder / "cam0" / "data", self.folder.resolve()
        frames = []
        for stamp, text, line in rows:
            path = images / text
            if "\0" in text or not path.resolve().is_relative_to(inside):
                raise InputError(
                    f"{self.folder / name}: line {line} names a frame outside the dataset; "
                    "name files in cam0/data"
                )
            if path.is_file():
                frames.append(Frame(stamp, path))
            else:
                tally.add("whose frame is missing in cam0/data", line, outcome="left out")
        self.problems.extend(tally.sentences())
        return tuple(frames)

    def _imu(self) -> tuple[ImuModel, ImuSeries]:
        name = "imu0/data.csv"
        if not (self.folder / name).is_file():
            raise InputError(
                f"{self.folder / name}: is missing; a replay cannot do without the IMU's samples"
            )
        sensor = description.read_yaml(
            self.folder / "imu0" / "sensor.yaml", description.ImuDocument
        )
        model = ImuModel(
            sensor.rate_hz,
            sensor.gyroscope_noise_density,
            sensor.gyroscope_random_walk,
            sensor.gyroscope_bias_sigma,
            sensor.accelerometer_noise_density,
            sensor.accelerometer_random_walk,
            sensor.accelerometer_bias_sigma,
            sensor.gyroscope_scale,
            sensor.gyroscope_misalignment_rad,
            sensor.accelerometer_scale,
            sensor.accelerometer_misalignment_rad,
        )
        table = self._table(name, 7)
        self.problems.extend(table.tally.sentences())
        rate, force = table.values[:, :3], table.values[:, 3:]
        to_vehicle = self._mounting("imu0/sensor.yaml", sensor.T_BS).inv()
        if to_vehicle.magnitude() > 0.0 and table.time_ns.size:
            rate, force = to_vehicle.apply(rate), to_vehicle.apply(force)
        return model, ImuSeries(table.time_ns, rate, force)

    def _star_tracker(self) -> tuple[StarTrackerModel, StarTrackerSeries]:
        name, sheet = "startracker0/data.csv", "startracker0/sensor.yaml"
        empty = StarTrackerSeries(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))
        if self._lacks(sheet, "attitudes of unknown quality are not used"):
            return _NO_STAR_TRACKER, empty
        sensor = description.read_yaml(self.folder / sheet, description.StarTrackerDocument)
        model = StarTrackerModel(
            sensor.across_rad or sensor.sigma_rad,
            sensor.roll_rad or sensor.sigma_rad,
            sensor.mounting_rad,
        )
        if self._lacks(name, "there are no attitudes"):
            return model, empty
        table = self._table(name, 6)
        quaternion, unit = _unit(table.values[:, :4])
        sigma = table.values[:, 4]
        _count(table, ~unit, "whose quaternion is not of unit length")
        _count(table, unit & (sigma <= 0.0), "whose sigma is not above zero")
        kept = unit & (sigma > 0.0)
        self.problems.extend(table.tally.sentences())
        return model, StarTrackerSeries(table.time_ns[kept], quaternion[kept], sigma[kept])

    def _altimeter(self) -> tuple[AltimeterModel, AltimeterSeries]:
        name, sheet = "altimeter0/data.csv", "altimeter0/sensor.yaml"
        empty = AltimeterSeries(
            np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.bool_), np.zeros(0, np.int64)
        )
        if self._lacks(sheet, "ranges along unknown beams are not used"):
            return _NO_ALTIMETER, empty
        model = self._altimeter_model(sheet)
        if self._lacks(name, "there are no ranges"):
            return model, empty
        # A dataset with one beam need not number it.
        table = self._table(name, 3, 4)
        ranges, flag = table.values[:, 0], table.values[:, 1]
        beam = table.values[:, 2] if table.values.shape[1] > 2 else np.zeros_like(ranges)
        known = np.isin(beam, np.arange(len(model.beams)))
        _count(table, ~known, "whose beam sensor.yaml does not have")
        _count(table, known & ~np.isin(flag, (0.0, 1.0)), "whose valid is not 0 or 1",
               outcome="kept as invalid")  # fmt: skip
        absurd = (ranges < 0.0) | (ranges > MOST_RANGE_M)
        _count(table, known & absurd & (flag == 1.0),
               f"whose range is below 0 or beyond {MOST_RANGE_M:g} m",
               outcome="kept as invalid")  # fmt: skip
        self.problems.extend(table.tally.sentences())
        return model, AltimeterSeries(
            table.time_ns[known],
            ranges[known],
            ((flag == 1.0) & ~absurd)[known],
            beam[known].astype(np.int64),
        )

    def _altimeter_model(self, name: str) -> AltimeterModel:
        path = self.folder / name
        sensor = description.read_yaml(path, description.AltimeterDocument)
        if sensor.minimum_range_m >= sensor.maximum_range_m:
            raise InputError(f"{path}: minimum_range_m must be below maximum_range_m")
        beams = tuple(self._mounting(name, beam) for beam in sensor.beams or [sensor.T_BS])
        given = {
            field: getattr(sensor, field)
            for field in AltimeterModel.__dataclass_fields__
            if field != "beams"
        }
        return AltimeterModel(**given, beams=beams)

    def _truth(self) -> Truth | None:
        if self._lacks(_TRUTH, "errors cannot be told"):
            return None
        # EuRoC's own files go on with the biases of its IMU.
        table = self._table(_TRUTH, 11, 17)
        to_world, unit = _unit(table.values[:, [4, 5, 6, 3]])
        _count(table, ~unit, "whose quaternion is not of unit length")
        self.problems.extend(table.tally.sentences())
        to_vehicle = to_world[unit] * np.array([-1.0, -1.0, -1.0, 1.0])
        name = "state_groundtruth_estimate0/altitude.csv"
        altitude_ns, altitude = np.zeros(0, np.int64), np.zeros(0)
        if not self._lacks(name, "errors of altitude cannot be told"):
            heights = self._table(name, 2)
            self.problems.extend(heights.tally.sentences())
            altitude_ns, altitude = heights.time_ns, heights.values[:, 0]
        return Truth(
            table.time_ns[unit],
            table.values[unit, :3],
            table.values[unit, 7:10],
            to_vehicle,
            altitude_ns,
            altitude,
        )

    def _injected(self, about: description.DatasetDocument) -> tuple[InjectedFault, ...]:
        injected = []
        for fault in about.faults:
            if fault.name not in APPLIED_BY_REPLAY:
                continue
            if fault.direction_east_north is None:
                raise InputError(
                    f"{self.folder / DATASET_FILE}: faults: {fault.name} lacks "
                    "direction_east_north; add it"
                )
            onset_ns, end_ns = _span(about, fault)
            direction = np.array(fault.direction_east_north)
            injected.append(InjectedFault(fault.name, onset_ns, end_ns, fault.size, direction))
        return tuple(injected)


def _span(
    about: description.DatasetDocument, fault: description.FaultDocument
) -> tuple[int, int | None]:
    """Onset and end of a fault, nanoseconds; the end is None where it lasts."""
    onset_ns = about.start_ns + round(fault.onset_s * 1e9)
    if not math.isfinite(fault.duration_s):
        return onset_ns, None
    return onset_ns, onset_ns + round(fault.duration_s * 1e9)


def _unit(quaternion: Array) -> tuple[Array, Mask]:
    """Quaternions (N, 4) made unit, and which of them (N,) were near enough to it."""
    with np.errstate(over="ignore"):
        length = np.linalg.norm(quaternion, axis=1)
    near = np.abs(length - 1.0) <= UNIT_TOLERANCE
    return quaternion / np.where(near, length, 1.0)[:, None], near


def _count(table: Table, hit: Mask, reason: str, outcome: str = "dropped") -> None:
    """Count the rows of a table that are hit."""
    if hit.any():
        first = int(table.line[int(np.argmax(hit))])
        table.tally.add(reason, first, int(hit.sum()), outcome)
