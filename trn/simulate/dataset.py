"""A synthetic descent as a dataset in the EuRoC form, written as it is made.

Whatever is written is whole: a run that was killed goes on where it stopped when it is started
again with the same arguments, and ends in the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tomli_w
import yaml
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn import __version__
from trn.backend.select import cuda_device
from trn.camera import Camera
from trn.errors import InputError, WorkError, quoted
from trn.files import remove_leftovers, write_whole
from trn.maps.lunar_map import LunarMap
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import geographic_from_position
from trn.moon.pose import Pose
from trn.moon.sun import sun_direction_moon_me
from trn.simulate import imu, range_finder, star_tracker
from trn.simulate.camera_model import SensorSettings
from trn.simulate.faults import (
    Fault,
    altimeter_with_faults,
    attitudes_with_faults,
    camera_time_with_faults,
    fault_table,
    fault_text,
    image_with_faults,
    parse_fault,
    specific_force_with_faults,
)
from trn.simulate.flight import fly, ground_height_m
from trn.simulate.motion import Motion
from trn.simulate.range_finder import RangeFinder, true_range
from trn.simulate.render import RenderSettings, Tracer, render
from trn.simulate.render_cuda import CudaTracer
from trn.simulate.scenario import Scenario, end_time, parse_scenario
from trn.simulate.vehicle import Flight, mounted
from trn.simulate.world import World, estimator_map, world_from_map, world_from_region

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], object]

FORMAT = 1
DATASET_FILE = "dataset.toml"
ESTIMATOR_MAP = "site.map"
LEAST_VIEW_ON_MAP = 0.5
"""A frame is taken where at least this share of its view falls on the map."""

_IMAGE_NOISE, _START = 4, 5
_BLOCK = 50
# More than the nearest pixel of a map is off from the true ground.
_MAP_MISSES_M = 1000.0
_GO_ON = "run the same command again: it goes on where it stopped"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    text, source: of the scenario, and where it was read. map_path: None makes the region by code.
    faults: with or without onset. begin_s, end_s: part of the descent that is written, seconds
    since its start. backend: cpu or cuda, which renders the frames; shadows by the latter are a ray
    a pixel (`RenderSettings.exact_shadows`).
    """

    text: str
    source: Path
    map_path: Path | None
    seed: int
    faults: tuple[Fault, ...] = ()
    begin_s: float = 0.0
    end_s: float = math.inf
    backend: str = "cpu"

    def __post_init__(self) -> None:
        """Raises InputError naming the argument that cannot be."""
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed: must be 0 to {2**31 - 1}, not {self.seed}")
        if not 0.0 <= self.begin_s < self.end_s:
            raise InputError("from: must be zero or more, and less than to")
        if self.backend not in ("cpu", "cuda"):
            raise InputError(f"backend: {quoted(self.backend)} renders no frames; use cpu or cuda")


def simulate(request: Request, out: Path, progress: Progress | None = None) -> Path:
    """Write the dataset of a scenario; returns its folder.

    progress is called with the name of the part in the making, how much of it is done, and all of
    it. Raises InputError for a scenario that cannot be flown, a map without its site, and a folder
    that holds something else; WorkError where the disk is full or the GPU asked for is not usable.
    """
    scenario = parse_scenario(request.text, str(request.source))
    say = progress or (lambda part, done, total: None)
    moon_map = None if request.map_path is None else LunarMap.open(request.map_path)
    fingerprint = _fingerprint(request, moon_map)
    if _is_complete(out, fingerprint):
        return out
    tracer = CudaTracer(cuda_device()) if request.backend == "cuda" else None
    with tempfile.TemporaryDirectory() as scratch:
        site_path = Path(scratch) / "site.tif"
        if moon_map is None:
            world = world_from_region(scenario, site_path, request.seed)
        else:
            world = world_from_map(scenario, moon_map, request.seed)
        flight = fly(scenario, world.terrain, request.source.parent)
        writer = _Writer(request, scenario, world, flight, out, fingerprint, tracer)
        try:
            writer.start()
            if moon_map is None and not (out / ESTIMATOR_MAP).exists():
                estimator_map(site_path, out / ESTIMATOR_MAP, request.seed)
            writer.write(say)
        except OSError as error:
            raise WorkError(
                f"{out}: cannot be written ({error.strerror or error}); free some space and "
                f"{_GO_ON}"
            ) from error
        except WorkError as error:
            raise WorkError(f"{error}, then {_GO_ON}") from error
    return out


