"""Apollo 15 frames identified without a position, and how the Moon's heights are correlated."""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio

from bench.apollo import apollo_15
from bench.tables import data_folder, show
from trn.detect import detect_craters
from trn.identify import CraterIndex, identify
from trn.identify.heights import height_covariance, index_over
from trn.maps.catalog_file import read_catalog
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up

ATTITUDE_SIGMA_RAD = float(np.deg2rad(1.0))
"""The listed pointing is good to about 0.8 degrees."""
SMALLEST_PX = 25.0
"""The catalogue's smallest craters are 28 px wide: others are not looked for."""
PAIRS = 400_000
APART_KM = (5, 20, 50, 100, 200, 400, 800, 1200, 2000)


def apollo() -> dict[str, Any]:
    """Where three frames are identified from, beside the fix by landmarks, heights known or not.

    The fix is some tens of metres off; the catalogue is that of craters above 5 km.
    """
    catalog = read_catalog(data_folder() / "catalogs/lunar_craters_5km.csv").catalog
    rows = []
    with apollo_15() as flight:
        indices = {
            "not known": CraterIndex.of(catalog, height_known=False),
            "of the map": index_over(flight.moon_map, catalog),
        }
        for frame in flight.frames:
            fix_m = flight.fixed(frame).position_m
            found = detect_craters(frame.image, smallest_px=SMALLEST_PX)
            told = {
                "quaternion_xyzw": frame.values["quaternion_body_to_camera_xyzw"],
                "attitude_sigma_rad": ATTITUDE_SIGMA_RAD,
            }
            for attitude, options in (("told to 1 deg", told), ("not told", {})):
                for heights, index in indices.items():
                    known_as = identify(found, flight.camera, index, **options)
                    row = {"frame": frame.name, "attitude": attitude, "heights": heights}
                    rows.append(row | _beside(known_as, fix_m))
    show("Apollo 15 frames without a position prior, beside the fix by landmarks", rows)
    return {"apollo": rows}


def _beside(found: Any, fix_m: np.ndarray) -> dict[str, Any]:
    """Matches and errors of an identification; blank where there is none."""
    if found.pose is None or found.covariance is None:
        return dict.fromkeys(("matches", "level km", "up km", "1 sigma km", "NEES (3)"), "")
    off = found.pose.position_m - fix_m
    east, north, up = east_north_up(fix_m) @ off
    spread = found.covariance[:3, :3]
    return {
        "matches": len(found.ids),
        "level km": float(np.hypot(east, north)) / 1e3,
        "up km": float(up) / 1e3,
        "1 sigma km": float(np.sqrt(spread.trace())) / 1e3,
        "NEES (3)": float(off @ np.linalg.solve(spread, off)),
    }


def moon_heights() -> dict[str, Any]:
    """Correlation of heights over distance, measured and as trn.identify.heights supposes it."""
    with rasterio.open(data_folder() / "maps/moon_16ppd.tif") as file:
        heights = np.where(file.read(1) == file.nodata, np.nan, file.read(1)).astype(np.float64)
        to_pixel = ~file.transform
    generator = np.random.default_rng(0)
    here = _unit(generator.normal(size=(PAIRS, 3)))

    def height_of(place: np.ndarray) -> np.ndarray:
        latitude = np.degrees(np.arcsin(np.clip(place[:, 2], -1.0, 1.0)))
        column, row = to_pixel * (np.degrees(np.arctan2(place[:, 1], place[:, 0])), latitude)
        rows = np.clip(row.astype(int), 0, heights.shape[0] - 1)
        return heights[rows, np.clip(column.astype(int), 0, heights.shape[1] - 1)]

    one = height_of(here)
    mean, variance = float(np.nanmean(one)), float(np.nanvar(one))
    supposed = float(height_covariance(np.zeros(1))[0])
    models = height_covariance(1e3 * np.array(APART_KM))
    rows = []
    for apart_km, model in zip(APART_KM, models):
        aside = generator.normal(size=(PAIRS, 3))
        aside = _unit(aside - (aside * here).sum(axis=1, keepdims=True) * here)
        turn = 1e3 * apart_km / REFERENCE_RADIUS_M
        other = height_of(np.cos(turn) * here + np.sin(turn) * aside)
        rows.append(
            {
                "apart km": apart_km,
                "correlation": float(np.nanmean((one - mean) * (other - mean)) / variance),
                "supposed": float(model / supposed),
            }
        )
    show(
        f"Heights of the Moon: mean {mean:.0f} m, standard deviation {variance**0.5:.0f} m "
        f"(supposed {supposed**0.5:.0f} m)",
        rows,
    )
    return {"heights": rows}


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
