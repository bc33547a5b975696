"""What a dataset tells of one descent: series, data sheets, and the truth kept apart from them.

Stamps are int64 nanoseconds and ascend strictly in every series. "Vehicle" axes are those of the
IMU; body-fixed axes are MOON_ME.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.altimetry.instrument import AltimeterModel
from trn.camera import Camera
from trn.navigation.sensors import ImuModel, StarTrackerModel

Array = NDArray[np.float64]
Stamps = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImuSeries:
    """IMU samples in vehicle axes, each the average over the step that ends at its stamp.

    time_ns: (N,). angular_rate_rad_per_s, specific_force_m_per_s2: (N, 3).
    """

    time_ns: Stamps
    angular_rate_rad_per_s: Array
    specific_force_m_per_s2: Array


@dataclass(frozen=True, eq=False)
class StarTrackerSeries:
    """Attitudes. time_ns: (N,). quaternion_xyzw: (N, 4), unit, body-fixed to vehicle.

    sigma_rad: (N,), 1 sigma an axis as the unit reports it.
    """

    time_ns: Stamps
    quaternion_xyzw: Array
    sigma_rad: Array


@dataclass(frozen=True, eq=False)
class AltimeterSeries:
    """Range readings. time_ns, range_m, valid (bool), beam (int64): (N,).

    Where valid is False, range_m means nothing. beam is an index into the model's beams.
    """

    time_ns: Stamps
    range_m: Array
    valid: NDArray[np.bool_]
    beam: NDArray[np.int64]


@dataclass(frozen=True)
class Frame:
    """One image: its stamp and its file, which was there when the dataset was read."""

    time_ns: int
    path: Path


@dataclass(frozen=True, eq=False)
class InitialState:
    """The navigation state handed over: (3,) vectors in MOON_ME, sigmas an axis."""

    time_ns: int
    position_m: Array
    position_sigma_m: float
    velocity_m_per_s: Array
    velocity_sigma_m_per_s: float


@dataclass(frozen=True, eq=False)
class InjectedFault:
    """A fault that no sensor's record shows, so that a replay applies it itself.

    name: "state-position-jump" or "map-shift". end_ns: None lasts to the end. size: metres.
    direction_east_north: (2,), unit.
    """

    name: str
    onset_ns: int
    end_ns: int | None
    size: float
    direction_east_north: Array


@dataclass(frozen=True)
class FaultSpan:
    """When a fault acted on the dataset; end_ns is None where it lasted. For judging a run only."""

    name: str
    onset_ns: int
    end_ns: int | None


@dataclass(frozen=True, eq=False)
class Truth:
    """What really was; for judging a replay, never for running one.

    time_ns: (N,). position_m, velocity_m_per_s: (N, 3), MOON_ME. quaternion_xyzw: (N, 4),
    body-fixed to vehicle. altitude_time_ns, altitude_m: (M,), above the true ground; M may be 0.
    """

    time_ns: Stamps
    position_m: Array
    velocity_m_per_s: Array
    quaternion_xyzw: Array
    altitude_time_ns: Stamps
    altitude_m: Array


@dataclass(frozen=True, eq=False)
class Descent:
    """One dataset as read.

    name: of its folder. embedded: the map's region is made by code. to_camera: vehicle to camera
    axes. faults: for judging a run only. problems: one line for each way in which the dataset was
    less than whole; what could not be used is left out of the series.
    """

    folder: Path
    name: str
    scenario: str
    title: str
    seed: int
    start_ns: int
    embedded: bool
    map_name: str
    map_sha256: str
    camera: Camera
    to_camera: Rotation
    frames: tuple[Frame, ...]
    imu: ImuSeries
    imu_model: ImuModel
    star_tracker: StarTrackerSeries
    star_tracker_model: StarTrackerModel
    altimeter: AltimeterSeries
    altimeter_model: AltimeterModel
    initial_state: InitialState
    injected: tuple[InjectedFault, ...]
    truth: Truth | None
    faults: tuple[FaultSpan, ...]
    problems: tuple[str, ...]
