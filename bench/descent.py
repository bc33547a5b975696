"""How exact the truth of a synthetic descent is, and how fast and large its making.

    python -m bench.descent
    python -m bench.descent hakuto-r-m1 --plot hakuto_range.png
    python -m bench.descent --embedded --json descents.json

Each scenario is written as a dataset, whole, without noise: a perfect IMU, a range finder without
errors, a frame every 20 s. What is checked is then read from its files, as a user would:

- rays of frames, whose ends are projected with the pose in the files, and which are marched again
  over the ground in small steps, with NumPy alone;
- readings of the range finder, marched in the same way;
- IMU samples, integrated here in inertial axes, against the true positions;
- energy: what the orbit lost against the work of the thrust.

Then the rendering is timed, and the steepest change of range within 20 s is looked for. --embedded
takes regions made by code instead of the real maps. --json FILE keeps the numbers, --plot FILE gets
the range profile of hakuto-r-m1.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import yaml
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bench.tables import data_folder, save, show
from trn.camera import Camera
from trn.maps.build import build_map
from trn.maps.lunar_map import LunarMap
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import position_from_geographic
from trn.moon.gravity import ROTATION_RATE_RAD_PER_S, gravity, potential
from trn.moon.pose import Pose
from trn.moon.quaternions import quaternion_product
from trn.moon.sun import sun_direction_moon_me
from trn.simulate.dataset import Request, simulate
from trn.simulate.flight import fly
from trn.simulate.motion import Motion
from trn.simulate.named_craters import load_region
from trn.simulate.range_finder import PRESETS, RangeFinder, footprint_surface
from trn.simulate.render import camera_rays, render
from trn.simulate.scenario import parse_scenario, scenario_names, scenario_path
from trn.simulate.surface import Surface
from trn.simulate.terrain import TruthTerrain
from trn.simulate.vehicle import Flight
from trn.simulate.world import world_from_map, world_from_region

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Array = NDArray[np.float64]

GOAL_PIXEL_PX = 0.02
GOAL_RANGE_M = 0.1
GOAL_POSITION_M = 0.1
GOAL_FRAMES_PER_S = 1.0
GOAL_PEAK_MIB = 2048.0
GOAL_STEP_M = 2500.0

WINDOW_S = 20.0
"""The step of the range profile is looked for within this time."""
FRAME_EVERY_S = 20.0
TRUTH_RATE_HZ = 2.0
RANGE_RATE_HZ = 1.0
STEP_SCENARIO = "hakuto-r-m1"

_MARCH_STEPS = 4000
_MARCH_RAYS = 40


@dataclass(frozen=True)
class Files:
    """What a dataset's files say, times in seconds since the start.

    position_m, velocity_m_per_s, to_vehicle: the truth at truth_s. altitude: rows of time and
    altitude. imu: rows of time, rate and specific force. altimeter: rows of time, range, valid and
    beam. frames_s: of the images.
    """

    facts: dict[str, Any]
    truth_s: Array
    position_m: Array
    velocity_m_per_s: Array
    to_vehicle: Rotation
    altitude: Array
    imu: Array
    altimeter: Array
    frames_s: Array
    sensors: dict[str, dict[str, Any]]

    def row(self, time_s: float) -> int:
        """Row of the truth at a time that it holds."""
        k = int(np.argmin(np.abs(self.truth_s - time_s)))
        if abs(float(self.truth_s[k]) - time_s) > 1e-6:
            raise SystemExit(f"state_groundtruth: no row at {time_s} s")
        return k


def without_noise(text: str) -> str:
    """A scenario's text with perfect sensors, no faults and few frames."""
    document = tomllib.loads(text)
    document["truth_rate_hz"] = TRUTH_RATE_HZ
    document["camera"]["rate_hz"] = 1.0 / FRAME_EVERY_S
    document["imu"]["grade"] = "perfect"
    document["faults"]["always"] = []
    document["altimeter"] |= {
        "rate_hz": RANGE_RATE_HZ,
        "noise_m": 0.0,
        "noise_of_range": 0.0,
        "noise_of_spread": 0.0,
        "resolution_m": 0.0,
        "dropouts": 0.0,
    }
    return tomli_w.dumps(document)