def _fingerprint(request: Request, moon_map: LunarMap | None) -> str:
    """SHA-256 of all that decides a dataset's bytes."""
    files = None
    if moon_map is not None:
        files = {name: entry.sha256 for name, entry in moon_map.manifest.files.items()}
    parts: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "scenario": request.text,
        "map": files,
        "seed": request.seed,
        "faults": sorted(fault_text(fault) for fault in request.faults),
        "window": [repr(request.begin_s), repr(request.end_s)],
    }
    if request.backend != "cpu":
        parts["renderer"] = request.backend
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _is_complete(out: Path, fingerprint: str) -> bool:
    """Whether a folder holds this dataset, whole; raises InputError where it holds another."""
    path = out / DATASET_FILE
    if not path.exists():
        if out.exists() and not (out.is_dir() and all(map(_is_leftover, out.iterdir()))):
            raise InputError(f"{out}: exists and is no dataset; choose another --out")
        return False
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); choose another --out") from error
    if found.get("fingerprint") != fingerprint:
        raise InputError(
            f"{out}: holds a dataset made with other arguments; choose another --out or remove it"
        )
    return bool(found.get("complete"))


def _is_leftover(path: Path) -> bool:
    """Whether a file is what a run leaves that was killed at its very first write."""
    return path.is_file() and path.name.startswith(f".{DATASET_FILE}.")


