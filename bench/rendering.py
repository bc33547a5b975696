"""How much rendered frames look like photographs of the Moon.

    python -m bench.rendering apollo --out pictures
    python -m bench.rendering nac --relief

`apollo` renders the three Apollo 15 mapping-camera frames from where they were taken and correlates
rendering and photograph over the whole frame. `nac` compares statistics of LROC NAC images with
those of renderings at their ground resolution and under their Suns; --relief repeats it with other
small-scale relief, blur and sampling. Each prints tables; --json FILE keeps the numbers, --out DIR
gets pictures side by side.

The relief was chosen with every second NAC image and one place a map; the other images are a check
on other places.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from bench.scenes import pointing
from bench.tables import data_folder, save, show
from trn.camera import Camera
from trn.images import load_image
from trn.localizer import Localizer
from trn.maps.build import build_map
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose
from trn.moon.sun import sun_direction_moon_me
from trn.prior import Prior
from trn.simulate.camera_model import SensorSettings
from trn.simulate.photometry import Hapke
from trn.simulate.render import RenderSettings, render
from trn.simulate.terrain import ReliefSettings, TruthTerrain

Array = NDArray[np.float64]
Image = NDArray[Any]

TRUTH_SEED = 20_150_901
GOAL_NCC = 0.80

# Nothing is known of the albedo under a photograph, so none is invented.
UNIFORM = RenderSettings(albedo_contrast=1.0, albedo_texture=0.0)

NAC_MAPS = ("crisium", "atlas", "tycho")
NAC_PIXEL_M = 0.5
"""Ground resolution that the data set's authors state (NAC CDR near Chang'E-4's site, 45 S)."""
NAC_SIZE_PX = 800
NAC_ALTITUDE_M = 50e3
NAC_SITE_DEG = (-45.5, 177.6)
"""Latitude and longitude of Chang'E-4; the images lie around it."""
NAC_SUN_DEG = (5.5, 14.0, 23.5)
"""Medians of the lowest, middle and highest four of the images' own (`nac_sun`)."""
NAC_SETTINGS = RenderSettings(
    sensor=SensorSettings(blur_sigma_px=0.4), spacing_px=0.35, max_samples=8_000_000
)
"""NAC is sharper than the default camera, and its finest craters need a finer surface."""
FIRST_CHECKED_PLACE = 1
"""Places (seeds) before it were used to choose the relief, with every second image."""
NAC_SHOWN = ("M1231933714", "M134022629", "M1229577647")
"""One for each of NAC_SUN_DEG."""
# LROC numbers its observations by seconds of the spacecraft's clock; from 2012 on 9e8 is added.
# M1144387511 is its picture of LADEE (15 January 2014, 01:11 UTC).
_CLOCK_NUMBER, _CLOCK_UTC = 1_144_387_511 - 900_000_000, datetime(2014, 1, 15, 1, 11)
NAC_MOST_SLOPE_DEG = 3.0
"""The NAC images show the level floor of Von Karman: places rendered slope no more (over 1 km)."""
SHOWN_PX = 320
"""Side of a picture's tile, at a metre a pixel."""
COARSE_BAND = (0.005, 0.04)
FINE_BAND = (0.04, 0.25)
"""Cycles a pixel: wavelengths of 100 to 12.5 m and 12.5 to 2 m."""


def correlation(a: Image, b: Image) -> float:
    """Zero-mean normalised cross-correlation of two images over all their pixels."""
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    x -= x.mean()
    y -= y.mean()
    return float(x @ y / math.sqrt(float(x @ x) * float(y @ y)))


def shrunk(image: Image, factor: int) -> Image:
    """Means over blocks of factor x factor pixels."""
    rows, columns = (side // factor for side in image.shape)
    cut = image[: rows * factor, : columns * factor].astype(np.float64)
    return np.asarray(cut.reshape(rows, factor, columns, factor).mean(axis=(1, 3)))


def with_greys_of(image: Image, model: Image) -> Array:
    """The image under the rising grey curve that gives it the histogram of the model."""
    order = np.argsort(image, axis=None, kind="stable")
    values = np.empty(image.size)
    values[order] = np.interp(
        np.linspace(0.0, 1.0, image.size),
        np.linspace(0.0, 1.0, model.size),
        np.sort(model, axis=None).astype(np.float64),
    )
    return values.reshape(image.shape)


def without_large_scales(image: Image, sigma_px: float) -> Array:
    """The image less its Gaussian mean: brightness trends across the frame taken out."""
    grey = image.astype(np.float64)
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), sigma_px), dtype=np.float64)