def read_files(dataset: Path) -> Files:
    """Everything in a dataset but its images."""
    facts = tomllib.loads((dataset / "dataset.toml").read_text(encoding="utf-8"))

    def table(name: str) -> Array:
        rows = []
        for line in (dataset / name).read_text(encoding="utf-8").splitlines()[1:]:
            stamp, *values = line.split(",")
            numbers = [float(value) for value in values] if "cam0" not in name else []
            rows.append([(int(stamp) - facts["start_ns"]) * 1e-9, *numbers])
        return np.array(rows)

    truth = table("state_groundtruth_estimate0/data.csv")
    return Files(
        facts,
        truth[:, 0],
        truth[:, 1:4],
        truth[:, 8:11],
        # EuRoC's quaternion is sensor to world, scalar first.
        Rotation.from_quat(truth[:, [5, 6, 7, 4]]).inv(),
        table("state_groundtruth_estimate0/altitude.csv"),
        table("imu0/data.csv"),
        table("altimeter0/data.csv"),
        table("cam0/data.csv")[:, 0],
        {
            name: yaml.safe_load((dataset / name / "sensor.yaml").read_text(encoding="utf-8"))
            for name in ("cam0", "altimeter0")
        },
    )


def mounting(document: dict[str, Any]) -> Rotation:
    """Rotation from the vehicle's axes to a sensor's, of EuRoC's T_BS."""
    return Rotation.from_matrix(np.array(document["data"]).reshape(4, 4)[:3, :3]).inv()


def marched_m(surface: Surface, origin: Array, rays: Array) -> Array:
    """Distances along rays (N, 3) to the ground, by small steps and bisection; NaN where it ends.

    Steps go from where a ray dives below the highest ground to where it would dive below the
    lowest: rays that pass above that are NaN. NumPy alone, on heights alone.
    """
    low = min(patch.height_range_m[0] for patch in surface.patches) - 1.0
    high = max(patch.height_range_m[1] for patch in surface.patches) + 1.0
    out = np.full(len(rays), np.nan)
    along = rays @ origin
    closest = origin @ origin - along**2

    def over(distance: Array, chosen: Array) -> Array:
        points = origin + distance[..., None] * chosen
        height = np.linalg.norm(points, axis=-1) - REFERENCE_RADIUS_M
        return np.asarray(np.nan_to_num(height - surface.height_at(points), nan=np.inf))

    dives = np.flatnonzero((along < 0.0) & (closest < (REFERENCE_RADIUS_M + low) ** 2))
    for first in range(0, dives.size, _MARCH_RAYS):
        index = dives[first : first + _MARCH_RAYS]
        chosen = rays[index]
        near, far = (
            -along[index] - np.sqrt((REFERENCE_RADIUS_M + height) ** 2 - closest[index])
            for height in (high, low)
        )
        near = np.maximum(near, 0.0)
        t = near[:, None] + (far - near)[:, None] * np.linspace(0.0, 1.0, _MARCH_STEPS)
        under = over(t, chosen[:, None, :]) <= 0.0
        met = under.any(axis=1) & ~under[:, 0]
        k = np.argmax(under, axis=1)[met]
        lower, upper = t[met, k - 1], t[met, k]
        for _ in range(40):
            middle = 0.5 * (lower + upper)
            above = over(middle, chosen[met]) > 0.0
            lower, upper = np.where(above, middle, lower), np.where(above, upper, middle)
        out[index[met]] = upper
    return out


