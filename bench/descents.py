"""Descents without pictures: noise-free ranges made once, sensors and faults drawn for each run.

Rendering a frame takes a second; judging an altimeter needs thousands of descents. So what frames
tell is drawn here as `trn replay` finds it on rendered ones (sigma and lowest altitude below);
everything else is the simulator's own, and the on-board side is the one that flies.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bench.tables import data_folder
from trn.altimetry.baseline import BaselineSettings
from trn.altimetry.instrument import AltimeterModel
from trn.altimetry.terrain import MapRanges
from trn.altimetry.verdict import Assessment
from trn.backend.select import select_backend
from trn.channels.ground_flow import Displacement
from trn.maps.build import build_map
from trn.maps.lunar_map import LunarMap
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, geographic_from_position
from trn.navigation.filter import NavigationFilter
from trn.navigation.sensors import ImuModel, StarTrackerModel
from trn.replay.injected import offset_m, shifted
from trn.replay.onboard import Alarm, Altitude, Onboard
from trn.simulate import imu, range_finder, star_tracker
from trn.simulate.faults import (
    Fault,
    altimeter_with_faults,
    attitudes_with_faults,
    fault_table,
    specific_force_with_faults,
)
from trn.simulate.flight import fly, ground_height_m
from trn.simulate.range_finder import RangeFinder, true_range
from trn.simulate.recording import faults_of, range_finder_of
from trn.simulate.scenario import Scenario, load_scenario, scenario_path
from trn.simulate.vehicle import mounted
from trn.simulate.world import world_from_map

Array = NDArray[np.float64]

FIX_EVERY_S = 1.0
CAMERA_FAULTS = ("camera-blackout", "camera-overexposed", "camera-smear")

FLOW_SIGMA, FLOW_SCALE = 5e-5, 1e-3
"""Of displacements between frames, as rendered descents give them (`python -m bench.fix_errors`):
1 sigma an axis over the height, stated so, and of their scale, which fades as views pass."""

_MEASURED, _FIXES, _FLOW = 77, 78, 79


@dataclass(frozen=True)
class FixModel:
    """Image fixes as rendered descents give them (`python -m bench.fix_errors`).

    sigma_m: stated, horizontal and vertical, steady down to steady_m of altitude, then growing with
    a power of it, as the view holds fewer pixels of the map; none below least_m, where frames show
    displacements instead. errors: true ones,
    in what is stated. lasting, shared: shares of their variance that stay for the whole descent,
    and that fade while the lander passes its own altitude; the rest is new in every frame.
    """

    sigma_m: tuple[float, float]
    steady_m: float
    powers: tuple[float, float]
    least_m: float
    errors: float
    lasting: float
    shared: float

    def sigmas_m(self, altitude_m: float) -> Array:
        """East, north, up, (3,)."""
        nearer = max(self.steady_m / altitude_m, 1.0)
        level, up = (s * nearer**p for s, p in zip(self.sigma_m, self.powers, strict=True))
        return np.array([level, level, up])


ATLAS = FixModel((18.0, 10.0), 9_000.0, (0.9, 1.6), 4_500.0, 1.0, 0.43, 0.49)
"""hakuto-r-m1, seed 1001, from 3490 to 3680 s. Shares, here and below: straight lines through the
correlations over exp(-ground passed), weighted by pairs."""
TYCHO = FixModel((17.0, 9.5), 9_000.0, (1.1, 1.8), 4_500.0, 0.85, 0.62, 0.1)
"""tycho-highlands, seed 1001, from 180 to 330 s."""
MARE = FixModel((23.0, 15.0), 15_000.0, (0.85, 1.25), 5_000.0, 0.9, 0.15, 0.7)
"""Mare Frigoris: resilience, seeds 1001 and 1101, from 260 and 330 s on."""
FIX_MODELS = {"atlas": ATLAS, "tycho": TYCHO, "frigoris": MARE, "crisium": MARE}


@dataclass(frozen=True, eq=False)
class Truth:
    """A descent over the map, from where it first stands over it.

    time_s, range_m (no limits of reach, NaN without echo), spread_m, beam, altitude_m: (N,), at the
    altimeter's rate. position_m, velocity_m_per_s, quaternion_xyzw: at the IMU's rate from the
    first of those times; specific_force, angular_rate: between them.
    """

    time_s: Array
    range_m: Array
    spread_m: Array
    beam: Array
    altitude_m: Array
    position_m: Array
    velocity_m_per_s: Array
    quaternion_xyzw: Array
    specific_force: Array
    angular_rate: Array


@dataclass(frozen=True, eq=False)
class Scene:
    """A scenario over its real map, with its truth and what the on-board side is given."""

    scenario: Scenario
    truth: Truth
    ranges: MapRanges
    finder: RangeFinder
    altimeter: AltimeterModel


@dataclass(eq=False)
class Flown:
    """What a run gave, a row a reading.

    healthy: the reading is valid and untouched by a fault. altitude_m, sigma_m, level_m: ours.
    baseline_m: its altitude. error_m: of the navigated position, nees: its normalised square.
    onboard_s: time that the on-board side took.
    """

    time_s: Array
    true_altitude_m: Array
    valid: NDArray[np.bool_]
    healthy: NDArray[np.bool_]
    touched: NDArray[np.bool_]
    judged: list[Assessment] = field(default_factory=list)
    altitude_m: list[float] = field(default_factory=list)
    sigma_m: list[float] = field(default_factory=list)
    level_m: list[float] = field(default_factory=list)
    baseline_m: list[float] = field(default_factory=list)
    error_m: list[float] = field(default_factory=list)
    nees: list[float] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    locked_out_s: float | None = None
    onboard_s: float = 0.0


@dataclass(frozen=True)
class Options:
    """begin_s, end_s: part of the descent. position_sigma_m: of the state handed over, None: the
    scenario's. gate_m: of the baseline.
    """

    begin_s: float = 0.0
    end_s: float = math.inf
    position_sigma_m: float | None = None
    gate_m: float = BaselineSettings.gate_m


@lru_cache(maxsize=6)
def scene(name: str, cache: Path, aside_m: float = 0.0) -> Scene:
    """A scenario over its real map, flown some metres beside its track."""
    scenario = load_scenario(scenario_path(name))
    cache.mkdir(parents=True, exist_ok=True)
    region = scenario.terrain.region
    map_path = cache / f"{region}.map"
    if not map_path.exists():
        build_map([data_folder() / f"maps/{region}_256ppd.tif"], map_path)
    moon_map = LunarMap.open(map_path)
    finder = range_finder_of(scenario)
    beams = tuple(mounted(math.radians(tilt)) for tilt in scenario.altimeter.tilts_deg)
    sheet = {key: value for key, value in vars(finder).items() if key != "rings"}
    altimeter = AltimeterModel(rate_hz=scenario.altimeter.rate_hz, beams=beams, **sheet)
    path = cache / f"{name}_{aside_m:+.0f}.npz"
    if not path.exists():
        _save_truth(path, _beside(scenario, aside_m), moon_map, finder, beams)
    with np.load(path) as saved:
        truth = Truth(**{key: saved[key] for key in saved.files})
    return Scene(scenario, truth, MapRanges(moon_map, select_backend("cpu")), finder, altimeter)


def _beside(scenario: Scenario, aside_m: float) -> Scenario:
    """The scenario with its site, and so its track, moved to the right of its heading."""
    heading = math.radians(getattr(scenario.trajectory, "heading_deg", 0.0))
    latitude = math.radians(scenario.site.latitude_deg)
    step_deg = math.degrees(aside_m / REFERENCE_RADIUS_M)
    site = scenario.site.model_copy(
        update={
            "latitude_deg": scenario.site.latitude_deg - step_deg * math.sin(heading),
            "longitude_east_deg": scenario.site.longitude_east_deg
            + step_deg * math.cos(heading) / math.cos(latitude),
        }
    )
    return scenario.model_copy(update={"site": site})


def _save_truth(
    path: Path,
    scenario: Scenario,
    moon_map: LunarMap,
    finder: RangeFinder,
    beams: tuple[Rotation, ...],
) -> None:
    """Fly a scenario and cast its ranges, without the instrument's limits."""
    terrain = world_from_map(scenario, moon_map, 0).terrain
    flight = fly(scenario, terrain, Path())
    latitude, longitude, _ = geographic_from_position(flight.position_m)
    over = terrain.grid.covers(np.degrees(latitude), np.degrees(longitude))
    rate = scenario.altimeter.rate_hz
    first = math.ceil(flight.time_s[int(np.argmax(over))])
    times = np.arange(round(first * rate), math.floor(flight.time_s[-1] * rate)) / rate
    unlimited = replace(finder, minimum_range_m=0.0, maximum_range_m=1e6)
    rows = []
    for time_s in times:
        position, _, attitude = flight.at(float(time_s))
        up = attitude.apply(position)
        beam = int(np.argmin([each.apply(up)[2] for each in beams]))
        distance, spread = true_range(terrain, unlimited, position, beams[beam] * attitude)
        north, east, height = (float(x) for x in geographic_from_position(position))
        ground = ground_height_m(terrain, math.degrees(north), math.degrees(east))
        rows.append((distance, spread, beam, height - ground))
    cast = np.array(rows)
    k = round(first * scenario.imu.rate_hz)
    np.savez(
        path,
        time_s=times, range_m=cast[:, 0], spread_m=cast[:, 1], beam=cast[:, 2],
        altitude_m=cast[:, 3], position_m=flight.position_m[k:],
        velocity_m_per_s=flight.velocity_m_per_s[k:], quaternion_xyzw=flight.quaternion_xyzw[k:],
        specific_force=flight.specific_force_m_per_s2[k:],
        angular_rate=flight.angular_rate_rad_per_s[k:],
    )  # fmt: skip