class _Writer:
    """One dataset in the making."""

    def __init__(
        self,
        request: Request,
        scenario: Scenario,
        world: World,
        flight: Flight,
        out: Path,
        fingerprint: str,
        tracer: Tracer | None,
    ) -> None:
        self.request, self.scenario, self.world = request, scenario, world
        self.tracer = tracer
        self.flight, self.out, self.fingerprint = flight, out, fingerprint
        self.seed = request.seed
        always = [parse_fault(text) for text in scenario.faults.always]
        default_onset = scenario.faults.default_onset_s
        self.faults = [fault.at(default_onset) for fault in (*always, *request.faults)]
        self.duration_s = float(flight.time_s[-1])
        self.begin_s = request.begin_s
        self.end_s = min(request.end_s, self.duration_s)
        if self.begin_s >= self.end_s:
            raise InputError(f"from: the descent lasts {self.duration_s:.1f} s; begin earlier")
        start = end_time(scenario) - timedelta(seconds=self.duration_s)
        # Whole microseconds, so that the text of the time and the stamps say the same.
        self.start_utc = start.astimezone(timezone.utc)
        self.start_ns = round(self.start_utc.timestamp() * 1e6) * 1000
        self.camera = _camera(scenario)
        self.to_camera = mounted(math.radians(scenario.camera.tilt_deg))
        self.finder = range_finder_of(scenario)
        self.to_beams = [mounted(math.radians(tilt)) for tilt in scenario.altimeter.tilts_deg]
        self.frame_times_s = self._frame_times()
        if self.frame_times_s.size == 0:
            raise InputError(
                f"{request.source}: no frame of {scenario.name} sees the map between "
                f"{self.begin_s:g} and {self.end_s:g} s; give a map of its site, or another window"
            )

    def start(self) -> None:
        """Make the folders and say what will be in them."""
        self.out.mkdir(parents=True, exist_ok=True)
        # Before all else: it is by this file that a killed run is known again.
        write_whole(self.out / DATASET_FILE, self._description(None))
        remove_leftovers(self.out)
        for name in ("cam0/data", "imu0", "state_groundtruth_estimate0", "altimeter0",
                     "startracker0"):  # fmt: skip
            (self.out / name).mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.out / name)

    def write(self, say: Progress) -> None:
        """Write what is not there yet."""
        write_whole(self.out / "scenario.toml", self.request.text)
        self._write_sensor_files()
        self._write_truth()
        self._write_true_altitude(say)
        self._write_imu()
        self._write_star_tracker()
        self._write_altimeter(say)
        frames = self._write_frames(say)
        write_whole(self.out / DATASET_FILE, self._description(frames))

    def _times(self, rate_hz: float) -> Array:
        """Times of a sensor inside the window, on whole multiples of its period."""
        first = math.ceil(self.begin_s * rate_hz - 1e-9)
        last = math.floor(self.end_s * rate_hz + 1e-9)
        return np.arange(first, last + 1) / rate_hz

    def _stamps(self, time_s: Array) -> NDArray[np.int64]:
        return np.asarray(self.start_ns + np.round(time_s * 1e9).astype(np.int64))

    def _write_truth(self) -> None:
        flight, times = self.flight, self._times(self.scenario.truth_rate_hz)
        index = np.round(times * self.scenario.imu.rate_hz).astype(np.int64)
        index = index[index < flight.time_s.size]
        # EuRoC's: rotation from the sensor's axes to the world's, scalar first.
        to_world = Rotation.from_quat(flight.quaternion_xyzw[index]).inv().as_quat(canonical=True)
        rows = [
            f"{stamp},{p[0]:.6f},{p[1]:.6f},{p[2]:.6f},"
            f"{q[3]:.15f},{q[0]:.15f},{q[1]:.15f},{q[2]:.15f},{v[0]:.9f},{v[1]:.9f},{v[2]:.9f}"
            for stamp, p, q, v in zip(
                self._stamps(flight.time_s[index]), flight.position_m[index], to_world,
                flight.velocity_m_per_s[index], strict=True,
            )
        ]  # fmt: skip
        header = (
            "#timestamp [ns],p_RS_R_x [m],p_RS_R_y [m],p_RS_R_z [m],"
            "q_RS_w [],q_RS_x [],q_RS_y [],q_RS_z [],"
            "v_RS_R_x [m s^-1],v_RS_R_y [m s^-1],v_RS_R_z [m s^-1]"
        )
        self._csv("state_groundtruth_estimate0/data.csv", header, rows)

    def _write_true_altitude(self, say: Progress) -> None:
        """Altitude over the true ground, where the map is below; what errors are judged by."""
        name = "state_groundtruth_estimate0/altitude.csv"
        if (self.out / name).exists():
            return
        times = self._times(self.scenario.truth_rate_hz)
        rows = []
        for k, time_s in enumerate(times):
            position, _, _ = self.flight.at(float(time_s))
            latitude, longitude, height = geographic_from_position(position)
            place = float(np.degrees(latitude)), float(np.degrees(longitude))
            if not self.world.terrain.grid.covers(*(np.array(x) for x in place)):
                continue
            ground = ground_height_m(self.world.terrain, *place)
            rows.append(f"{self._stamps(np.array(time_s))},{float(height) - ground:.4f}")
            if k % _BLOCK == 0:
                say("altitude", k, times.size)
        self._csv(name, "#timestamp [ns],altitude [m]", rows)

    def _write_imu(self) -> None:
        flight, step = self.flight, 1.0 / self.scenario.imu.rate_hz
        # A sample is the average over the step that ends at its stamp.
        times = flight.time_s[1:]
        force, rate = imu.PRESETS[self.scenario.imu.grade].measured(
            flight.specific_force_m_per_s2, flight.angular_rate_rad_per_s, step, self.seed
        )
        force = specific_force_with_faults(times, force, self.faults, self.seed)
        inside = (times > self.begin_s) & (times <= self.end_s + 1e-9)
        rows = [
            f"{stamp},{w[0]:.12g},{w[1]:.12g},{w[2]:.12g},{a[0]:.12g},{a[1]:.12g},{a[2]:.12g}"
            for stamp, w, a in zip(
                self._stamps(times[inside]), rate[inside], force[inside], strict=True
            )
        ]
        header = (
            "#timestamp [ns],w_RS_S_x [rad s^-1],w_RS_S_y [rad s^-1],w_RS_S_z [rad s^-1],"
            "a_RS_S_x [m s^-2],a_RS_S_y [m s^-2],a_RS_S_z [m s^-2]"
        )
        self._csv("imu0/data.csv", header, rows)

    def _write_star_tracker(self) -> None:
        unit = star_tracker.TYPICAL
        times = self._times(self.scenario.star_tracker.rate_hz)
        index = np.round(times * self.scenario.imu.rate_hz).astype(np.int64)
        index = index[index < self.flight.time_s.size]
        seen = unit.measured(self.flight.quaternion_xyzw[index], self.seed)
        seen = attitudes_with_faults(self.flight.time_s[index], seen, self.faults, self.seed)
        rows = [
            f"{stamp},{q[0]:.12f},{q[1]:.12f},{q[2]:.12f},{q[3]:.12f},{unit.sigma_rad:.9f}"
            for stamp, q in zip(self._stamps(self.flight.time_s[index]), seen, strict=True)
        ]
        header = (
            "#timestamp [ns],q_body_to_vehicle_x [],q_body_to_vehicle_y [],"
            "q_body_to_vehicle_z [],q_body_to_vehicle_w [],sigma [rad]"
        )
        self._csv("startracker0/data.csv", header, rows)

    def _write_altimeter(self, say: Progress) -> None:
        path = self.out / "altimeter0" / "data.csv"
        if path.exists():
            return
        times = self._times(self.scenario.altimeter.rate_hz)
        # Noise-free readings are kept as they come, so that a killed run need not cast them again.
        partial = self.out / "altimeter0" / ".noise_free.csv"
        known = _whole_rows(partial)[: times.size]
        write_whole(partial, "".join(f"{r!r},{s!r}\n" for r, s in known))
        with partial.open("a", encoding="utf-8") as stream:
            for k in range(len(known), times.size):
                known.append(self._true_range(float(times[k])))
                stream.write(f"{known[-1][0]!r},{known[-1][1]!r}\n")
                if k % _BLOCK == 0:
                    stream.flush()
                    say("altimeter", k, times.size)
        say("altimeter", times.size, times.size)
        ranges = np.array(known).reshape(-1, 2)
        record = range_finder.measured(self.finder, times, ranges[:, 0], ranges[:, 1], self.seed)
        record = altimeter_with_faults(record, self.faults, self.seed)
        rows = [
            f"{stamp},{r if ok else 0.0:.3f},{int(ok)},{self._beam(float(t))}"
            for stamp, t, r, ok in zip(
                self._stamps(times), times, record.range_m, record.valid, strict=True
            )
        ]
        self._csv("altimeter0/data.csv", "#timestamp [ns],range_m [m],valid [],beam []", rows)
        partial.unlink()

    def _beam(self, time_s: float) -> int:
        """Index of the beam that is read: the one nearest to nadir."""
        position, _, attitude = self.flight.at(time_s)
        up = attitude.apply(position)
        return int(np.argmin([beam.apply(up)[2] for beam in self.to_beams]))

    def _true_range(self, time_s: float) -> tuple[float, float]:
        """Noise-free range and spread of the reading that is stamped with a time."""
        taken_s = time_s - self.finder.latency_s
        if taken_s < 0.0:
            return math.nan, math.nan
        position, _, attitude = self.flight.at(taken_s)
        to_beam = self.to_beams[self._beam(time_s)] * attitude
        return true_range(self.world.terrain, self.finder, position, to_beam)

    def _frame_times(self) -> Array:
        """Times of frames whose view lies on the map, down to the lowest altitude."""
        lowest_m = self.scenario.camera.last_altitude_m
        times = self._times(self.scenario.camera.rate_hz)
        grid = self.world.terrain.grid
        across = np.linspace(0.0, 1.0, 9)
        pixels = np.stack(
            np.meshgrid(across * (self.camera.width - 1), across * (self.camera.height - 1)), -1
        )
        rays = self.camera.pixels_to_rays(pixels).reshape(-1, 3)
        taken = []
        for time_s in times:
            position, _, attitude = self.flight.at(float(time_s))
            latitude, longitude, height = geographic_from_position(position)
            row, column = grid.indices(np.degrees(latitude), np.degrees(longitude))
            r = int(np.clip(np.round(row), 0, grid.height_m.shape[0] - 1))
            c = int(np.clip(np.round(column), 0, grid.height_m.shape[1] - 1))
            ground = float(grid.height_m[r, c])
            if height - ground < lowest_m + _MAP_MISSES_M:
                # So near the map's own height does not tell: the true ground does.
                place = float(np.degrees(latitude)), float(np.degrees(longitude))
                ground = ground_height_m(self.world.terrain, *place)
            if height - ground < lowest_m:
                continue
            directions = (self.to_camera * attitude).inv().apply(rays)
            along = directions @ position
            inside = (REFERENCE_RADIUS_M + ground) ** 2 - (position @ position - along**2)
            meets = (inside > 0.0) & (along < 0.0)
            if meets.sum() < LEAST_VIEW_ON_MAP * meets.size:
                continue
            distance = -along[meets] - np.sqrt(inside[meets])
            points = position + distance[:, None] * directions[meets]
            seen_latitude, seen_longitude, _ = geographic_from_position(points)
            covered = grid.covers(np.degrees(seen_latitude), np.degrees(seen_longitude))
            if covered.sum() >= LEAST_VIEW_ON_MAP * meets.size:
                taken.append(float(time_s))
        return np.array(taken)

    def _write_frames(self, say: Progress) -> dict[str, Any]:
        """Render what frames are missing; returns what dataset.toml says of all of them."""
        times = self.frame_times_s
        stamps = self._stamps(camera_time_with_faults(times, self.faults))
        names = _distinct_names(stamps)
        settings = self._render_settings()
        folder = self.out / "cam0"
        with (folder / "data.csv").open("w", encoding="utf-8", newline="\n") as listing:
            listing.write("#timestamp [ns],filename\n")
            for k, time_s in enumerate(times):
                path = folder / "data" / names[k]
                if not path.exists():
                    image = self._frame(float(time_s), k, settings)
                    done, png = cv2.imencode(".png", image)
                    if not done:
                        raise WorkError(f"{path}: OpenCV could not encode the frame")
                    write_whole(path, png.tobytes())
                listing.write(f"{stamps[k]},{names[k]}\n")
                listing.flush()
                say("frames", k + 1, times.size)
        return {
            "count": int(times.size),
            "first_ns": int(stamps[0]),
            "last_ns": int(stamps[-1]),
            "rate_hz": self.scenario.camera.rate_hz,
            "bits": self.scenario.camera.bits,
        }

    def _frame(self, time_s: float, index: int, settings: RenderSettings) -> NDArray[Any]:
        """The image that the camera reports of a time."""
        position, velocity, attitude = self.flight.at(time_s)
        pose = Pose(position, (self.to_camera * attitude).as_quat())
        rate = self.to_camera.apply(self.flight.angular_rate_at(time_s))
        noise = np.random.SeedSequence([self.seed, _IMAGE_NOISE, index]).generate_state(1)[0]
        frame = render(
            self.world.terrain,
            self.camera,
            pose,
            sun_direction_moon_me(self.start_utc + timedelta(seconds=time_s)),
            seed=int(noise),
            settings=settings,
            motion=Motion(velocity, rate),
            tracer=self.tracer,
        )
        full_scale = settings.sensor.full_scale
        return image_with_faults(frame.image, time_s, full_scale, self.faults, self.seed)

    def _render_settings(self) -> RenderSettings:
        camera = self.scenario.camera
        sensor = SensorSettings(
            blur_sigma_px=camera.blur_sigma_px,
            exposure_s=camera.exposure_s,
            most_exposure_s=camera.most_exposure_s,
            bits=camera.bits,
            pattern_seed=self.seed,
        )
        return RenderSettings(sensor=sensor, plume_dust=camera.plume_dust)

    def _write_sensor_files(self) -> None:
        """sensor.yaml of each sensor, and the camera's also as ROS camera_info.

        Errors are 1 sigma, as on a data sheet: an estimator may know them, the draws it may not.
        """
        scenario, unit = self.scenario, imu.PRESETS[self.scenario.imu.grade]
        camera = self.camera
        documents: dict[str, dict[str, Any]] = {
            "cam0": {
                "sensor_type": "camera",
                "T_BS": _pose_in_vehicle(self.to_camera),
                "rate_hz": scenario.camera.rate_hz,
                "resolution": [camera.width, camera.height],
                "camera_model": "pinhole",
                "intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy],
                "distortion_model": "radial-tangential",
                "distortion_coefficients": list(camera.distortion[:4]),
                "bits": scenario.camera.bits,
            },
            "imu0": {
                "sensor_type": "imu",
                "T_BS": _pose_in_vehicle(Rotation.identity()),
                "rate_hz": scenario.imu.rate_hz,
                "gyroscope_noise_density": float(unit.gyroscope.noise),
                "gyroscope_random_walk": float(unit.gyroscope.bias_walk),
                "gyroscope_bias_sigma": float(unit.gyroscope.bias),
                "gyroscope_scale": float(unit.gyroscope.scale),
                "gyroscope_misalignment_rad": float(unit.gyroscope.misalignment_rad),
                "accelerometer_noise_density": float(unit.accelerometer.noise),
                "accelerometer_random_walk": float(unit.accelerometer.bias_walk),
                "accelerometer_bias_sigma": float(unit.accelerometer.bias),
                "accelerometer_scale": float(unit.accelerometer.scale),
                "accelerometer_misalignment_rad": float(unit.accelerometer.misalignment_rad),
            },
            "altimeter0": {
                "sensor_type": "altimeter",
                "T_BS": _pose_in_vehicle(self.to_beams[0]),
                "beams": [_pose_in_vehicle(beam) for beam in self.to_beams],
                "rate_hz": scenario.altimeter.rate_hz,
                **{name: value for name, value in vars(self.finder).items() if name != "rings"},
            },
            "startracker0": {
                "sensor_type": "star-tracker",
                "T_BS": _pose_in_vehicle(Rotation.identity()),
                "rate_hz": scenario.star_tracker.rate_hz,
                "sigma_rad": star_tracker.TYPICAL.sigma_rad,
                "across_rad": float(star_tracker.TYPICAL.across_rad),
                "roll_rad": float(star_tracker.TYPICAL.roll_rad),
                "mounting_rad": float(star_tracker.TYPICAL.mounting_rad),
            },
        }
        for name, document in documents.items():
            text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None)
            write_whole(self.out / name / "sensor.yaml", text)
        camera.save(self.out / "cam0" / "camera.yaml")

    def _description(self, frames: dict[str, Any] | None) -> str:
        """The text of dataset.toml; frames is None while they are in the making."""
        world, scenario = self.world, self.scenario
        document: dict[str, Any] = {
            "format": FORMAT,
            "complete": frames is not None,
            "scenario": scenario.name,
            "title": scenario.title,
            "seed": self.seed,
            "fingerprint": self.fingerprint,
            "trn_version": __version__,
            "start_utc": self.start_utc.strftime("%Y-%m-%dT%H:%M:%S.%f"),
            "start_ns": self.start_ns,
            "begin_s": self.begin_s,
            "end_s": self.end_s,
            "map": {
                "name": world.map_name,
                "sha256": world.map_sha256,
                "embedded": self.request.map_path is None,
                "estimator_map": "" if self.request.map_path is not None else ESTIMATOR_MAP,
            },
            "frames": frames or {},
            "initial_state": self._initial_state(),
            "faults": fault_table(self.faults, self.seed),
        }
        if self.request.backend != "cpu":
            document["renderer"] = self.request.backend
        return tomli_w.dumps(document)

    def _initial_state(self) -> dict[str, Any]:
        """The navigation state handed over at the first moment: the truth with an error drawn."""
        sigmas = self.scenario.initial_state
        position, velocity, _ = self.flight.at(self.begin_s)
        rng = np.random.default_rng([self.seed, _START])
        place = position + rng.normal(0.0, sigmas.position_sigma_m, 3)
        speed = velocity + rng.normal(0.0, sigmas.velocity_sigma_m_per_s, 3)
        return {
            "time_ns": int(self._stamps(np.array(self.begin_s))),
            "position_moon_me_m": [float(x) for x in place],
            "position_sigma_m": sigmas.position_sigma_m,
            "velocity_moon_me_m_per_s": [float(x) for x in speed],
            "velocity_sigma_m_per_s": sigmas.velocity_sigma_m_per_s,
        }

    def _csv(self, name: str, header: str, rows: Sequence[str]) -> None:
        write_whole(self.out / name, "\n".join([header, *rows]) + "\n")


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


