"""From a scenario's trajectory to a flight with attitude over the true ground."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.simulate.descent import DescentPlan, Trajectory, fly_descent
from trn.simulate.scenario import (
    MOST_DURATION_S,
    CsvTrajectory,
    Descent,
    Scenario,
    SpkTrajectory,
)
from trn.simulate.terrain import TruthTerrain
from trn.simulate.trajectory_file import trajectory_from_csv, trajectory_from_spk
from trn.simulate.vehicle import Flight, fly_attitude

Array = NDArray[np.float64]

_GROUND_STEP_M = 0.25


def ground_height_m(terrain: TruthTerrain, latitude_deg: float, longitude_deg: float) -> float:
    """Height of the true ground at a place, with relief down to a quarter of a metre."""
    place = position_from_geographic(math.radians(latitude_deg), math.radians(longitude_deg), 0.0)
    step = _GROUND_STEP_M / REFERENCE_RADIUS_M
    patch = terrain.patch(east_north_up(place), (-step, step, -step, step), step)
    return float(patch.height_at(place))


def fly(scenario: Scenario, terrain: TruthTerrain, folder: Path) -> Flight:
    """The flight of a scenario, sampled at the rate of its IMU.

    folder: where the scenario lies; trajectory files are named from there and may not lie outside
    it. Raises InputError for a trajectory that cannot be flown, cannot be read, or goes into the
    ground.
    """
    rate_hz = 2.0 * scenario.imu.rate_hz
    trajectory = _trajectory(scenario, terrain, folder, rate_hz)
    if trajectory.time_s[-1] > MOST_DURATION_S:
        raise InputError(
            f"trajectory: lasts {trajectory.time_s[-1]:.0f} s; cut it to {MOST_DURATION_S:g} s"
        )
    return fly_attitude(trajectory)


def _trajectory(
    scenario: Scenario, terrain: TruthTerrain, folder: Path, rate_hz: float
) -> Trajectory:
    wanted = scenario.trajectory
    if isinstance(wanted, CsvTrajectory):
        return trajectory_from_csv(_inside(folder, wanted.file), rate_hz)
    if isinstance(wanted, SpkTrajectory):
        kernels = [_inside(folder, name) for name in wanted.kernels]
        return trajectory_from_spk(
            kernels, wanted.target, wanted.begin_utc, wanted.end_utc, rate_hz, frame=wanted.frame
        )
    return fly_descent(_plan(scenario, wanted, terrain), rate_hz)


def _plan(scenario: Scenario, descent: Descent, terrain: TruthTerrain) -> DescentPlan:
    site = scenario.site
    fields = descent.model_dump(exclude={"kind", "heading_deg"})
    return DescentPlan(
        latitude_rad=math.radians(site.latitude_deg),
        longitude_rad=math.radians(site.longitude_east_deg),
        ground_height_m=ground_height_m(terrain, site.latitude_deg, site.longitude_east_deg),
        heading_rad=math.radians(descent.heading_deg),
        **fields,
    )


def _inside(folder: Path, name: str) -> Path:
    """A file named from a folder; raises InputError where the name leads out of it."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(
            f"trajectory: {name!r} leads out of the scenario's folder; put the file beside it"
        )
    return path