def imu_model(grade: str, rate_hz: float) -> ImuModel:
    """The data sheet of a simulated inertial unit."""
    unit = imu.PRESETS[grade]
    gyroscope, accelerometer = unit.gyroscope, unit.accelerometer
    return ImuModel(
        rate_hz, gyroscope.noise, gyroscope.bias_walk, gyroscope.bias, accelerometer.noise,
        accelerometer.bias_walk, accelerometer.bias, gyroscope.scale, gyroscope.misalignment_rad,
        accelerometer.scale, accelerometer.misalignment_rad,
    )  # fmt: skip


def flown(
    at: Scene, seed: int, faults: Sequence[Fault] = (), options: Options | None = None
) -> Flown:
    """One descent with sensors of a seed, under faults, through the on-board side."""
    return _Run(at, seed, faults, options or Options()).flown()


def branches(
    at: Scene, seed: int, faults: Iterable[Sequence[Fault]], options: Options, at_s: float
) -> Iterator[Flown]:
    """Descents that are one, without faults, up to a time, and then go on each under its own.

    Each is what `flown` gives for its faults, none of which may act before at_s.
    """
    begun = _Run(at, seed, (), options)
    begun.fly_until(at_s)
    for each in faults:
        yield begun.branch(each).flown()


class _Run:
    def __init__(self, at: Scene, seed: int, faults: Sequence[Fault], options: Options) -> None:
        self.scene, self.seed, self.options = at, seed, options
        scenario, truth = at.scenario, at.truth
        chosen = (truth.time_s >= options.begin_s) & (truth.time_s <= options.end_s)
        self.rows = np.flatnonzero(chosen)
        self.rate_hz = scenario.imu.rate_hz
        self.per_row = round(self.rate_hz / scenario.altimeter.rate_hz)
        # The truth's first inertial sample stands at its first reading.
        self.first = int(self.rows[0]) * self.per_row
        self.rng = np.random.default_rng([seed, _FIXES])
        self.fixes = FIX_MODELS[scenario.terrain.region]
        self.lasting, self.shared = self.rng.normal(size=(2, 3))
        self.last_fix_s = -math.inf
        self.flow_rng = np.random.default_rng([seed, _FLOW])
        self.scale = float(self.flow_rng.normal())
        self.done = 0
        self._put_under(faults)
        record, touched = self.record, self.touched
        self.out = Flown(
            truth.time_s[self.rows], truth.altitude_m[self.rows],
            record.valid, record.valid & ~touched, touched,
        )  # fmt: skip
        self.board = self._board(self.out.time_s[0])

    def _put_under(self, faults: Sequence[Fault]) -> None:
        """What the sensors report under these faults and those the scenario always has."""
        at = self.scene
        self.faults = faults_of(at.scenario, faults)
        self.directions = {
            str(row["name"]): row["direction_east_north"]
            for row in fault_table(self.faults, self.seed)
            if "direction_east_north" in row
        }
        truth, time_s = at.truth, at.truth.time_s[self.rows]
        within = (truth.range_m >= at.finder.minimum_range_m) & (
            truth.range_m <= at.finder.maximum_range_m
        )
        true_m = np.where(within, truth.range_m, np.nan)[self.rows]
        spread_m = truth.spread_m[self.rows]
        clean = range_finder.measured(at.finder, time_s, true_m, spread_m, self.seed)
        record = altimeter_with_faults(clean, self.faults, self.seed)
        changed = record.valid & clean.valid & (record.range_m != clean.range_m)
        self.record, self.touched = record, changed | (record.valid != clean.valid)
        self.inertial = self._inertial(time_s[0])

    def branch(self, faults: Sequence[Fault]) -> _Run:
        """This descent as it goes on under faults that have not yet acted."""
        # What does not change, and is large, is shared.
        kept = [self.scene, self.scene.ranges, self.inertial, self.record, self.rows, self.touched]
        twins: dict[int, Any] = {id(each): each for each in kept}
        # Filters copy themselves faster.
        for each in (self.board.navigation, self.board.full, self.board.witness):
            twins[id(each)] = each.copy()
        twin = copy.deepcopy(self, twins)
        twin._put_under(faults)
        out, record, touched = twin.out, twin.record, twin.touched
        out.valid, out.healthy, out.touched = record.valid, record.valid & ~touched, touched
        return twin

    def flown(self) -> Flown:
        """The descent to its end."""
        self.fly_until(math.inf)
        out, baseline = self.out, self.board.baseline
        out.alarms = list(self.board.alarms)
        out.locked_out_s = None if baseline is None else baseline.locked_out_at_s
        return out

    def fly_until(self, end_s: float) -> None:
        """Go on to the last reading before a time."""
        out, board, record = self.out, self.board, self.record
        rates, forces, attitudes = self.inertial
        scenario = self.scene.scenario
        step_s = 1.0 / self.rate_hz
        every_fix = round(FIX_EVERY_S * scenario.altimeter.rate_hz)
        every_star = round(scenario.altimeter.rate_hz / scenario.star_tracker.rate_hz)
        for i in range(self.done, int(np.searchsorted(out.time_s, end_s))):
            begin_s = time.perf_counter()
            if i:
                span = slice((i - 1) * self.per_row, i * self.per_row)
                board.propagate(rates[span], forces[span], step_s)
                if i % every_star == 0:
                    board.attitude(attitudes[i // every_star])
            self._inject(board, out.time_s, i)
            if i and i % every_fix == 0:
                told = self._fix if out.true_altitude_m[i] > self.fixes.least_m else self._moved
                told(board, float(out.time_s[i]), self.first + i * self.per_row)
            beam = int(self.scene.truth.beam[self.rows[i]])
            judged = board.range(float(record.range_m[i]), bool(record.valid[i]), beam)
            altitude = board.altitude()
            out.onboard_s += time.perf_counter() - begin_s
            self._note(out, board, judged, altitude, self.first + i * self.per_row)
            self.done = i + 1
        self.scene.ranges.placement = None

    def _board(self, time_s: float) -> Onboard:
        at, truth, k = self.scene, self.scene.truth, self.first
        rng = np.random.default_rng([self.seed, _MEASURED])
        initial = at.scenario.initial_state
        sigma_m = self.options.position_sigma_m or initial.position_sigma_m
        speed_sigma = initial.velocity_sigma_m_per_s
        unit = star_tracker.TYPICAL
        sheet = StarTrackerModel(unit.across_rad, unit.roll_rad, unit.mounting_rad)
        inertial = imu_model(at.scenario.imu.grade, self.rate_hz)
        started = NavigationFilter.started(
            time_s, truth.position_m[k] + rng.normal(0.0, sigma_m, 3), sigma_m,
            truth.velocity_m_per_s[k] + rng.normal(0.0, speed_sigma, 3), speed_sigma,
            unit.measured(truth.quaternion_xyzw[k : k + 1], self.seed)[0], inertial, sheet,
            at.ranges.below(truth.position_m[k]).sigma_m,
        )  # fmt: skip
        baseline = BaselineSettings(gate_m=self.options.gate_m)
        return Onboard(at.ranges, at.altimeter, started, baseline)

    def _inertial(self, begin_s: float) -> tuple[Array, Array, Array]:
        """Reported rates, forces and attitudes from the first row on."""
        at, truth, k = self.scene, self.scene.truth, self.first
        end = k + (len(self.rows) - 1) * self.per_row
        step_s = 1.0 / self.rate_hz
        forces, rates = imu.PRESETS[at.scenario.imu.grade].measured(
            truth.specific_force[k:end], truth.angular_rate[k:end], step_s, self.seed
        )
        times = begin_s + step_s * np.arange(1, len(forces) + 1)
        forces = specific_force_with_faults(times, forces, self.faults, self.seed)
        every = round(self.rate_hz / at.scenario.star_tracker.rate_hz)
        seen = star_tracker.TYPICAL.measured(truth.quaternion_xyzw[k : end + 1 : every], self.seed)
        seen_s = begin_s + step_s * every * np.arange(len(seen))
        return rates, forces, attitudes_with_faults(seen_s, seen, self.faults, self.seed)

    def _inject(self, board: Onboard, time_s: Array, i: int) -> None:
        """The faults that a replay applies."""
        self.scene.ranges.placement = None
        place = board.navigation.state.position_m
        for fault in self.faults:
            if fault.name == "map-shift" and bool(fault.active(time_s[i])):
                self.scene.ranges.placement = shifted(self._offset_m(fault, place), place)
            begins = bool(fault.active(time_s[i])) and (i == 0 or not fault.active(time_s[i - 1]))
            if fault.name == "state-position-jump" and begins:
                board.displace(self._offset_m(fault, place))

    def _offset_m(self, fault: Fault, place_m: Array) -> Array:
        return offset_m(fault.size, self.directions[fault.name], place_m)

    def _fix(self, board: Onboard, time_s: float, k: int) -> None:
        """An image fix as the faults leave it."""
        truth = self.scene.truth
        place = truth.position_m[k]
        active = [fault for fault in self.faults if bool(fault.active(time_s))]
        axes = east_north_up(place)
        altitude_m = self._altitude_m(place)
        sigma = self.fixes.sigmas_m(altitude_m)
        self._fade(time_s, k, altitude_m)
        model = self.fixes
        error = math.sqrt(model.lasting) * self.lasting + math.sqrt(model.shared) * self.shared
        error += math.sqrt(1.0 - model.lasting - model.shared) * self.rng.normal(size=3)
        error = model.errors * axes.T @ (sigma * error)
        if any(fault.name in CAMERA_FAULTS for fault in active):
            board.no_fix("the image shows nothing that could be matched")
            return
        for fault in active:
            if fault.name == "map-shift":
                place = place + self._offset_m(fault, place)
            if fault.name == "clock-offset":
                place = place - fault.size * truth.velocity_m_per_s[k]
        board.fix(place + error, axes.T @ np.diag(sigma**2) @ axes)

    def _moved(self, board: Onboard, time_s: float, k: int) -> None:
        """What a frame too low for a fix shows of the movement since the one before."""
        active = [fault for fault in self.faults if bool(fault.active(time_s))]
        if any(fault.name in CAMERA_FAULTS for fault in active):
            return
        late_s = sum(fault.size for fault in active if fault.name == "clock-offset")
        end = k - round(late_s * self.rate_hz)
        before, after = self.scene.truth.position_m[[end - round(FIX_EVERY_S * self.rate_hz), end]]
        believed = board.navigation.state_at(time_s - FIX_EVERY_S).position_m
        height_m = self._altitude_m(before)
        # The ground is placed from where the lander believes to be: higher up it is farther off.
        higher_m = float((believed - before) @ before) / float(np.linalg.norm(before))
        rho = math.exp(-float(np.linalg.norm(after - before)) / height_m)
        self.scale = rho * self.scale + math.sqrt(1.0 - rho * rho) * self.flow_rng.normal()
        sigma_m = FLOW_SIGMA * height_m
        offset = (after - before) * (1.0 + higher_m / height_m + FLOW_SCALE * self.scale)
        offset = offset + sigma_m * self.flow_rng.normal(size=3)
        seen = Displacement(offset, sigma_m**2 * np.eye(3), believed, 150)
        board.displacement(seen, time_s - FIX_EVERY_S, time_s)

    def _altitude_m(self, place_m: Array) -> float:
        height_m = float(np.linalg.norm(place_m)) - REFERENCE_RADIUS_M
        return max(height_m - self.scene.ranges.below(place_m).height_m, 1.0)

    def _fade(self, time_s: float, k: int, altitude_m: float) -> None:
        """Errors of views that overlap: they fade over the time that passing the altitude takes."""
        speed = float(np.linalg.norm(self.scene.truth.velocity_m_per_s[k]))
        rho = math.exp(-(time_s - self.last_fix_s) * speed / altitude_m)
        self.shared = rho * self.shared + math.sqrt(1.0 - rho * rho) * self.rng.normal(size=3)
        self.last_fix_s = time_s

    def _note(
        self, out: Flown, board: Onboard, judged: Assessment, altitude: Altitude | None, k: int
    ) -> None:
        out.judged.append(judged)
        out.altitude_m.append(math.nan if altitude is None else altitude.altitude_m)
        out.sigma_m.append(math.nan if altitude is None else altitude.sigma_m)
        out.level_m.append(math.nan if altitude is None else altitude.protection_level_m)
        out.baseline_m.append(math.nan if board.baseline is None else board.baseline.altitude_m)
        state = board.navigation.state
        error = self.scene.truth.position_m[k] - state.position_m
        out.error_m.append(float(np.linalg.norm(error)))
        out.nees.append(float(error @ np.linalg.solve(state.covariance[:3, :3], error)))
