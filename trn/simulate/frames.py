"""Frames of a dataset: when they are taken, and how they are drawn."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.errors import WorkError
from trn.files import write_whole
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import geographic_from_position
from trn.moon.pose import Pose
from trn.moon.sun import sun_direction_moon_me
from trn.simulate.camera_model import SensorSettings
from trn.simulate.faults import camera_time_with_faults, image_with_faults
from trn.simulate.flight import ground_height_m
from trn.simulate.motion import Motion
from trn.simulate.progress import Progress
from trn.simulate.recording import Recording
from trn.simulate.render import RenderSettings, Tracer, render

Array = NDArray[np.float64]

LEAST_VIEW_ON_MAP = 0.5
"""A frame is taken where at least this share of its view falls on the map."""

_IMAGE_NOISE = 4
# More than the nearest pixel of a map is off from the true ground.
_MAP_MISSES_M = 1000.0


def frame_times(recording: Recording) -> Array:
    """Times of frames whose view lies on the map, down to the lowest altitude."""
    lowest_m = recording.scenario.camera.last_altitude_m
    times = recording.times(recording.scenario.camera.rate_hz)
    grid = recording.world.terrain.grid
    across = np.linspace(0.0, 1.0, 9)
    pixels = np.stack(
        np.meshgrid(across * (recording.camera.width - 1), across * (recording.camera.height - 1)),
        -1,
    )
    rays = recording.camera.pixels_to_rays(pixels).reshape(-1, 3)
    taken = []
    for time_s in times:
        position, _, attitude = recording.flight.at(float(time_s))
        latitude, longitude, height = geographic_from_position(position)
        row, column = grid.indices(np.degrees(latitude), np.degrees(longitude))
        r = int(np.clip(np.round(row), 0, grid.height_m.shape[0] - 1))
        c = int(np.clip(np.round(column), 0, grid.height_m.shape[1] - 1))
        ground = float(grid.height_m[r, c])
        if height - ground < lowest_m + _MAP_MISSES_M:
            # So near the map's own height does not tell: the true ground does.
            place = float(np.degrees(latitude)), float(np.degrees(longitude))
            ground = ground_height_m(recording.world.terrain, *place)
        if height - ground < lowest_m:
            continue
        directions = (recording.to_camera * attitude).inv().apply(rays)
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


def write_frames(
    recording: Recording, times: Array, out: Path, tracer: Tracer | None, say: Progress
) -> dict[str, Any]:
    """Render what frames are missing; returns what dataset.toml says of all of them."""
    stamps = recording.stamps(camera_time_with_faults(times, recording.faults))
    names = _distinct_names(stamps)
    settings = _render_settings(recording)
    folder = out / "cam0"
    with (folder / "data.csv").open("w", encoding="utf-8", newline="\n") as listing:
        listing.write("#timestamp [ns],filename\n")
        for k, time_s in enumerate(times):
            path = folder / "data" / names[k]
            if not path.exists():
                image = _frame(recording, float(time_s), k, settings, tracer)
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
        "rate_hz": recording.scenario.camera.rate_hz,
        "bits": recording.scenario.camera.bits,
    }


def _frame(
    recording: Recording,
    time_s: float,
    index: int,
    settings: RenderSettings,
    tracer: Tracer | None,
) -> NDArray[Any]:
    """The image that the camera reports of a time."""
    position, velocity, attitude = recording.flight.at(time_s)
    pose = Pose(position, (recording.to_camera * attitude).as_quat())
    rate = recording.to_camera.apply(recording.flight.angular_rate_at(time_s))
    noise = np.random.SeedSequence([recording.seed, _IMAGE_NOISE, index]).generate_state(1)[0]
    frame = render(
        recording.world.terrain,
        recording.camera,
        pose,
        sun_direction_moon_me(recording.start_utc + timedelta(seconds=time_s)),
        seed=int(noise),
        settings=settings,
        motion=Motion(velocity, rate),
        tracer=tracer,
    )
    full_scale = settings.sensor.full_scale
    return image_with_faults(frame.image, time_s, full_scale, recording.faults, recording.seed)


def _render_settings(recording: Recording) -> RenderSettings:
    camera = recording.scenario.camera
    sensor = SensorSettings(
        blur_sigma_px=camera.blur_sigma_px,
        exposure_s=camera.exposure_s,
        most_exposure_s=camera.most_exposure_s,
        bits=camera.bits,
        pattern_seed=recording.seed,
    )
    return RenderSettings(sensor=sensor, plume_dust=camera.plume_dust)


def _distinct_names(stamps: NDArray[np.int64]) -> list[str]:
    """A file name for each stamp; a clock that was set back may give a stamp twice."""
    names: list[str] = []
    seen: dict[int, int] = {}
    for stamp in stamps.tolist():
        again = seen.get(stamp, 0)
        seen[stamp] = again + 1
        names.append(f"{stamp}.png" if again == 0 else f"{stamp}_{again}.png")
    return names