def frames_checked(
    files: Files,
    camera: Camera,
    terrain: TruthTerrain,
    flight: Flight,
    frames: int,
    pixels: int,
) -> dict[str, float]:
    """Frames spread over the descent, rendered once more: time, and where their rays end.

    The pixel error is that of ray ends, rendered with the pose in flight, under the pose of the
    files; the depth error that of `frames` x `pixels` rays against the march.
    """
    to_camera = mounting(files.sensors["cam0"]["T_BS"])
    start = datetime.fromisoformat(files.facts["start_utc"]).replace(tzinfo=timezone.utc)
    chosen = np.unique(np.linspace(0, files.frames_s.size - 1, frames).round().astype(int))
    rng = np.random.default_rng(0)
    rays = camera_rays(camera)
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    seconds, pixel_errors, depth_errors, checked = [], [], [], 0
    for count, k in enumerate([chosen[-1], *chosen]):
        time_s = float(files.frames_s[k])
        position, velocity, attitude = flight.at(time_s)
        pose = Pose(position, (to_camera * attitude).as_quat())
        motion = Motion(velocity, to_camera.apply(flight.angular_rate_at(time_s)))
        sun = sun_direction_moon_me(start + timedelta(seconds=time_s))
        begun = time.perf_counter()
        made = render(terrain, camera, pose, sun, motion=motion)
        taken = time.perf_counter() - begun
        if count == 0:
            # The first call compiles kernels or loads them.
            continue
        seconds.append(taken)
        met = np.isfinite(made.depth_m)
        directions = (rays @ pose.rotation_body_to_camera())[met]
        points = position + made.depth_m[met][:, None].astype(np.float64) * directions
        told = files.row(time_s)
        stated = Pose(
            files.position_m[told], (to_camera * files.to_vehicle[told]).as_quat(canonical=True)
        )
        seen = camera.project(stated.to_camera(points))
        wanted = np.stack([column[met], row[met]], axis=-1)
        pixel_errors.append(float(np.abs(seen - wanted).max()))
        some = rng.choice(len(points), min(pixels, len(points)), replace=False)
        marched = marched_m(made.surface, position, directions[some])
        known = np.isfinite(marched)
        checked += int(known.sum())
        depth_errors.append(float(np.abs(marched - made.depth_m[met][some])[known].max()))
    return {
        "frames": len(seconds),
        "frames/s": 1.0 / float(np.median(seconds)),
        "slowest s": max(seconds),
        "worst px": max(pixel_errors),
        "rays": checked,
        "worst depth m": max(depth_errors),
    }


def ranges_checked(files: Files, terrain: TruthTerrain, readings: int) -> dict[str, float]:
    """Readings spread over the descent against a march of every ray of their beams."""
    sensor = files.sensors["altimeter0"]
    fields = {name: sensor[name] for name in vars(PRESETS["laser"]) if name != "rings"}
    finder = RangeFinder(rings=PRESETS["laser"].rings, **fields)
    rays, weights = finder.rays()
    valid = np.flatnonzero(files.altimeter[:, 2] > 0)
    worst, count = 0.0, 0
    for k in valid[np.unique(np.linspace(0, valid.size - 1, readings).round().astype(int))]:
        time_s, told_m, _, beam = files.altimeter[k]
        row = files.row(time_s)
        to_beam = mounting(sensor["beams"][int(beam)]) * files.to_vehicle[row]
        directions = to_beam.inv().apply(rays)
        position = files.position_m[row]
        surface = footprint_surface(terrain, finder, position, directions)
        expected = float(weights @ marched_m(surface, position, directions))
        # A ray that meets nothing makes this NaN, which is no agreement.
        worst = max(worst, abs(told_m - expected)) if math.isfinite(expected) else math.inf
        count += 1
    return {"readings": count, "worst m": worst}


