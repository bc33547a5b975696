"""The Sun stands where independent sources put it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from trn.errors import InputError
from trn.moon.sun import sun_direction_moon_me


def angle_deg(a: object, b: object) -> float:
    cross = np.linalg.norm(np.cross(np.asarray(a), np.asarray(b)))
    return float(np.rad2deg(np.arctan2(cross, np.dot(np.asarray(a), np.asarray(b)))))


def test_the_sun_of_the_apollo_15_frames(data_dir: Path) -> None:
    """USGS reconstructed the body-fixed Sun of each frame with SPICE kernels."""
    frames = json.loads((data_dir / "apollo15" / "frames.json").read_text())["frames"]
    assert len(frames) == 3
    for frame in frames:
        given = np.array(frame["sun_direction_moon_me"])
        assert angle_deg(sun_direction_moon_me(frame["utc"]), given) < 0.01


def test_the_sun_goes_round_westward_once_a_synodic_month_and_stays_near_the_equator() -> None:
    start = datetime(2024, 1, 1, tzinfo=timezone.utc)
    directions = np.array(
        [sun_direction_moon_me(start + timedelta(days=day)) for day in range(355)]
    )
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, atol=1e-15)
    longitude = np.unwrap(np.arctan2(directions[:, 1], directions[:, 0]))
    # Mean synodic month: 29.530589 days (Meeus, Astronomical Algorithms, chapter 49).
    month_days = -354 * 2 * np.pi / (longitude[-1] - longitude[0])
    assert month_days == pytest.approx(29.530589, abs=0.05)
    # The Moon's equator is inclined 1.54 deg to the ecliptic.
    assert np.abs(np.rad2deg(np.arcsin(directions[:, 2]))).max() == pytest.approx(1.54, abs=0.06)


def test_text_and_datetimes_of_any_zone_mean_the_same_moment() -> None:
    expected = sun_direction_moon_me("2023-04-25T16:40:00")
    for same in (
        "2023-04-25T16:40:00.000Z",
        "2023-04-25 16:40",
        "2023-04-25T16:40:00+00:00",
        datetime(2023, 4, 25, 16, 40),
        datetime(2023, 4, 25, 18, 40, tzinfo=timezone(timedelta(hours=2))),
    ):
        np.testing.assert_array_equal(sun_direction_moon_me(same), expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2023-04-25",
        "2023-02-30T00:00:00",
        "2023-04-25T25:00:00",
        "2023-04-25T16:40:00+02:00",
        "2023-04-25T16:40:00\n",
        "25/04/2023 16:40",
    ],
)
def test_what_is_no_utc_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a time") as caught:
        sun_direction_moon_me(text)
    assert "\n" not in str(caught.value)