def gradient_magnitude(image: Image) -> Array:
    """Magnitude of central differences, a pixel, over the image's standard deviation, sorted.

    Indifferent to gain and offset, which a published picture does not tell.
    """
    grey = image.astype(np.float64)
    along_v = 0.5 * (grey[2:, 1:-1] - grey[:-2, 1:-1])
    along_u = 0.5 * (grey[1:-1, 2:] - grey[1:-1, :-2])
    return np.asarray(np.sort(np.hypot(along_u, along_v), axis=None) / grey.std())


def spectral_slope(image: Image, low: float, high: float) -> float:
    """Exponent of the radial power spectrum between two frequencies (cycles a pixel).

    Power density is averaged over rings an even step of the logarithm wide, under a Hann window;
    the line is fitted to the logarithms of rings, all weighing the same.
    """
    grey = image.astype(np.float64)
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    flat = grey - (grey * window).sum() / window.sum()
    power = np.abs(np.fft.fft2(flat * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.fftfreq(grey.shape[1]))
    edges = np.geomspace(low, high, 13)
    ring = np.digitize(radius, edges)
    logs = []
    for k in range(1, len(edges)):
        inside = ring == k
        if inside.any():
            logs.append((math.log(radius[inside].mean()), math.log(power[inside].mean())))
    x, y = np.array(logs).T
    return float(np.polyfit(x, y, 1)[0])


def statistics(image: Image) -> dict[str, float]:
    """What one image of the ground is compared by."""
    gradient = gradient_magnitude(image)
    grey = image.astype(np.float64)
    return {
        "gradient p50": float(np.percentile(gradient, 50)),
        "gradient p90": float(np.percentile(gradient, 90)),
        "gradient p99": float(np.percentile(gradient, 99)),
        "slope coarse": spectral_slope(image, *COARSE_BAND),
        "slope fine": spectral_slope(image, *FINE_BAND),
        "skewness": float((((grey - grey.mean()) / grey.std()) ** 3).mean()),
    }


# --- Apollo 15 -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Photograph:
    """An Apollo frame, the pose found for it and its listed Sun."""

    name: str
    image: Image
    pose: Pose
    sun_direction: Array
    moved_m: float
    turned_deg: float


def photographs(data: Path, count: int = 3) -> tuple[Camera, list[Photograph]]:
    """The first Apollo frames at the poses that `Localizer` finds from the listed ones.

    The listed pointing is good to 0.8 degrees and time tags are off by 1.1 km along track: the
    fix takes both out, with a prior of 2 km and 1 degree around the listed pose.
    """
    camera = Camera.load(data / "apollo15/camera.yaml")
    frames = json.loads((data / "apollo15/frames.json").read_text())["frames"]
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        moon_map = build_map([_apollo_map(data)], Path(scratch) / "apollo.map")
        localizer = Localizer(moon_map, camera, "cpu")
        for frame in frames[:count]:
            image = load_image(data / "apollo15" / frame["image"])
            listed = Pose(
                np.array(frame["position_moon_me_m"]),
                np.array(frame["quaternion_body_to_camera_xyzw"]),
            )
            sun = np.array(frame["sun_direction_moon_me"])
            prior = Prior(
                listed.position_m, 2000.0, listed.quaternion_xyzw, float(np.deg2rad(1.0)), sun
            )
            fix = localizer.locate(image, prior)
            if fix.position_m is None or fix.quaternion_xyzw is None:
                raise SystemExit(f"{frame['image']}: no fix ({fix.reason})")
            pose = Pose(fix.position_m, fix.quaternion_xyzw)
            turn = pose.rotation_body_to_camera() @ listed.rotation_body_to_camera().T
            found.append(
                Photograph(
                    frame["image"],
                    image,
                    pose,
                    sun,
                    float(np.linalg.norm(pose.position_m - listed.position_m)),
                    math.degrees(math.acos(min(0.5 * (np.trace(turn) - 1.0), 1.0))),
                )
            )
    return camera, found


def _apollo_map(data: Path) -> Path:
    return data / "maps/apollo15_rev16_64ppd.tif"


def likeness(photograph: Image, rendering: Image) -> dict[str, float]:
    """Correlations of a photograph with its rendering, whole frame."""
    small, small_rendering = shrunk(photograph, 4), shrunk(rendering, 4)
    return {
        "quarter scale": correlation(small, small_rendering),
        "full scale": correlation(photograph, rendering),
        "quarter, greys matched": correlation(small, with_greys_of(small_rendering, small)),
        "quarter, trends out": correlation(
            without_large_scales(small, 20.0), without_large_scales(small_rendering, 20.0)
        ),
    }


def _worst(rows: list[dict[str, Any]]) -> tuple[float, float]:
    return min(row["quarter scale"] for row in rows), min(row["full scale"] for row in rows)


def apollo(data: Path, out: Path | None) -> dict[str, Any]:
    """Correlation of rendering and photograph under settings that make a difference."""
    camera, frames = photographs(data)
    smooth = ReliefSettings(fractal=0.0, craters=0.0)
    no_surge = replace(UNIFORM, hapke=Hapke(opposition_amplitude=0.0))
    cases: dict[str, tuple[RenderSettings, ReliefSettings]] = {
        "uniform albedo": (UNIFORM, ReliefSettings()),
        "default": (RenderSettings(), ReliefSettings()),
        "uniform, fine albedo texture": (
            replace(RenderSettings(), albedo_contrast=1.0),
            ReliefSettings(),
        ),
        "uniform, no relief below the map": (UNIFORM, smooth),
        "uniform, no opposition surge": (no_surge, ReliefSettings()),
    }
    rows, pictures = [], []
    for label, (settings, relief) in cases.items():
        terrain = TruthTerrain.from_geotiff(_apollo_map(data), TRUTH_SEED, relief)
        for frame in frames:
            made = render(terrain, camera, frame.pose, frame.sun_direction, settings=settings)
            if not np.isfinite(made.depth_m).all():
                raise SystemExit(f"{frame.name}: sky in the frame; correlate its ground alone")
            rows.append(
                {"settings": label, "frame": frame.name, **likeness(frame.image, made.image)}
            )
            if label == "uniform albedo":
                pictures.append(np.hstack([frame.image, made.image]))
    poses = [{"frame": f.name, "moved m": f.moved_m, "turned deg": f.turned_deg} for f in frames]
    show("Poses: the fix against the listed pose", poses)
    show("Rendering against photograph, NCC of the whole frame", rows)
    worst = [
        {"settings": label, "quarter scale": quarter, "full scale": full, "reached": reached}
        for label in cases
        for quarter, full in [_worst([row for row in rows if row["settings"] == label])]
        for reached in [min(quarter, full) >= GOAL_NCC]
    ]
    show(f"No grey mapping: worst of the frames (goal {GOAL_NCC:.2f} at both scales)", worst)
    if out is not None:
        _write_picture(out / "rendered_apollo15.png", shrunk(pictures[0], 2))
    return {"poses": poses, "frames": rows, "worst": worst}


# --- LROC NAC ------------------------------------------------------------------------------------


def nac_images(data: Path) -> dict[str, Image]:
    """The NAC images by observation."""
    paths = sorted((data / "nac_craters").glob("*.png"))
    if not paths:
        raise SystemExit(f"{data / 'nac_craters'}: no images there")
    return {path.name.split("_")[0]: load_image(path) for path in paths}


def nac_sun(observation: str) -> tuple[float, float]:
    """Elevation of the Sun (degrees) when an image was taken, and its direction's part to the east.

    From the observation's number. What speaks for it: it is day in all twelve, the images darkest
    with shadow are those of the lowest Sun, and craters are lit from the side that it says.
    """
    number = int(observation.removeprefix("M"))
    number -= 900_000_000 if number > 1_000_000_000 else 0
    sun = sun_direction_moon_me(_CLOCK_UTC + timedelta(seconds=number - _CLOCK_NUMBER))
    latitude, longitude = np.radians(NAC_SITE_DEG)
    east, _, up = east_north_up(position_from_geographic(latitude, longitude, 0.0))
    return math.degrees(math.asin(float(sun @ up))), float(sun @ east)


def level_place(terrain: TruthTerrain, rng: np.random.Generator) -> tuple[int, int]:
    """A pixel, well off the border, around which the map is about level over a kilometre."""
    grid, lag, border = terrain.grid, 4, 60
    height = grid.height_m
    for _ in range(10_000):
        row = int(rng.integers(border, height.shape[0] - border))
        column = int(rng.integers(border, height.shape[1] - border))
        cosine = math.cos(math.radians(grid.latitude_deg + row * grid.step_latitude_deg))
        rise_v = float(height[row + lag, column] - height[row - lag, column])
        rise_u = float(height[row, column + lag] - height[row, column - lag]) / cosine
        slope = math.hypot(rise_u, rise_v) / (2 * lag * grid.spacing_m)
        if slope <= math.tan(math.radians(NAC_MOST_SLOPE_DEG)):
            return row, column
    raise SystemExit("map: no level ground on it")


def nac_like(
    terrain: TruthTerrain,
    seed: int,
    sun_deg: float,
    settings: RenderSettings | None = None,
    size_px: int = NAC_SIZE_PX,
) -> Image:
    """A view straight down on level ground, at NAC's resolution, Sun in the west or east."""
    grid = terrain.grid
    rng = np.random.default_rng([seed, 41])
    row, column = level_place(terrain, rng)
    latitude = math.radians(grid.latitude_deg + row * grid.step_latitude_deg)
    longitude = math.radians(grid.longitude_deg + column * grid.step_longitude_deg)
    position = position_from_geographic(
        latitude, longitude, float(grid.height_m[row, column]) + NAC_ALTITUDE_M
    )
    focal = NAC_ALTITUDE_M / NAC_PIXEL_M
    middle = 0.5 * (size_px - 1)
    camera = Camera(size_px, size_px, focal, focal, middle, middle, (0.0, 0.0, 0.0, 0.0, 0.0))
    east, _, up = east_north_up(position)
    side = 1.0 if rng.uniform() < 0.5 else -1.0
    elevation = math.radians(sun_deg)
    sun = side * math.cos(elevation) * east + math.sin(elevation) * up
    pose = Pose(position, pointing(position, 0.0, 0.0, 0.0))
    return render(terrain, camera, pose, sun, seed=seed, settings=settings).image


def _bounds(rows: list[dict[str, Any]], names: list[str]) -> dict[str, tuple[float, float]]:
    return {
        name: (min(row[name] for row in rows), max(row[name] for row in rows)) for name in names
    }


def _against(
    rows: list[dict[str, Any]], bounds: Mapping[str, tuple[float, float]]
) -> list[dict[str, Any]]:
    """Median of each statistic and the share of images within its bounds."""
    table = []
    for name, (low, high) in bounds.items():
        values = np.array([row[name] for row in rows])
        table.append(
            {
                "statistic": name,
                "NAC low": low,
                "NAC high": high,
                "rendered low": float(values.min()),
                "median": float(np.median(values)),
                "rendered high": float(values.max()),
                "share within": float(((values >= low) & (values <= high)).mean()),
            }
        )
    return table


def _by_sun(real: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Skewness of the images nearest to each of the Sun's elevations, and of renderings there."""
    nearest = [min(NAC_SUN_DEG, key=lambda sun_deg: abs(sun_deg - row["Sun deg"])) for row in real]
    table = []
    for sun_deg in NAC_SUN_DEG:
        there = [row["skewness"] for row, at in zip(real, nearest, strict=True) if at == sun_deg]
        made = [row["skewness"] for row in rows if row["Sun deg"] == sun_deg]
        table.append(
            {
                "Sun deg": sun_deg,
                "NAC low": min(there),
                "NAC median": float(np.median(there)),
                "NAC high": max(there),
                "rendered median": float(np.median(made)),
            }
        )
    return table


def nac(data: Path, out: Path | None, seeds: int, other_relief: bool) -> dict[str, Any]:
    """Statistics of NAC images, and of renderings against the range that those span."""
    photos = nac_images(data)
    sorted_gradients = {name: gradient_magnitude(image) for name, image in photos.items()}
    quantiles = np.linspace(0.0005, 0.9995, 1000)
    # Every image weighs the same; quantiles stand for a distribution.
    curves = {name: np.quantile(values, quantiles) for name, values in sorted_gradients.items()}
    real = []
    for name, image in photos.items():
        others = np.concatenate([curve for other, curve in curves.items() if other != name])
        real.append(
            {
                "image": name,
                "Sun deg": nac_sun(name)[0],
                **statistics(image),
                "Wasserstein": float(wasserstein_distance(curves[name], others)),
            }
        )
    show("LROC NAC (Wasserstein: an image's gradients against those of all others)", real)
    names = [name for name in real[0] if name not in ("image", "Sun deg")]
    bounds, kept = _bounds(real, names), _bounds(real[1::2], names)
    pooled = np.concatenate(list(curves.values()))

    set_relief = ReliefSettings()
    cases = {"as set": (set_relief, NAC_SETTINGS)}
    if other_relief:
        cases |= {
            "no fractal": (replace(set_relief, fractal=0.0), NAC_SETTINGS),
            "double fractal": (replace(set_relief, fractal=2.0), NAC_SETTINGS),
            "regolith 10 m": (replace(set_relief, regolith_m=10.0), NAC_SETTINGS),
            "no craters": (replace(set_relief, craters=0.0), NAC_SETTINGS),
            "half as deep craters": (replace(set_relief, craters=0.5), NAC_SETTINGS),
            "blur 0.7 px": (set_relief, replace(NAC_SETTINGS, sensor=SensorSettings())),
            "default blur and sampling": (set_relief, RenderSettings()),
        }
    results: dict[str, Any] = {"nac": real}
    pictures = []
    for label, (relief, settings) in cases.items():
        rows = []
        for map_name in NAC_MAPS:
            source = data / f"maps/{map_name}_256ppd.tif"
            terrain = TruthTerrain.from_geotiff(source, TRUTH_SEED, relief)
            for seed in range(FIRST_CHECKED_PLACE, FIRST_CHECKED_PLACE + seeds):
                for sun_deg in NAC_SUN_DEG:
                    image = nac_like(terrain, seed, sun_deg, settings)
                    curve = np.quantile(gradient_magnitude(image), quantiles)
                    rows.append(
                        {
                            "map": map_name,
                            "seed": seed,
                            "Sun deg": sun_deg,
                            **statistics(image),
                            "Wasserstein": float(wasserstein_distance(curve, pooled)),
                        }
                    )
                    shown = label == "as set" and seed == FIRST_CHECKED_PLACE
                    if shown and sun_deg == NAC_SUN_DEG[NAC_MAPS.index(map_name)]:
                        pictures.append(image)
        table = _against(rows, bounds)
        if label == "as set":
            show("Rendered at 0.5 m a pixel", rows)
        show(f"Rendered, {label}: against the range of NAC images", table)
        checked = _against(rows, kept)
        show(f"Rendered, {label}: against the NAC images kept for checking", checked)
        lit = _by_sun(real, rows)
        show(f"Rendered, {label}: skewness by the Sun", lit)
        results[label] = {"images": rows, "against": table, "checked": checked, "by Sun": lit}
    if out is not None:
        real_row = [photos[name] for name in NAC_SHOWN]
        rows_shown = [
            np.hstack([shrunk(image, 2)[:SHOWN_PX, :SHOWN_PX] for image in row])
            for row in (real_row, pictures)
        ]
        _write_picture(out / "rendered_nac.png", np.vstack(rows_shown))
    return results


def _write_picture(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    done, encoded = cv2.imencode(".png", np.rint(image).astype(np.uint8))
    if not done:
        raise SystemExit(f"{path}: cannot be written as PNG")
    path.write_bytes(encoded.tobytes())


def main() -> None:
    """Run one bench, or both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["apollo", "nac"], help="both if left out")
    parser.add_argument("--data", type=Path, help="default TRN_DATA or ../shared/data")
    parser.add_argument("--out", type=Path, help="folder for pictures")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="places a map (nac)")
    parser.add_argument("--relief", action="store_true", help="try other relief and blur too (nac)")
    given = parser.parse_args()
    data = given.data or data_folder()
    results: dict[str, Any] = {}
    if given.what != "nac":
        results["apollo"] = apollo(data, given.out)
    if given.what != "apollo":
        results["nac"] = nac(data, given.out, given.seeds, given.relief)
    save(given.json, results)


if __name__ == "__main__":
    main()
