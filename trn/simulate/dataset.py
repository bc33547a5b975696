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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from trn import __version__
from trn.backend.select import cuda_device
from trn.errors import InputError, WorkError, quoted
from trn.files import remove_leftovers, write_whole
from trn.maps.lunar_map import LunarMap
from trn.simulate.faults import Fault, fault_table, fault_text
from trn.simulate.flight import fly
from trn.simulate.frames import frame_times, write_frames
from trn.simulate.progress import Progress
from trn.simulate.recording import Recording
from trn.simulate.render import Tracer
from trn.simulate.render_cuda import CudaTracer
from trn.simulate.scenario import parse_scenario
from trn.simulate.sensor_logs import write_logs
from trn.simulate.sensor_sheets import write_sensor_sheets
from trn.simulate.world import estimator_map, world_from_map, world_from_region

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FORMAT = 1
DATASET_FILE = "dataset.toml"
ESTIMATOR_MAP = "site.map"
_START = 5
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
        recording = Recording.of(
            scenario, world, flight, request.seed, request.faults, request.begin_s, request.end_s
        )
        writer = _Writer(request, recording, out, fingerprint)
        try:
            writer.start()
            if moon_map is None and not (out / ESTIMATOR_MAP).exists():
                estimator_map(site_path, out / ESTIMATOR_MAP, request.seed)
            writer.write(tracer, say)
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

    def __init__(self, request: Request, recording: Recording, out: Path, fingerprint: str) -> None:
        self.request, self.recording = request, recording
        self.out, self.fingerprint = out, fingerprint
        self.frame_times_s = frame_times(recording)
        if self.frame_times_s.size == 0:
            raise InputError(
                f"{request.source}: no frame of {recording.scenario.name} sees the map between "
                f"{recording.begin_s:g} and {recording.end_s:g} s; give a map of its site, or "
                "another window"
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

    def write(self, tracer: Tracer | None, say: Progress) -> None:
        """Write what is not there yet."""
        write_whole(self.out / "scenario.toml", self.request.text)
        write_sensor_sheets(self.recording, self.out)
        write_logs(self.recording, self.out, say)
        frames = write_frames(self.recording, self.frame_times_s, self.out, tracer, say)
        write_whole(self.out / DATASET_FILE, self._description(frames))

    def _description(self, frames: dict[str, Any] | None) -> str:
        """The text of dataset.toml; frames is None while they are in the making."""
        recording = self.recording
        world, scenario = recording.world, recording.scenario
        document: dict[str, Any] = {
            "format": FORMAT,
            "complete": frames is not None,
            "scenario": scenario.name,
            "title": scenario.title,
            "seed": recording.seed,
            "fingerprint": self.fingerprint,
            "trn_version": __version__,
            "start_utc": recording.start_utc.strftime("%Y-%m-%dT%H:%M:%S.%f"),
            "start_ns": recording.start_ns,
            "begin_s": recording.begin_s,
            "end_s": recording.end_s,
            "map": {
                "name": world.map_name,
                "sha256": world.map_sha256,
                "embedded": self.request.map_path is None,
                "estimator_map": "" if self.request.map_path is not None else ESTIMATOR_MAP,
            },
            "frames": frames or {},
            "initial_state": _initial_state(recording),
            "faults": fault_table(recording.faults, recording.seed),
        }
        if self.request.backend != "cpu":
            document["renderer"] = self.request.backend
        return tomli_w.dumps(document)


def _initial_state(recording: Recording) -> dict[str, Any]:
    """The navigation state handed over at the first moment: the truth with an error drawn."""
    sigmas = recording.scenario.initial_state
    position, velocity, _ = recording.flight.at(recording.begin_s)
    rng = np.random.default_rng([recording.seed, _START])
    place = position + rng.normal(0.0, sigmas.position_sigma_m, 3)
    speed = velocity + rng.normal(0.0, sigmas.velocity_sigma_m_per_s, 3)
    return {
        "time_ns": int(recording.stamps(np.array(recording.begin_s))),
        "position_moon_me_m": [float(x) for x in place],
        "position_sigma_m": sigmas.position_sigma_m,
        "velocity_moon_me_m_per_s": [float(x) for x in speed],
        "velocity_sigma_m_per_s": sigmas.velocity_sigma_m_per_s,
    }
