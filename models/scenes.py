"""Labelled renderings for the crater network: our own simulator over real maps.

Each scene is drawn from (seed, number) alone: scale, tilt, light, photometry, blur, noise and tone
at random, wide enough to hold what descent cameras and published orbiter images look like.

    python -m models.scenes --out runs/crater-test --region frigoris --count 200 --size 512

writes NAME_00000.npz ... with image (H, W) uint8, ellipses (N, 5) and ignored (M, 5), both x, y,
a, b, theta in pixels and radians, and sun_px, the direction in the image that the light comes from
(radians from +x towards +y). Scenes that are there already are not made again.
"""

from __future__ import annotations

import argparse
import math
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from models.ground import CLOSE_M_PER_PX, WIDE_M_PER_PX, Ground, Region, lay_ground
from models.labels import Labels, label
from trn.camera import Camera
from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose
from trn.simulate.camera_model import SensorSettings, expose, metered_exposure_s
from trn.simulate.patch import Patch
from trn.simulate.photometry import Hapke
from trn.simulate.render import RenderSettings, render
from trn.simulate.surface import Surface
from trn.simulate.terrain import TruthTerrain

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

TRAINING = ("atlas", "tycho", "hadley", "crisium")
HELD_OUT = "frigoris"

WIDE_SHARE = 0.3
SUN_ELEVATION_DEG = (8.0, 70.0)
MOST_TILT_DEG = 50.0
MOST_MISSED = 0.01
"""Share of pixels that may see past the ground laid out; they are black."""
LEAST_LIT = 0.55

_COARSE_STRIDE = 4


@dataclass(frozen=True)
class LabelledScene:
    """One picture with its craters."""

    image: NDArray[np.uint8]
    labels: Labels
    sun_px: float

    def save(self, path: Path) -> None:
        """Write the scene whole or not at all."""
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        np.savez(
            temporary,
            image=self.image,
            ellipses=self.labels.seen,
            ignored=self.labels.ignored,
            sun_px=self.sun_px,
        )
        temporary.replace(path)


@dataclass(frozen=True)
class _View:
    """Where a scene is seen from."""

    camera: Camera
    pose: Pose
    frame: Array
    box: tuple[float, float, float, float]
    metres_per_px: float
    sun: Array


def draw_scene(
    region: Region,
    seed: int,
    number: int,
    size_px: int,
    sun_deg: tuple[float, float] = SUN_ELEVATION_DEG,
) -> LabelledScene:
    """Scene `number` of a seed: the same arguments give the same bytes.

    sun_deg: least and greatest height of the Sun, degrees.
    """
    word = int.from_bytes(region.name.encode()[:8].ljust(8, b"\0"), "little")
    for attempt in range(20):
        rng = np.random.default_rng([word, seed, number, attempt])
        wide = bool(rng.uniform() < WIDE_SHARE)
        view = _draw_view(region, wide, size_px, sun_deg, rng)
        ground = lay_ground(region, wide, view.frame, view.box, view.metres_per_px, rng)
        terrain = region.wide if wide else region.close
        settings = RenderSettings(
            hapke=Hapke(
                single_scattering_albedo=rng.uniform(0.2, 0.5),
                b=rng.uniform(0.15, 0.35),
                roughness_deg=rng.uniform(12.0, 28.0),
            ),
            albedo_texture=rng.uniform(0.0, 0.06),
            workers=1,
        )
        try:
            drawn = render(
                terrain, view.camera, view.pose, view.sun, settings=settings,
                surface=_surface(terrain, ground.patch, view),
            )  # fmt: skip
        except InputError:
            continue
        missed = ~np.isfinite(drawn.depth_m)
        lit = float((drawn.radiance > 0.0).mean())
        if missed.mean() > MOST_MISSED or lit < LEAST_LIT:
            continue
        sun_px = _sun_in_image(view)
        labels = label(ground, drawn.radiance, view.camera, view.pose, sun_px)
        bright = drawn.radiance * _rays(ground, view, rng)
        return LabelledScene(_developed(bright, rng), labels, sun_px)
    raise InputError(f"{region.name}: no scene in 20 draws; use another seed")