def range_finder_of(scenario: Scenario) -> RangeFinder:
    """The range finder of a scenario: its preset, and what the scenario changes of it."""
    settings = scenario.altimeter
    given = settings.model_dump(exclude={"preset", "rate_hz", "tilts_deg"}, exclude_none=True)
    return RangeFinder(**{**vars(range_finder.PRESETS[settings.preset]), **given})


def _pose_in_vehicle(to_sensor: Rotation) -> dict[str, Any]:
    """EuRoC's T_BS: takes points from a sensor's axes into the vehicle's (row by row)."""
    matrix = np.eye(4)
    matrix[:3, :3] = to_sensor.inv().as_matrix()
    return {"cols": 4, "rows": 4, "data": [float(x) for x in matrix.ravel()]}


def _distinct_names(stamps: NDArray[np.int64]) -> list[str]:
    """A file name for each stamp; a clock that was set back may give a stamp twice."""
    names: list[str] = []
    seen: dict[int, int] = {}
    for stamp in stamps.tolist():
        again = seen.get(stamp, 0)
        seen[stamp] = again + 1
        names.append(f"{stamp}.png" if again == 0 else f"{stamp}_{again}.png")
    return names


def _whole_rows(path: Path) -> list[tuple[float, float]]:
    """Rows of two numbers that were written whole before a process was killed."""
    rows: list[tuple[float, float]] = []
    if not path.exists():
        return rows
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    # What follows the last line feed was cut off.
    for line in lines[:-1]:
        try:
            first, second = (float(field) for field in line.split(","))
        except ValueError:
            break
        rows.append((first, second))
    return rows
