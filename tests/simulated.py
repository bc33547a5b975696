"""A small map and scenarios over it, for the tests of trn.simulate."""

from __future__ import annotations

from pathlib import Path

from trn.maps.build import build_map
from trn.simulate.site import synthetic_site

LATITUDE_DEG, LONGITUDE_EAST_DEG = 46.5, 44.5

SMALL = f"""
name = "small"
title = "A small descent"
end_utc = "2023-04-26T04:00:00"

[site]
latitude_deg = {LATITUDE_DEG}
longitude_east_deg = {LONGITUDE_EAST_DEG}

[trajectory]
kind = "descent"
heading_deg = 30.0

[camera]
width = 96
height = 80
rate_hz = 1.0

[altimeter]
rate_hz = 5.0

[imu]
rate_hz = 50.0

[terrain]
region = "atlas"
"""


def small_map(folder: Path) -> Path:
    """A map of a site made by code, some 900 m a pixel; made once a folder."""
    out = folder / "site.map"
    if not out.exists():
        tif = synthetic_site(folder / "site.tif", size_deg=4.0, pixels_per_degree=32)
        build_map([tif], out)
    return out
