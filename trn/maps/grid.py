"""Where the pixels of a map lie on the Moon."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trn.maps.sampling import GEOGRAPHIC, NORTH_POLAR, SOUTH_POLAR, pixel_coordinates
from trn.moon.constants import REFERENCE_RADIUS_M

Float64 = NDArray[np.float64]

Projection = Literal["geographic", "north_polar", "south_polar"]

CRS_OF: dict[Projection, str] = {
    "geographic": "IAU_2015:30100",
    "north_polar": "IAU_2015:30130",
    "south_polar": "IAU_2015:30135",
}

_KIND: dict[Projection, int] = {
    "geographic": GEOGRAPHIC,
    "north_polar": NORTH_POLAR,
    "south_polar": SOUTH_POLAR,
}


@dataclass(frozen=True)
class Grid:
    """A north-up raster on the Moon.

    left, top: outer corner of the first pixel; pixel_x, pixel_y: size of a pixel, both positive;
    in degrees where geographic, in metres of the polar plane (true at the pole) otherwise.
    """

    projection: Projection
    rows: int
    columns: int
    left: float
    top: float
    pixel_x: float
    pixel_y: float

    @property
    def right(self) -> float:
        """Outer edge of the last column."""
        return self.left + self.columns * self.pixel_x

    @property
    def bottom(self) -> float:
        """Outer edge of the last row."""
        return self.top - self.rows * self.pixel_y

    @property
    def periodic(self) -> bool:
        """Whether the columns go around the Moon exactly once."""
        return (
            self.projection == "geographic"
            and abs(self.columns * self.pixel_x - 360.0) < 1e-3 * self.pixel_x
        )

    @property
    def resolution_m(self) -> float:
        """Height of a pixel on the ground (at the pole where polar), in metres."""
        if self.projection == "geographic":
            return float(np.deg2rad(self.pixel_y) * REFERENCE_RADIUS_M)
        return self.pixel_y

    def overview(self, rows: int, columns: int) -> Grid:
        """The grid of an overview: fewer pixels over the same ground."""
        return replace(
            self,
            rows=rows,
            columns=columns,
            pixel_x=self.pixel_x * self.columns / columns,
            pixel_y=self.pixel_y * self.rows / rows,
        )

    @property
    def kind(self) -> int:
        """The projection as trn.maps.sampling has it."""
        return _KIND[self.projection]

    def geometry(self, longitude_rad: Float64) -> Float64:
        """left, top, pixel_x, pixel_y, radius (m) and middle longitude (radians), shape (6,).

        Where geographic, longitudes are taken within half a turn of the middle: the grid's, or that
        of the points, shape (n,), where the grid goes around the Moon.
        """
        centre = np.deg2rad(0.5 * (self.left + self.right))
        if self.periodic:
            some = longitude_rad[:: max(1, longitude_rad.size // 1024)]
            some = some[np.isfinite(some)]
            centre = np.arctan2(np.sin(some).sum(), np.cos(some).sum())
        return np.array(
            [self.left, self.top, self.pixel_x, self.pixel_y, REFERENCE_RADIUS_M, centre]
        )

    def pixel_coordinates(
        self, latitude_rad: Float64, longitude_rad: Float64
    ) -> tuple[Float64, Float64]:
        """Rows and columns, shape (n,), of points of latitude and longitude (radians, shape (n,)).

        Longitudes are taken as `geometry` says.
        """
        geometry = self.geometry(longitude_rad)
        return pixel_coordinates(self.kind, geometry, latitude_rad, longitude_rad)

    def geographic(self, row: Any, column: Any) -> tuple[Float64, Float64]:
        """Latitude and longitude (radians) of rows and columns, counted from pixel centres."""
        x = self.left + (np.asarray(column, dtype=np.float64) + 0.5) * self.pixel_x
        y = self.top - (np.asarray(row, dtype=np.float64) + 0.5) * self.pixel_y
        return geographic_from_plane(self.projection, x, y)


def geographic_from_plane(projection: Projection, x: Any, y: Any) -> tuple[Float64, Float64]:
    """Latitude and longitude (radians) of map coordinates (degrees, or metres where polar).

    Snyder (1987), Map Projections: a Working Manual, equations 20-14 and 20-16 on the sphere.
    """
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    if projection == "geographic":
        return np.deg2rad(y), np.deg2rad(x)
    colatitude = 2.0 * np.arctan2(np.hypot(x, y), 2.0 * REFERENCE_RADIUS_M)
    if projection == "north_polar":
        return 0.5 * np.pi - colatitude, np.arctan2(x, -y)
    return colatitude - 0.5 * np.pi, np.arctan2(x, y)


def plane_from_geographic(
    projection: Projection, latitude_rad: Any, longitude_rad: Any
) -> tuple[Float64, Float64]:
    """Map coordinates (degrees, or metres where polar) of latitude and longitude (radians)."""
    unit = Grid(projection, 1, 1, 0.0, 0.0, 1.0, 1.0)
    latitude, longitude = np.broadcast_arrays(
        np.asarray(latitude_rad, dtype=np.float64), np.asarray(longitude_rad, dtype=np.float64)
    )
    row, column = unit.pixel_coordinates(latitude.ravel(), longitude.ravel())
    return (column + 0.5).reshape(latitude.shape), (-row - 0.5).reshape(latitude.shape)


def grid_of(dataset: Any) -> Grid | None:
    """The grid of an open rasterio dataset where a map can have such a one, else None.

    An equirectangular raster is a geographic one but for the unit of its axes (Snyder 1987,
    equations 12-1 and 12-2). Polar stereographic ones must be those of `CRS_OF`.
    """
    transform = dataset.transform
    terms: dict[str, Any] = {} if dataset.crs is None else dataset.crs.to_dict()
    radius_m = terms.get("R", terms.get("a"))
    if radius_m is None or {"pm", "axis", "to_meter"} & terms.keys():
        return None
    if transform.b != 0 or transform.d != 0 or transform.a <= 0 or transform.e >= 0:
        return None
    rows, columns = dataset.shape
    left, top, pixel_x, pixel_y = transform.c, transform.f, transform.a, -transform.e
    name = terms.get("proj")
    if name == "longlat":
        pixel_x = _whole_turn(pixel_x, columns)
        return Grid("geographic", rows, columns, left, top, pixel_x, pixel_y)
    if terms.get("units", "m") != "m":
        return None
    lon_0, x_0, y_0 = (terms.get(key, 0.0) for key in ("lon_0", "x_0", "y_0"))
    lat_0 = terms.get("lat_0", 0.0)
    if name == "eqc":
        metres_y = np.deg2rad(radius_m)
        metres_x = metres_y * np.cos(np.deg2rad(terms.get("lat_ts", 0.0)))
        degrees_x = _whole_turn(pixel_x / metres_x, columns)
        degrees_y = pixel_y / metres_y
        if dataset.driver == "PDS":
            degrees_x, degrees_y = _unrounded(degrees_x, columns), _unrounded(degrees_y, rows)
        # The corner as pixels from the projection's origin is free of a rounded pixel size.
        return Grid(
            "geographic",
            rows,
            columns,
            _tidy((left - x_0) / pixel_x * degrees_x + lon_0),
            _tidy((top - y_0) / pixel_y * degrees_y + lat_0),
            _tidy(degrees_x),
            _tidy(degrees_y),
        )
    true_at_pole = terms.get("lat_ts", lat_0) == lat_0 and terms.get("k", terms.get("k_0", 1)) == 1
    plain = lon_0 == x_0 == y_0 == 0 and abs(radius_m - REFERENCE_RADIUS_M) < 1e-6
    if name == "stere" and abs(lat_0) == 90 and true_at_pole and plain:
        projection: Projection = "north_polar" if lat_0 > 0 else "south_polar"
        return Grid(projection, rows, columns, left, top, pixel_x, pixel_y)
    return None


def _whole_turn(pixel_deg: float, columns: int) -> float:
    """The size of a pixel, such that columns that nearly go around the Moon do so exactly."""
    turn = 360.0 / columns
    return turn if abs(pixel_deg - turn) * columns < 0.5 * turn else pixel_deg


def _unrounded(pixel_deg: float, pixels: int) -> float:
    """The size of a pixel, a whole number in a degree where the label's rounding hides it.

    PDS labels give metres in a few digits; over a large product that is a part of a pixel.
    """
    whole = 1.0 / max(round(1.0 / pixel_deg), 1)
    near = abs(pixel_deg - whole) < 2e-5 * whole and abs(pixel_deg - whole) * pixels < 0.5 * whole
    return whole if near else pixel_deg


def _tidy(degrees: float) -> float:
    """Degrees without the last digits that metres leave behind (1e-12 deg is 30 nm)."""
    return float(np.round(degrees, 12))