def dead_reckoned(files: Files) -> dict[str, float]:
    """The IMU's samples integrated in inertial axes, against the true positions; and the energy.

    Axes stand still and are those of MOON_ME at the first sample. Energy is that of the rotating
    frame (Jacobi's integral), which thrust alone changes.
    """
    spin = np.array([0.0, 0.0, ROTATION_RATE_RAD_PER_S])
    time_s = files.imu[:, 0]
    step = float(np.median(np.diff(time_s)))
    begun_s = float(files.truth_s[0])
    # Attitude: the vehicle turns by the rate in its own axes, so increments multiply on the right.
    turns = Rotation.from_rotvec(files.imu[:, 1:4] * step)
    halves = Rotation.from_rotvec(0.5 * files.imu[:, 1:4] * step).as_quat()
    to_inertial = files.to_vehicle[0].inv().as_quat()
    middles = np.empty((time_s.size, 4))
    for k, (turn, half) in enumerate(zip(turns.as_quat(), halves, strict=True)):
        middles[k] = quaternion_product(to_inertial, half)
        to_inertial = quaternion_product(to_inertial, turn)
    push = Rotation.from_quat(middles).apply(files.imu[:, 4:7])
    place = files.position_m[0].copy()
    speed = files.velocity_m_per_s[0] + np.cross(spin, place)
    places = np.empty((time_s.size, 3))
    work = 0.0
    for k, now in enumerate(time_s):
        middle_s = now - 0.5 * step - begun_s
        turned = -ROTATION_RATE_RAD_PER_S * middle_s
        pull = _about_z(gravity(_about_z(place + 0.5 * step * speed, turned)), -turned)
        faster = speed + step * (push[k] + pull)
        moved = 0.5 * step * (speed + faster)
        # Over the ground, which turns: the thrust's work in the rotating frame.
        work += float(push[k] @ (moved - step * np.cross(spin, place + 0.5 * moved)))
        place, speed = place + moved, faster
        places[k] = _about_z(place, -ROTATION_RATE_RAD_PER_S * (now - begun_s))
    index = np.searchsorted(time_s, files.truth_s[1:] - 0.5 * step)
    index = index[index < time_s.size]
    off = np.linalg.norm(places[index] - files.position_m[1 : 1 + index.size], axis=1)
    energy = (
        0.5 * np.sum(files.velocity_m_per_s**2, axis=1)
        - potential(files.position_m)
        - 0.5 * np.sum(np.cross(spin, files.position_m) ** 2, axis=1)
    )
    lost = float(energy[index.size] - energy[0])
    return {
        "duration s": float(files.truth_s[-1] - files.truth_s[0]),
        "IMU samples": int(time_s.size),
        "worst position m": float(off.max()),
        "energy relative": abs(work - lost) / abs(lost),
    }


def _about_z(vector: Array, angle_rad: float) -> Array:
    sine, cosine = math.sin(angle_rad), math.cos(angle_rad)
    return np.array(
        [cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1], vector[2]]
    )


def largest_change(time_s: Array, values: Array, window_s: float) -> tuple[float, float]:
    """Largest difference of two values within a window, and the time of the earlier of them."""
    best, at_s = 0.0, float(time_s[0])
    for k, now in enumerate(time_s):
        last = int(np.searchsorted(time_s, now + window_s + 1e-9))
        change = float(np.abs(values[k:last] - values[k]).max())
        if change > best:
            best, at_s = change, float(now)
    return best, at_s


def profile(files: Files) -> dict[str, Array]:
    """Altitude, and height of the ground straight below, at the times when the map is below."""
    index = np.searchsorted(files.truth_s, files.altitude[:, 0] - 1e-6)
    height = np.linalg.norm(files.position_m[index], axis=1) - REFERENCE_RADIUS_M
    return {
        "time_s": files.altitude[:, 0],
        "altitude_m": files.altitude[:, 1],
        "ground_m": height - files.altitude[:, 1],
        "position_m": files.position_m[index],
    }


def readings_over_map(files: Files) -> Array:
    """Valid rows of the range finder while the map is below; before, the ground is made up."""
    there = files.altimeter[:, 0] >= files.altitude[0, 0]
    return np.asarray(files.altimeter[there & (files.altimeter[:, 2] > 0)])