def _draw_view(
    region: Region,
    wide: bool,
    size_px: int,
    sun_deg: tuple[float, float],
    rng: np.random.Generator,
) -> _View:
    """Camera, pose, Sun and the ground that is in view or shades it."""
    metres_per_px = math.exp(rng.uniform(*np.log(WIDE_M_PER_PX if wide else CLOSE_M_PER_PX)))
    tilt = math.radians(rng.choice([rng.uniform(0.0, 4.0), rng.uniform(0.0, MOST_TILT_DEG)]))
    focal = size_px * math.exp(rng.uniform(math.log(1.5 + 1.5 * math.sin(tilt)), math.log(4.0)))
    middle = 0.5 * (size_px - 1)
    camera = Camera(size_px, size_px, focal, focal, middle, middle, (0.0,) * 5)
    grid = region.wide.grid
    rows, columns = grid.height_m.shape
    row, column = rng.uniform(0.08, 0.92, 2) * [rows, columns]
    ground = float((region.wide if wide else region.close).grid.height_m[int(row), int(column)])
    target = position_from_geographic(
        math.radians(grid.latitude_deg + row * grid.step_latitude_deg),
        math.radians(grid.longitude_deg + column * grid.step_longitude_deg),
        ground,
    )
    east, north, up = east_north_up(target)
    heading, roll, sun_azimuth = rng.uniform(0.0, 2.0 * math.pi, 3)
    ahead = math.sin(heading) * east + math.cos(heading) * north
    frame = np.stack([np.cross(ahead, up), ahead, up])
    back = math.cos(tilt) * up - math.sin(tilt) * ahead
    position = target + metres_per_px * focal * back
    image_up = math.cos(tilt) * ahead + math.sin(tilt) * up
    level = np.stack([np.cross(-back, image_up), -image_up, -back])
    turned = Rotation.from_rotvec([0.0, 0.0, roll]) * Rotation.from_matrix(level)
    pose = Pose(position, np.asarray(turned.as_quat(), dtype=np.float64))
    rise = math.radians(_sun_elevation_deg(sun_deg, rng))
    level_sun = math.sin(sun_azimuth) * east + math.cos(sun_azimuth) * north
    sun = math.cos(rise) * level_sun + math.sin(rise) * up
    edge = np.linspace(-0.5, size_px - 0.5, 9)
    around = np.concatenate(
        [np.column_stack([edge, np.full(9, end)]) for end in (edge[0], edge[-1])]
        + [np.column_stack([np.full(9, end), edge]) for end in (edge[0], edge[-1])]
    )
    rays = camera.pixels_to_rays(around) @ pose.rotation_body_to_camera()
    # Ground somewhat below the middle's level is in view too.
    distance = (metres_per_px * focal * math.cos(tilt)) / -(rays @ up)
    local = (position + distance[:, None] * rays) @ frame.T
    uv = local[:, :2] / local[:, 2:]
    low, high = uv.min(axis=0), uv.max(axis=0)
    margin = (0.08 + 0.12 * math.sin(tilt)) * (high - low)
    shade = 40.0 * metres_per_px / REFERENCE_RADIUS_M * (frame @ level_sun)[:2]
    low = low - margin + np.minimum(shade, 0.0)
    high = high + margin + np.maximum(shade, 0.0)
    box = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    return _View(camera, pose, frame, box, metres_per_px, sun)


def _surface(terrain: TruthTerrain, patch: Patch, view: _View) -> Surface:
    """A scene's patch inside a coarse one that reaches below the camera, where rays start.

    The renderer paints albedo on the coarse one's samples.
    """
    below = view.frame @ view.pose.position_m
    step = _COARSE_STRIDE * patch.step
    u, v = below[0] / below[2], below[1] / below[2]
    u_min, u_max, v_min, v_max = patch.box
    around = (min(u_min, u) - 4.0 * step, max(u_max, u) + 4.0 * step,
              min(v_min, v) - 4.0 * step, max(v_max, v) + 4.0 * step)  # fmt: skip
    return Surface((terrain.patch(view.frame, around, step), patch))


def _sun_elevation_deg(sun_deg: tuple[float, float], rng: np.random.Generator) -> float:
    """Half of all even in the angle, half low, where pictures differ most."""
    low, high = sun_deg
    return float(rng.uniform(low, high if rng.uniform() < 0.5 else min(35.0, high)))


def _sun_in_image(view: _View) -> float:
    """Direction in the image, radians from +x towards +y, from which ground shades fall."""
    target = (
        view.pose.position_m
        + view.metres_per_px * view.camera.fx * (view.pose.rotation_body_to_camera()[2])
    )
    up = view.frame[2]
    level = view.sun - (view.sun @ up) * up
    ends = np.stack([target, target + view.metres_per_px * level / np.linalg.norm(level)])
    (x0, y0), (x1, y1) = view.camera.project(view.pose.to_camera(ends))
    return math.atan2(y1 - y0, x1 - x0)


