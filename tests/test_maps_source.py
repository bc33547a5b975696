"""Products are read as they come from the archives: labels, units and projections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from maps_products import GEOGRAPHIC, MOON_2000, NORTH_POLAR, terrain, write_raster, write_terrain

from trn.errors import InputError
from trn.maps.grid import Projection, geographic_from_plane, grid_of, plane_from_geographic
from trn.maps.source import ElevationSource

# The keys of LDEM_4.LBL (LOLA GDR, PDS Geosciences Node), whose MAP_SCALE is rounded.
LOLA_LABEL = """PDS_VERSION_ID = "PDS3"
RECORD_TYPE = FIXED_LENGTH
RECORD_BYTES = 2880
FILE_RECORDS = 720
^IMAGE = "LDEM_4.IMG"
TARGET_NAME = "MOON"
OBJECT = IMAGE
  NAME = HEIGHT
  LINES = 720
  LINE_SAMPLES = 1440
  SAMPLE_TYPE = LSB_INTEGER
  SAMPLE_BITS = 16
  UNIT = METER
  SCALING_FACTOR = 0.5
  OFFSET = 1737400.
END_OBJECT = IMAGE
OBJECT = IMAGE_MAP_PROJECTION
  MAP_PROJECTION_TYPE = "SIMPLE CYLINDRICAL"
  A_AXIS_RADIUS = 1737.4 <KM>
  B_AXIS_RADIUS = 1737.4 <KM>
  C_AXIS_RADIUS = 1737.4 <KM>
  POSITIVE_LONGITUDE_DIRECTION = "EAST"
  CENTER_LATITUDE = 0.0 <DEGREE>
  CENTER_LONGITUDE = 180.0 <DEGREE>
  MAP_RESOLUTION = 4.0 <PIX/DEG>
  MAP_SCALE = 7580.83 <METERS/PIXEL>
  MAXIMUM_LATITUDE = 90.0 <DEGREE>
  MINIMUM_LATITUDE = -90.0 <DEGREE>
  WESTERNMOST_LONGITUDE = 0.0 <DEGREE>
  EASTERNMOST_LONGITUDE = 360.0 <DEGREE>
  LINE_PROJECTION_OFFSET = 359.5 <PIXEL>
  SAMPLE_PROJECTION_OFFSET = 719.5 <PIXEL>