def steps(files: Files) -> dict[str, float]:
    """Largest changes within WINDOW_S: of range, altitude, and ground, which descent is not in."""
    below = profile(files)
    readings = readings_over_map(files)
    ranged, ranged_at_s = largest_change(readings[:, 0], readings[:, 1], WINDOW_S)
    high, _ = largest_change(below["time_s"], below["altitude_m"], WINDOW_S)
    ground, ground_at_s = largest_change(below["time_s"], below["ground_m"], WINDOW_S)
    return {
        "range m": ranged,
        "from s": ranged_at_s,
        "altitude m": high,
        "ground m": ground,
        "ground from s": ground_at_s,
    }


def rim_crossings_s(below: dict[str, Array]) -> list[float]:
    """When the ground track crosses the circle of Atlas' diameter about its centre."""
    atlas = next(crater for crater in load_region("atlas").craters if crater.name == "Atlas")
    centre = position_from_geographic(
        math.radians(atlas.latitude_deg), math.radians(atlas.longitude_east_deg), 0.0
    )
    place = below["position_m"] / np.linalg.norm(below["position_m"], axis=1, keepdims=True)
    away_m = REFERENCE_RADIUS_M * np.arccos(np.clip(place @ centre / REFERENCE_RADIUS_M, -1, 1))
    inside = away_m < 500.0 * atlas.diameter_km
    return [float(below["time_s"][k]) for k in np.flatnonzero(inside[1:] != inside[:-1]) + 1]


def plot(path: Path, files: Files, found: dict[str, float]) -> None:
    """Range, altitude and ground over time, with the crossing of Atlas' rim marked."""
    from matplotlib.figure import Figure

    below = profile(files)
    readings = readings_over_map(files)
    figure = Figure(figsize=(8.5, 5.5), layout="constrained")
    ranges, ground = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    ranges.plot(below["time_s"], below["altitude_m"] / 1e3, lw=1.2, color="#1f4e79",
                label="altitude over the ground")  # fmt: skip
    ranges.plot(readings[:, 0], readings[:, 1] / 1e3, ".", ms=2.5, color="#d1495b",
                label="range finder, without noise")  # fmt: skip
    ranges.set_ylabel("km")
    ranges.set_ylim(bottom=0.0)
    ground.fill_between(below["time_s"], below["ground_m"] / 1e3, -5.0, color="#b9b2a6")
    ground.set_ylim(float(below["ground_m"].min()) / 1e3 - 0.3, None)
    ground.set_ylabel("ground below, km")
    ground.set_xlabel("seconds since the start")
    for axes in (ranges, ground):
        axes.grid(alpha=0.3)
        axes.axvspan(found["from s"], found["from s"] + WINDOW_S, color="#d1495b", alpha=0.15, lw=0)
        for time_s in rim_crossings_s(below):
            axes.axvline(time_s, color="black", lw=0.9, ls="--")
    for time_s in rim_crossings_s(below):
        ground.annotate(" rim of Atlas", (time_s, 0.9), xycoords=("data", "axes fraction"),
                        va="top", fontsize=9)  # fmt: skip
    ranges.annotate(
        f"{found['range m'] / 1e3:.2f} km in {WINDOW_S:.0f} s ",
        (found["from s"], 0.06), xycoords=("data", "axes fraction"), ha="right", fontsize=9,
    )  # fmt: skip
    ranges.set_title(files.facts["title"])
    ranges.set_xlim(float(below["time_s"][0]), float(below["time_s"][-1]))
    ranges.legend(loc="upper right")
    figure.savefig(path, dpi=100)


@dataclass(frozen=True)
class Work:
    """One scenario to measure; map_file: None makes its region by code."""

    name: str
    text: str
    map_file: Path | None
    seed: int
    frames: int
    pixels: int
    readings: int
    plot: Path | None = None