def _rays(ground: Ground, view: _View, rng: np.random.Generator) -> Array32:
    """Brightening of the picture by the rays and haloes of fresh craters, (H, W), 1 without."""
    size = view.camera.width
    factor = np.ones((size, size), np.float32)
    if rng.uniform() < 0.5:
        return factor
    y, x = np.mgrid[:size, :size].astype(np.float32)
    frame = ground.patch.frame
    young = ground.craters[ground.fresh & (ground.craters[:, 2] > 6.0 * view.metres_per_px)]
    for u, v, diameter in young[:12]:
        point = (frame[2] + u * frame[0] + v * frame[1]) * REFERENCE_RADIUS_M
        centre = view.camera.project(view.pose.to_camera(point))
        if not np.isfinite(centre).all():
            continue
        radius = 0.5 * diameter / view.metres_per_px
        dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
        distance = np.sqrt(dx * dx + dy * dy) / np.float32(radius)
        azimuth = np.arctan2(dy, dx)
        spokes = np.ones_like(distance)
        for k in rng.choice(np.arange(2, 14), 3, replace=False):
            wave = np.cos(np.float32(k) * azimuth + np.float32(rng.uniform(0.0, 6.3)))
            spokes += 0.5 * wave * (distance > 1.0)
        reach = np.exp(-np.maximum(distance - 1.0, 0.0) / np.float32(rng.uniform(0.7, 3.0)))
        factor += np.float32(rng.uniform(0.05, 0.4)) * np.maximum(spokes, 0.0) * reach
    return factor


def _developed(radiance: Array32, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture as a camera and whoever published it made it: blur, noise, stretch, gamma."""
    sensor = SensorSettings(
        blur_sigma_px=math.exp(rng.uniform(math.log(0.3), math.log(1.5))),
        exposure_fraction=rng.uniform(0.25, 0.75),
        full_well_electrons=math.exp(rng.uniform(math.log(1e3), math.log(3e4))),
        read_noise_electrons=rng.uniform(3.0, 25.0),
        saturated_percent=rng.uniform(0.1, 4.0),
        pattern_seed=int(rng.integers(1000)),
        bits=12,
    )
    counts = expose(radiance, metered_exposure_s(radiance, sensor), sensor, rng).astype(np.float32)
    low, high = np.percentile(counts, [rng.uniform(0.0, 1.5), 100.0 - rng.uniform(0.0, 1.5)])
    # From as it came to fully stretched.
    stretch = rng.uniform()
    black = stretch * float(low)
    white = stretch * float(high) + (1.0 - stretch) * sensor.full_scale
    grey = np.clip((counts - black) / max(white - black, 1.0), 0.0, 1.0)
    grey = grey ** np.float32(math.exp(rng.uniform(-0.45, 0.45)))
    floor, span = rng.choice([0.0, 30.0]) * rng.uniform(), rng.choice([255.0, 255.0, 160.0])
    return np.asarray(np.clip(np.rint(floor + span * grey), 0, 255), dtype=np.uint8)


def data_folder() -> Path:
    """Where maps and catalogues lie: TRN_DATA, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    return Path(os.environ.get("TRN_DATA") or beside)


@lru_cache(maxsize=8)
def _region(data: Path, name: str) -> Region:
    return Region.load(data, name)


def _make(
    data: Path,
    name: str,
    seed: int,
    number: int,
    size: int,
    sun_deg: tuple[float, float],
    path: Path,
) -> None:
    """One scene to a file, unless it is there."""
    cv2.setNumThreads(1)
    if not path.exists():
        draw_scene(_region(data, name), seed, number, size, sun_deg).save(path)


def main() -> None:
    """Make scenes as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--region", nargs="+", default=list(TRAINING))
    parser.add_argument("--count", type=int, default=200, help="scenes in all")
    parser.add_argument("--size", type=int, default=512, help="side of a scene, pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sun", type=float, nargs=2, metavar=("LEAST", "MOST"),
                        default=SUN_ELEVATION_DEG, help="height of the Sun, degrees")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    least, most = arguments.sun
    if not 0.0 < least <= most < 90.0:
        raise InputError(
            f"--sun: {least} {most}; give two heights from 0 to 90 degrees, the least first"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = data_folder()
    with ProcessPoolExecutor(arguments.workers) as pool:
        jobs = []
        for number in range(arguments.count):
            name = arguments.region[number % len(arguments.region)]
            path = arguments.out / f"{name}_{number:05d}.npz"
            jobs.append(pool.submit(
                _make, data, name, arguments.seed, number, arguments.size, (least, most), path
            ))  # fmt: skip
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
