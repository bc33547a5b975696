"""A fix is written with the keys that outside readers rely on, given or refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from trn.fix import CraterCounts, LandmarkCounts, PositionFix, ProtectionLevel
from trn.moon.frames import position_from_geographic

KEYS = {
    "status": None,
    "reason": None,
    "position_moon_me_m": None,
    "covariance_m2": None,
    "latitude_deg": None,
    "longitude_east_deg": None,
    "height_m": None,
    "altitude_m": None,
    "quaternion_body_to_camera_xyzw": None,
    "protection_level_m": {"horizontal", "vertical", "integrity_risk"},
    "landmarks": {"searched", "matched", "inliers"},
    "craters": {"detected", "identified", "inliers"},
    "residual_rms_px": None,
    "channel_separation": None,
    "backend": None,
    "latency_ms": {"total"},
}
"""The fix file's keys, with those of the objects in it."""


def given_fix() -> PositionFix:
    return PositionFix(
        "fix",
        "",
        position_m=position_from_geographic(np.deg2rad(47.58), np.deg2rad(-44.09), 30_000.0),
        covariance_m2=np.diag([4.0, 5.0, 6.0]),
        quaternion_xyzw=np.array([0.0, 0.0, 0.0, 1.0]),
        attitude_covariance_rad2=1e-8 * np.eye(3),
        altitude_m=31_000.0,
        protection_level=ProtectionLevel(10.0, 20.0, 1e-3),
        landmarks=LandmarkCounts(100, 90, 80),
        craters=CraterCounts(3, 2, 1),
        residual_rms_px=0.25,
        channel_separation=3.5,
        latency_ms={"total": 123.456789},
    )


def refused_fix() -> PositionFix:
    return PositionFix.refused("the frame is black", LandmarkCounts(5, 1, 0), "cpu", {"total": 1.0})


def check_keys(document: dict[str, Any]) -> None:
    assert list(document) == list(KEYS)
    for name, inner in KEYS.items():
        if inner is not None:
            assert set(document[name]) == inner


def test_a_fix_has_every_key() -> None:
    document = given_fix().to_dict()
    check_keys(document)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["latitude_deg"] == pytest.approx(47.58, abs=1e-12)
    assert document["longitude_east_deg"] == pytest.approx(-44.09, abs=1e-12)
    assert document["height_m"] == pytest.approx(30_000.0, abs=1e-8)
    assert document["altitude_m"] == 31_000.0
    assert document["covariance_m2"] == [[4.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 6.0]]
    assert document["protection_level_m"] == {
        "horizontal": 10.0,
        "vertical": 20.0,
        "integrity_risk": 1e-3,
    }
    assert document["landmarks"] == {"searched": 100, "matched": 90, "inliers": 80}
    assert document["craters"] == {"detected": 3, "identified": 2, "inliers": 1}
    assert document["channel_separation"] == 3.5
    assert document["latency_ms"] == {"total": 123.457}


def test_a_refusal_has_every_key_a_reason_and_no_position() -> None:
    document = refused_fix().to_dict()
    check_keys(document)
    json.dumps(document, allow_nan=False)
    assert (document["status"], document["reason"]) == ("no_fix", "the frame is black")
    for name in (
        "position_moon_me_m",
        "covariance_m2",
        "latitude_deg",
        "longitude_east_deg",
        "height_m",
        "altitude_m",
        "quaternion_body_to_camera_xyzw",
        "residual_rms_px",
        "channel_separation",
    ):
        assert document[name] is None
    assert set(document["protection_level_m"].values()) == {None}
    assert document["landmarks"] == {"searched": 5, "matched": 1, "inliers": 0}


def test_a_hole_in_the_map_leaves_the_altitude_open() -> None:
    fix = PositionFix("fix", "", position_m=np.array([1_800_000.0, 0.0, 0.0]))
    document = fix.to_dict()
    assert document["altitude_m"] is None
    assert document["height_m"] == pytest.approx(62_600.0)
