"""What of a descent is recorded: its flight over the ground, its faults, and the sensors aboard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.errors import InputError
from trn.simulate import range_finder
from trn.simulate.faults import Fault, parse_fault
from trn.simulate.range_finder import RangeFinder
from trn.simulate.scenario import Scenario, end_time
from trn.simulate.vehicle import Flight, mounted
from trn.simulate.world import World

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recording:
    """A descent, the part of it that is recorded, and what records it.

    faults: with their onsets, those that the scenario always has among them. begin_s, end_s: since
    the start of the descent, which start_utc and start_ns say. to_camera, to_beams: from vehicle
    axes.
    """

    scenario: Scenario
    world: World
    flight: Flight
    seed: int
    faults: tuple[Fault, ...]
    begin_s: float
    end_s: float
    start_utc: datetime
    start_ns: int
    camera: Camera
    to_camera: Rotation
    finder: RangeFinder
    to_beams: tuple[Rotation, ...]

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        world: World,
        flight: Flight,
        seed: int,
        faults: Sequence[Fault],
        begin_s: float,
        end_s: float,
    ) -> Recording:
        """The recording of a part of a flight; raises InputError where that is over before it."""
        duration_s = float(flight.time_s[-1])
        if begin_s >= min(end_s, duration_s):
            raise InputError(f"from: the descent lasts {duration_s:.1f} s; begin earlier")
        start = end_time(scenario) - timedelta(seconds=duration_s)
        # Whole microseconds, so that the text of the time and the stamps say the same.
        start_utc = start.astimezone(timezone.utc)
        return cls(
            scenario,
            world,
            flight,
            seed,
            faults_of(scenario, faults),
            begin_s,
            min(end_s, duration_s),
            start_utc,
            round(start_utc.timestamp() * 1e6) * 1000,
            _camera(scenario),
            mounted(math.radians(scenario.camera.tilt_deg)),
            range_finder_of(scenario),
            tuple(mounted(math.radians(tilt)) for tilt in scenario.altimeter.tilts_deg),
        )

    def times(self, rate_hz: float) -> Array:
        """Times of a sensor inside the window, on whole multiples of its period."""
        first = math.ceil(self.begin_s * rate_hz - 1e-9)
        last = math.floor(self.end_s * rate_hz + 1e-9)
        return np.arange(first, last + 1) / rate_hz

    def stamps(self, time_s: Array) -> NDArray[np.int64]:
        """Nanoseconds of Unix time, of seconds since the start."""
        return np.asarray(self.start_ns + np.round(time_s * 1e9).astype(np.int64))


def _camera(scenario: Scenario) -> Camera:
    settings = scenario.camera
    focal = 0.5 * settings.width / math.tan(0.5 * math.radians(settings.field_of_view_deg))
    return Camera(
        settings.width,
        settings.height,
        focal,
        focal,
        0.5 * (settings.width - 1),
        0.5 * (settings.height - 1),
        (*settings.distortion, 0.0),
    )


def faults_of(scenario: Scenario, faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """The faults of a descent with their onsets: those the scenario always has, and others."""
    always = [parse_fault(text) for text in scenario.faults.always]
    return tuple(fault.at(scenario.faults.default_onset_s) for fault in (*always, *faults))


def range_finder_of(scenario: Scenario) -> RangeFinder:
    """The range finder of a scenario: its preset, and what the scenario changes of it."""
    settings = scenario.altimeter
    given = settings.model_dump(exclude={"preset", "rate_hz", "tilts_deg"}, exclude_none=True)
    return RangeFinder(**{**vars(range_finder.PRESETS[settings.preset]), **given})