END_OBJECT = IMAGE_MAP_PROJECTION
END
"""


def test_a_lola_product_is_read_by_its_label(tmp_path: Path) -> None:
    latitude = 90.0 - (np.arange(720) + 0.5) / 4.0
    longitude = (np.arange(1440) + 0.5) / 4.0
    heights = terrain(latitude[:, None], longitude[None])
    np.round(heights / 0.5).astype("<i2").tofile(tmp_path / "LDEM_4.IMG")
    label = tmp_path / "LDEM_4.LBL"
    label.write_text(LOLA_LABEL.replace("\n", "\r\n"), newline="")
    source = ElevationSource.open(label)
    assert {file.name for file in source.files} == {"LDEM_4.LBL", "LDEM_4.IMG"}
    assert source.raster.periodic
    rows, columns = np.mgrid[5:700:41, 0:1440:37]
    found = source.sample(
        np.deg2rad(latitude[rows].ravel()), np.deg2rad(longitude[columns].ravel())
    )
    assert found == pytest.approx(heights[rows, columns].ravel(), abs=0.26)


def flat(path: Path, value: float, crs: str = GEOGRAPHIC) -> Path:
    return write_raster(
        path, np.full((40, 40), value, dtype=np.float64), (0.0, 1.0), (0.01, 0.01), crs
    )


@pytest.mark.parametrize(
    ("stored", "unit", "height_m"),
    [
        (250.0, None, 250.0),
        (250.0, "metre", 250.0),
        (0.25, "km", 250.0),
        (1_737_650.0, "m", 250.0),
        (1_737.65, "kilometers", 250.0),
        (1_737.65, None, 250.0),
        (1_737.5, "m", 1_737.5),
    ],
)
def test_units_and_radii_become_heights_in_metres(
    tmp_path: Path, stored: float, unit: str | None, height_m: float
) -> None:
    path = flat(tmp_path / "a.tif", stored)
    if unit is not None:
        with rasterio.open(path, "r+") as dataset:
            dataset.units = (unit,)
    here = np.deg2rad([0.8]), np.deg2rad([0.2])
    assert ElevationSource.open(path).sample(*here) == pytest.approx(height_m, abs=1e-3)


def test_heights_above_another_sphere_are_brought_to_the_reference(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.tif", 100.0, "+proj=longlat +R=1738000 +no_defs")
    here = np.deg2rad([0.8]), np.deg2rad([0.2])
    assert ElevationSource.open(path).sample(*here) == pytest.approx(700.0)


def test_an_unknown_unit_a_turned_raster_and_emptiness_are_refused(tmp_path: Path) -> None:
    fathoms = flat(tmp_path / "fathoms.tif", 5.0)
    with rasterio.open(fathoms, "r+") as dataset:
        dataset.units = ("fathom",)
    with pytest.raises(InputError, match=r"fathoms\.tif: unit 'fathom'"):
        ElevationSource.open(fathoms)
    turned = flat(tmp_path / "turned.tif", 5.0)
    with rasterio.open(turned, "r+") as dataset:
        dataset.transform = rasterio.Affine(0.01, 0.001, 0.0, 0.0, -0.01, 1.0)
    with pytest.raises(InputError, match=r"turned\.tif: geotransform"):
        ElevationSource.open(turned)
    with pytest.raises(InputError, match=r"empty\.tif: band 1: nothing but nodata"):
        ElevationSource.open(flat(tmp_path / "empty.tif", np.nan))


def test_a_flattened_moon_is_refused(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.tif", 5.0, "+proj=longlat +a=1738100 +b=1736000 +no_defs")
    with pytest.raises(InputError, match="ellipsoid"):
        ElevationSource.open(path)


@pytest.mark.parametrize("crs", [GEOGRAPHIC, MOON_2000])
def test_the_usual_geographic_systems_are_known(tmp_path: Path, crs: str) -> None:
    with rasterio.open(flat(tmp_path / "a.tif", 5.0, crs)) as dataset:
        grid = grid_of(dataset)
    assert grid is not None and grid.projection == "geographic"


def test_the_coverage_of_a_polar_tile_beside_the_pole(tmp_path: Path) -> None:
    # A quadrant whose corner is the pole: longitudes 0 to 90.
    path = write_terrain(tmp_path / "q.tif", (100, 100), (0.0, 0.0), 1000.0, NORTH_POLAR)
    coverage = ElevationSource.open(path).coverage
    assert (coverage.west, coverage.east) == pytest.approx((0.0, 90.0), abs=1e-6)
    assert coverage.north == pytest.approx(90.0)


@given(
    latitude_deg=st.floats(-89.9, 89.9),
    longitude_deg=st.floats(-180.0, 180.0),
    projection=st.sampled_from(["north_polar", "south_polar"]),
)
@settings(max_examples=100, deadline=None)
def test_polar_planes_are_those_of_proj(
    latitude_deg: float, longitude_deg: float, projection: Projection
) -> None:
    north = projection == "north_polar"
    if (latitude_deg > 0) != north:
        latitude_deg = -latitude_deg
    system = pyproj.CRS.from_proj4(
        f"+proj=stere +lat_0={90 if north else -90} +lon_0=0 +k=1 +R=1737400 +units=m +no_defs"
    )
    to_plane = pyproj.Transformer.from_crs(system.geodetic_crs, system, always_xy=True)
    expected = to_plane.transform(longitude_deg, latitude_deg)
    x, y = plane_from_geographic(projection, np.deg2rad(latitude_deg), np.deg2rad(longitude_deg))
    assert (float(x), float(y)) == pytest.approx(expected, abs=1e-5)
    latitude, longitude = geographic_from_plane(projection, x, y)
    assert np.rad2deg(latitude) == pytest.approx(latitude_deg, abs=1e-9)
    turn = np.rad2deg(longitude) - longitude_deg
    assert (turn + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=1e-8)
