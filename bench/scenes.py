"""Rendered frames with a known truth: what the accuracy benches measure against.

A scene is drawn from a seed alone (position, attitude, Sun, camera, prior errors), so scenes are
the same in any order and one by one. The conditions are those of the 'Rendered truth' claim:
20 to 100 km above the ground, field of view 45 to 65 degrees, Sun 8 to 55 degrees high, tilt up
to 25 degrees, prior 1.5 km and 0.05 degrees (1 sigma an axis).

    python -m bench.scenes MAP.tif ... --count 100 --out SCENES

renders 100 scenes a map into SCENES and the estimator's maps into SCENES/maps.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.errors import InputError
from trn.maps.build import build_map
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, geographic_from_position, position_from_geographic
from trn.moon.pose import Pose
from trn.simulate.render import RenderSettings, render
from trn.simulate.terrain import HeightGrid, TruthTerrain

Array = NDArray[np.float64]

POSITION_SIGMA_M = 1500.0
ATTITUDE_SIGMA_DEG = 0.05
ESTIMATOR_HEIGHT_SIGMA_M = 8.0
SIZE_PX = 1024
_TRUTH_SEED = 20_150_901


@dataclass(frozen=True)
class Conditions:
    """Ranges that scenes are drawn from, evenly, and the side of the square frame."""

    altitude_m: tuple[float, float] = (20e3, 100e3)
    field_of_view_deg: tuple[float, float] = (45.0, 65.0)
    sun_elevation_deg: tuple[float, float] = (8.0, 55.0)
    tilt_deg: tuple[float, float] = (0.0, 25.0)
    distorted_share: float = 0.5
    on_map_share: float = 0.85
    size_px: int = SIZE_PX


@dataclass(frozen=True)
class Scene:
    """One frame, its truth, and the prior given to the estimator.

    true_pose, prior_pose: camera in MOON_ME. prior_pose = true_pose.moved(errors drawn with
    position_sigma_m an axis and attitude_sigma_deg an axis). sun_direction: unit, MOON_ME.
    altitude_m: above the true terrain straight below. sun_elevation_deg: at the point below
    the camera. on_map: share of pixels whose ground lies on the map.
    """

    name: str
    map_path: Path
    seed: int
    image: NDArray[np.uint8]
    camera: Camera
    true_pose: Pose
    prior_pose: Pose
    position_sigma_m: float
    attitude_sigma_deg: float
    sun_direction: Array
    altitude_m: float
    field_of_view_deg: float
    sun_elevation_deg: float
    tilt_deg: float
    on_map: float

    def facts(self) -> dict[str, Any]:
        """Everything but the image, as plain JSON values."""
        return {
            "name": self.name,
            "map": str(self.map_path),
            "seed": self.seed,
            "camera": {
                "width": self.camera.width,
                "height": self.camera.height,
                "fx": self.camera.fx,
                "fy": self.camera.fy,
                "cx": self.camera.cx,
                "cy": self.camera.cy,
                "distortion": [float(k) for k in self.camera.distortion],
            },
            "true_pose": _pose_facts(self.true_pose),
            "prior_pose": _pose_facts(self.prior_pose),
            "position_sigma_m": self.position_sigma_m,
            "attitude_sigma_deg": self.attitude_sigma_deg,
            "sun_direction_moon_me": [float(x) for x in self.sun_direction],
            "altitude_m": self.altitude_m,
            "field_of_view_deg": self.field_of_view_deg,
            "sun_elevation_deg": self.sun_elevation_deg,
            "tilt_deg": self.tilt_deg,
            "on_map": self.on_map,
        }


def _pose_facts(pose: Pose) -> dict[str, list[float]]:
    return {
        "position_moon_me_m": [float(x) for x in pose.position_m],
        "quaternion_body_to_camera_xyzw": [float(x) for x in pose.quaternion_xyzw],
    }


def _pose_from(facts: dict[str, Any]) -> Pose:
    return Pose(
        np.array(facts["position_moon_me_m"], dtype=np.float64),
        np.array(facts["quaternion_body_to_camera_xyzw"], dtype=np.float64),
    )


@dataclass(frozen=True)
class Geometry:
    """What a scene is before it is rendered."""

    camera: Camera
    true_pose: Pose
    prior_pose: Pose
    sun_direction: Array
    altitude_m: float
    field_of_view_deg: float
    sun_elevation_deg: float
    tilt_deg: float
    on_map: float


@lru_cache(maxsize=8)
def truth_terrain(map_path: Path) -> TruthTerrain:
    """The truth on a map: its full grid with relief and craters below it."""
    return TruthTerrain.from_geotiff(map_path, seed=_TRUTH_SEED)


def pointing(
    position_m: Array, tilt_deg: float, tilt_azimuth_deg: float, heading_deg: float
) -> Array:
    """Quaternion (xyzw, body-fixed to camera) of a camera that looks down, tilted and turned.

    The boresight leaves the nadir by tilt towards an azimuth (from north, clockwise); the
    image's up direction is turned by heading about the boresight.
    """
    east, north, up = east_north_up(position_m)
    azimuth, tilt = math.radians(tilt_azimuth_deg), math.radians(tilt_deg)
    towards = math.sin(azimuth) * east + math.cos(azimuth) * north
    boresight = math.sin(tilt) * towards - math.cos(tilt) * up
    image_up = math.cos(tilt) * towards + math.sin(tilt) * up
    level = np.stack([np.cross(boresight, image_up), -image_up, boresight])
    turned = Rotation.from_rotvec([0.0, 0.0, math.radians(heading_deg)]) * Rotation.from_matrix(
        level
    )
    return np.asarray(turned.as_quat(), dtype=np.float64)


def on_map_share(grid: HeightGrid, camera: Camera, pose: Pose) -> float:
    """Share of pixels that look at ground on the map, the ground taken as a sphere."""
    pixels = np.stack(
        np.meshgrid(np.linspace(0, camera.width - 1, 33), np.linspace(0, camera.height - 1, 33)),
        axis=-1,
    )
    rays = camera.pixels_to_rays(pixels).reshape(-1, 3) @ pose.rotation_body_to_camera()
    radius = REFERENCE_RADIUS_M + float(np.median(grid.height_m))
    along = rays @ pose.position_m
    inside = radius**2 - (pose.position_m @ pose.position_m - along**2)
    hits = pose.position_m + (-along - np.sqrt(np.maximum(inside, 0.0)))[:, None] * rays
    latitude, longitude, _ = geographic_from_position(hits)
    row = (np.degrees(latitude) - grid.latitude_deg) / grid.step_latitude_deg
    east = (np.degrees(longitude) - grid.longitude_deg + 180.0) % 360.0 - 180.0
    column = east / grid.step_longitude_deg
    rows, columns = grid.height_m.shape
    good = (inside > 0) & (row >= 0) & (column >= 0) & (row <= rows - 1) & (column <= columns - 1)
    return float(good.mean())


def draw_geometry(
    terrain: TruthTerrain, rng: np.random.Generator, conditions: Conditions
) -> Geometry:
    """Camera, poses and Sun of one scene.

    The place is drawn anew until enough of the frame lies on the map; after 200 draws everything
    is drawn anew.
    """
    grid = terrain.grid
    rows, columns = grid.height_m.shape
    for _ in range(50):
        field_of_view = rng.uniform(*conditions.field_of_view_deg)
        focal = 0.5 * conditions.size_px / math.tan(math.radians(0.5 * field_of_view))
        centre = 0.5 * (conditions.size_px - 1) + rng.uniform(-6.0, 6.0, 2)
        distortion = (0.0, 0.0, 0.0, 0.0, 0.0)
        if rng.uniform() < conditions.distorted_share:
            distortion = (
                float(rng.uniform(-0.12, 0.04)),
                float(rng.uniform(-0.02, 0.04)),
                float(rng.uniform(-5e-4, 5e-4)),
                float(rng.uniform(-5e-4, 5e-4)),
                0.0,
            )
        size = conditions.size_px
        camera = Camera(size, size, focal, focal, float(centre[0]), float(centre[1]), distortion)
        altitude = rng.uniform(*conditions.altitude_m)
        # Tilt even over the cap of directions, not over the angle.
        low, high = (math.cos(math.radians(t)) for t in conditions.tilt_deg)
        tilt = math.degrees(math.acos(rng.uniform(high, low)))
        tilt_azimuth, heading, sun_azimuth = rng.uniform(0.0, 360.0, 3)
        elevation = rng.uniform(*conditions.sun_elevation_deg)
        errors = rng.normal(size=6)
        for _ in range(200):
            row, column = rng.uniform(0, rows - 1), rng.uniform(0, columns - 1)
            latitude = math.radians(grid.latitude_deg + row * grid.step_latitude_deg)
            longitude = math.radians(grid.longitude_deg + column * grid.step_longitude_deg)
            ground = float(grid.height_m[round(row), round(column)])
            position = position_from_geographic(latitude, longitude, ground + altitude)
            pose = Pose(position, pointing(position, tilt, tilt_azimuth, heading))
            share = on_map_share(grid, camera, pose)
            if share >= conditions.on_map_share:
                east, north, up = east_north_up(position)
                a, h = math.radians(sun_azimuth), math.radians(elevation)
                sun = math.cos(h) * (math.sin(a) * east + math.cos(a) * north) + math.sin(h) * up
                prior = pose.moved(
                    POSITION_SIGMA_M * errors[:3], math.radians(ATTITUDE_SIGMA_DEG) * errors[3:]
                )
                return Geometry(
                    camera, pose, prior, sun, altitude, field_of_view, elevation, tilt, share
                )
    raise InputError("map: too small for a frame under these conditions; use a larger one")


def scene_name(map_path: Path, seed: int) -> str:
    """File stem of a scene."""
    return f"{map_path.stem}_{seed:05d}"


def rendered_scene(
    map_path: str | Path,
    seed: int,
    *,
    conditions: Conditions | None = None,
    cache_dir: str | Path | None = None,
    settings: RenderSettings | None = None,
) -> Scene:
    """The scene of a seed on a map; read from cache_dir where it is there, else put there.

    The cache knows scenes by map name and seed: give other conditions or settings another
    directory.
    """
    map_path = Path(map_path)
    name = scene_name(map_path, seed)
    if cache_dir is not None and (Path(cache_dir) / f"{name}.json").exists():
        return load_scene(Path(cache_dir) / f"{name}.json")
    terrain = truth_terrain(map_path.resolve())
    map_word = int.from_bytes(map_path.stem.encode()[:8].ljust(8, b"\0"), "little")
    rng = np.random.default_rng([map_word, seed])
    geometry = draw_geometry(terrain, rng, conditions or Conditions())
    frame = render(
        terrain,
        geometry.camera,
        geometry.true_pose,
        geometry.sun_direction,
        seed=int(rng.integers(2**31)),
        settings=settings,
    )
    below = geometry.true_pose.position_m
    ground = float(frame.surface.height_at(below))
    altitude = geometry.altitude_m
    if np.isfinite(ground):
        altitude = float(np.linalg.norm(below)) - REFERENCE_RADIUS_M - ground
    scene = Scene(
        name,
        map_path,
        seed,
        frame.image.astype(np.uint8),
        geometry.camera,
        geometry.true_pose,
        geometry.prior_pose,
        POSITION_SIGMA_M,
        ATTITUDE_SIGMA_DEG,
        geometry.sun_direction,
        altitude,
        geometry.field_of_view_deg,
        geometry.sun_elevation_deg,
        geometry.tilt_deg,
        geometry.on_map,
    )
    if cache_dir is not None:
        save_scene(scene, Path(cache_dir))
    return scene


def save_scene(scene: Scene, directory: Path) -> Path:
    """Write NAME.png and NAME.json; the JSON last, so that it stands for a whole scene."""
    directory.mkdir(parents=True, exist_ok=True)
    picture, facts = directory / f"{scene.name}.png", directory / f"{scene.name}.json"
    _, encoded = cv2.imencode(".png", scene.image)
    _write(picture, encoded.tobytes())
    _write(facts, json.dumps(scene.facts(), indent=1).encode())
    return facts


def load_scene(facts_path: str | Path) -> Scene:
    """The scene that `save_scene` wrote."""
    facts_path = Path(facts_path)
    facts = json.loads(facts_path.read_text())
    image = cv2.imread(str(facts_path.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InputError(
            f"{facts_path.with_suffix('.png')}: missing or damaged; delete {facts_path}"
        )
    c = facts["camera"]
    return Scene(
        facts["name"],
        Path(facts["map"]),
        facts["seed"],
        image.astype(np.uint8),
        Camera(c["width"], c["height"], c["fx"], c["fy"], c["cx"], c["cy"], tuple(c["distortion"])),
        _pose_from(facts["true_pose"]),
        _pose_from(facts["prior_pose"]),
        facts["position_sigma_m"],
        facts["attitude_sigma_deg"],
        np.array(facts["sun_direction_moon_me"], dtype=np.float64),
        facts["altitude_m"],
        facts["field_of_view_deg"],
        facts["sun_elevation_deg"],
        facts["tilt_deg"],
        facts["on_map"],
    )


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def estimator_map_tif(map_path: str | Path, out_dir: str | Path, seed: int = 0) -> Path:
    """The estimator's heights: 2 x 2 block means of a map plus noise, as a float GeoTIFF.

    Each coarse pixel covers exactly four fine ones (an odd last row or column is left out); its
    noise is Gaussian, 8 m, on its own. The same file is not made twice.
    """
    map_path, out_dir = Path(map_path), Path(out_dir)
    target = out_dir / f"{map_path.stem}_half_{seed}.tif"
    if target.exists():
        return target
    out_dir.mkdir(parents=True, exist_ok=True)
    with rasterio.open(map_path) as source:
        band = source.read(1, masked=True)
        profile = source.profile
        t = source.transform
    rows, columns = band.shape[0] // 2, band.shape[1] // 2
    fine = band[: 2 * rows, : 2 * columns].astype(np.float64).filled(np.nan)
    mean = fine.reshape(rows, 2, columns, 2).mean(axis=(1, 3))
    noise = np.random.default_rng([seed, rows, columns]).normal(size=mean.shape)
    height = (mean + ESTIMATOR_HEIGHT_SIGMA_M * noise).astype(np.float32)
    height[~np.isfinite(height)] = -32768.0
    profile.update(
        driver="GTiff",
        dtype="float32",
        nodata=-32768.0,
        width=columns,
        height=rows,
        transform=rasterio.Affine(2 * t.a, 2 * t.b, t.c, 2 * t.d, 2 * t.e, t.f),
        compress="deflate",
        predictor=3,
    )
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.tif")
    with rasterio.open(temporary, "w", **profile) as out:
        out.write(height, 1)
    temporary.replace(target)
    return target


def estimator_map(
    map_path: str | Path, out_dir: str | Path, seed: int = 0, craters: Path | None = None
) -> Path:
    """The estimator's map folder of a truth map (see `estimator_map_tif`), built once.

    craters: a catalogue to carry along.
    """
    source = estimator_map_tif(map_path, out_dir, seed)
    folder = source.with_name(f"{source.stem}{'_craters' if craters else ''}.map")
    if not folder.exists():
        build_map([source], folder, craters=craters, height_sigma_m=ESTIMATOR_HEIGHT_SIGMA_M)
    return folder


def main() -> None:
    """Fill a directory with scenes and estimator maps."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("maps", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=None)
    arguments = parser.parse_args()
    for map_path in arguments.maps:
        print(estimator_map(map_path, arguments.out / "maps"), flush=True)
    for seed in range(arguments.count):
        for map_path in arguments.maps:
            settings = RenderSettings(workers=arguments.workers)
            scene = rendered_scene(map_path, seed, cache_dir=arguments.out, settings=settings)
            print(scene.name, f"{scene.altitude_m:.0f} m", flush=True)


if __name__ == "__main__":
    main()