def measure(work: Work) -> dict[str, Any]:
    """All numbers of one scenario, in a process of its own so that its memory is its own."""
    text = without_noise(work.text)
    scenario = parse_scenario(text, work.name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        map_path = None
        if work.map_file is not None:
            map_path = folder / "site.map"
            build_map([work.map_file], map_path)
        request = Request(text, folder / f"{work.name}.toml", map_path, work.seed)
        begun = time.perf_counter()
        files = read_files(simulate(request, folder / "dataset"))
        written_s = time.perf_counter() - begun
        camera = Camera.load(folder / "dataset" / "cam0" / "camera.yaml")
        if map_path is None:
            world = world_from_region(scenario, folder / "site.tif", work.seed)
        else:
            world = world_from_map(scenario, LunarMap.open(map_path), work.seed)
    flight = fly(scenario, world.terrain, folder)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = steps(files)
    if work.plot is not None:
        plot(work.plot, files, found)
    return {
        "scenario": work.name,
        "frames": frames_checked(files, camera, world.terrain, flight, work.frames, work.pixels),
        "ranges": ranges_checked(files, world.terrain, work.readings),
        "motion": dead_reckoned(files),
        "steps": found,
        "written s": written_s,
        "peak MiB": peak_mib,
    }


def report(results: list[dict[str, Any]]) -> None:
    """Print the tables."""
    show(
        f"Truth is exact (goals: {GOAL_PIXEL_PX} px, {GOAL_RANGE_M} m of range, "
        f"{GOAL_POSITION_M} m of position)",
        [
            {
                "scenario": one["scenario"],
                "ray ends px": one["frames"]["worst px"],
                "rays marched": one["frames"]["rays"],
                "depth m": one["frames"]["worst depth m"],
                "readings": one["ranges"]["readings"],
                "range m": one["ranges"]["worst m"],
                "descent s": one["motion"]["duration s"],
                "dead reckoned m": one["motion"]["worst position m"],
                "energy, relative": one["motion"]["energy relative"],
            }
            for one in results
        ],
    )
    show(
        f"Making it (goals: {GOAL_FRAMES_PER_S:g} frame/s of 1024 x 1024, {GOAL_PEAK_MIB:.0f} MiB)",
        [
            {
                "scenario": one["scenario"],
                "frames": one["frames"]["frames"],
                "frames/s, median": one["frames"]["frames/s"],
                "slowest frame s": one["frames"]["slowest s"],
                "peak MiB": one["peak MiB"],
            }
            for one in results
        ],
    )
    show(
        f"Largest change within {WINDOW_S:g} s (goal for {STEP_SCENARIO}: {GOAL_STEP_M:g} m)",
        [{"scenario": one["scenario"], **one["steps"]} for one in results],
    )


def main() -> None:
    """Measure the scenarios one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="scenarios; all if left out")
    parser.add_argument("--embedded", action="store_true", help="regions made by code, no maps")
    parser.add_argument("--data", type=Path, help="default TRN_DATA or ../shared/data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--pixels", type=int, default=300, help="rays a frame to march")
    parser.add_argument("--readings", type=int, default=100, help="of the range finder, to march")
    parser.add_argument("--plot", type=Path, help=f"range profile of {STEP_SCENARIO}")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = given.names or scenario_names()
    if given.plot is not None and STEP_SCENARIO not in names:
        parser.error(f"--plot needs {STEP_SCENARIO}")
    results = []
    # A process a scenario: peak memory is of one descent.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in names:
            text = scenario_path(name).read_text(encoding="utf-8")
            map_file = None
            if not given.embedded:
                region = parse_scenario(text, name).terrain.region
                map_file = (given.data or data_folder()) / f"maps/{region}_256ppd.tif"
            work = Work(
                name, text, map_file, given.seed, given.frames, given.pixels, given.readings,
                given.plot if name == STEP_SCENARIO else None,
            )  # fmt: skip
            results.append(pool.apply(measure, (work,)))
            print(f"{name}: written in {results[-1]['written s']:.0f} s", file=sys.stderr)
    report(results)
    save(given.json, {"embedded": given.embedded, "descents": results})


if __name__ == "__main__":
    main()
