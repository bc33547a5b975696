"""Where the Sun stands, from UTC, without any download.

The Moon's place comes from astronomy-engine (VSOP87 and ELP truncated to about an arcminute), its
rotation from the IAU report's series (Archinal et al. 2018) in the same package; that frame differs
from MOON_ME by less than 0.01 deg.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

import astronomy
import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError

_FORM = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|\+00:00)?")


def sun_direction_moon_me(utc: str | datetime) -> NDArray[np.float64]:
    """Unit vector from the Moon's centre to the Sun, body-fixed (MOON_ME), shape (3,).

    utc: ISO 8601 text or a datetime (without a zone: UTC). Raises InputError where it is no time.
    """
    moment = utc if isinstance(utc, datetime) else parse_utc(utc)
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc)
    seconds = moment.second + 1e-6 * moment.microsecond
    time = astronomy.Time.Make(
        moment.year, moment.month, moment.day, moment.hour, moment.minute, seconds
    )
    moon = astronomy.HelioVector(astronomy.Body.Moon, time)
    to_sun = -np.array([moon.x, moon.y, moon.z])
    axis = astronomy.RotationAxis(astronomy.Body.Moon, time)
    pole = np.array([axis.north.x, axis.north.y, axis.north.z])
    # The prime meridian stands `spin` degrees east of the equator's ascending node.
    node = np.array([-np.sin(np.deg2rad(15 * axis.ra)), np.cos(np.deg2rad(15 * axis.ra)), 0.0])
    quarter = np.cross(pole, node)
    spin = np.deg2rad(axis.spin)
    x = np.cos(spin) * node + np.sin(spin) * quarter
    direction = np.array([to_sun @ x, to_sun @ np.cross(pole, x), to_sun @ pole])
    return np.asarray(direction / np.linalg.norm(direction))


def sun_direction_at_ns(time_ns: int) -> NDArray[np.float64]:
    """As `sun_direction_moon_me`, at a stamp in nanoseconds since 1970-01-01, UTC."""
    return sun_direction_moon_me(datetime.fromtimestamp(time_ns / 1e9, timezone.utc))


def parse_utc(text: str) -> datetime:
    """The time of an ISO 8601 text, without a zone; raises InputError where it is none."""
    if not _FORM.fullmatch(text):
        raise InputError(f'utc {text!r} is not a time; write "2023-04-25T16:40:00"')
    try:
        whole, _, fraction = (
            text.replace(" ", "T").removesuffix("Z").removesuffix("+00:00").partition(".")
        )
        moment = datetime.fromisoformat(whole)
    except ValueError as error:
        raise InputError(f"utc {text!r} is not a time ({error})") from error
    return moment.replace(microsecond=int(fraction.ljust(6, "0")[:6]) if fraction else 0)
