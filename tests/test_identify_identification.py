"""Identification without a position: right craters and place, and silence where there are none."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bench.crater_views import ATTITUDE_SIGMA_RAD, CAMERA, View, crater_view, random_ellipses
from tests.crater_moon import moon_index
from trn.detect import Ellipses
from trn.errors import InputError
from trn.identify import CraterIndex, Identification, identify

SEEDS = range(6)


@pytest.fixture(scope="module")
def views() -> list[View]:
    return [crater_view(moon_index(), seed, least=15) for seed in SEEDS]


def told(view: View) -> dict[str, Any]:
    return {"quaternion_xyzw": view.told, "attitude_sigma_rad": ATTITUDE_SIGMA_RAD}


def judged(views: list[View], found: list[Identification]) -> tuple[int, float, float]:
    """Views identified at the right place, right matches over true ellipses, wrong over given."""
    placed = right = given = due = 0
    for view, one in zip(views, found):
        due += int((view.truth >= 0).sum())
        if one.pose is None or one.covariance is None:
            continue
        right += int((view.truth[one.detection] == one.crater).sum())
        given += len(one.crater)
        error = one.pose.position_m - view.pose.position_m
        placed += bool(np.linalg.norm(error) < 0.03 * view.altitude_m)
        assert error @ np.linalg.solve(one.covariance[:3, :3], error) < 25.0
        assert len(set(one.crater)) == len(set(one.detection)) == len(one.crater)
    return placed, right / due, 1.0 - right / max(given, 1)


def test_with_the_attitude_told(views: list[View]) -> None:
    found = [identify(view.ellipses, CAMERA, moon_index(), **told(view)) for view in views]
    placed, right, wrong = judged(views, found)
    assert placed == len(views)
    assert right >= 0.95 and wrong <= 0.01


def test_without_attitude(views: list[View]) -> None:
    found = [identify(view.ellipses, CAMERA, moon_index()) for view in views]
    placed, right, wrong = judged(views, found)
    assert placed >= 0.9 * len(views)
    assert right >= 0.85 and wrong <= 0.01


@pytest.mark.parametrize("attitude", [True, False])
def test_random_ellipses_stay_unidentified(views: list[View], attitude: bool) -> None:
    for seed, view in zip(SEEDS, views if attitude else views[:3]):
        found = identify(
            random_ellipses(moon_index(), seed), CAMERA, moon_index(),
            **(told(view) if attitude else {}),
        )  # fmt: skip
        assert not found.identified and found.pose is None and not len(found.crater)
        assert "chance" in found.reason


def test_the_same_input_gives_the_same_output(views: list[View]) -> None:
    for options in ({}, told(views[0])):
        one, other = (
            identify(views[0].ellipses, CAMERA, moon_index(), **options) for _ in range(2)
        )
        first, second = one.to_dict(), other.to_dict()
        assert first.pop("latency_ms") > 0.0 and second.pop("latency_ms") > 0.0
        assert first == second


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_ellipses_say_so(views: list[View], count: int) -> None:
    few = views[0].ellipses.chosen(np.arange(count))
    for options in ({}, told(views[0])):
        found = identify(few, CAMERA, moon_index(), **options)
        values = found.to_dict()
        assert values["status"] == "unidentified" and f"{count} usable" in values["reason"]
        assert values["position_moon_me_m"] is None and values["covariance_m2"] is None
        assert values["matches"] == []


def test_repeated_and_broken_ellipses_do_not_count(views: list[View]) -> None:
    view = views[0]
    same = Ellipses.of(np.repeat(view.ellipses.values[:1], 40, axis=0))
    assert "1 usable" in identify(same, CAMERA, moon_index(), **told(view)).reason
    values = np.concatenate([view.ellipses.values, np.full((3, 5), np.nan)])
    doubled = Ellipses(
        np.concatenate([values, view.ellipses.values]), np.ones(len(values) + len(view.truth))
    )
    found = identify(doubled, CAMERA, moon_index(), **told(view))
    assert found.identified and found.detection.max() < len(view.truth)


def test_an_empty_catalogue_identifies_nothing(views: list[View]) -> None:
    whole = moon_index()
    none = CraterIndex(
        whole.number[:0], whole.id[:0], whole.centre[:0], whole.normal[:0], whole.first[:0],
        whole.second[:0], whole.radius_m[:0], whole.height_known[:0],
    )  # fmt: skip
    for options in ({}, told(views[0])):
        assert "catalogue" in identify(views[0].ellipses, CAMERA, none, **options).reason


def test_the_document_has_what_the_interface_says(views: list[View]) -> None:
    found = identify(views[0].ellipses, CAMERA, moon_index(), **told(views[0]))
    values = json.loads(json.dumps(found.to_dict()))
    assert list(values) == [
        "status", "reason", "position_moon_me_m", "covariance_m2", "matches", "latency_ms"
    ]  # fmt: skip
    assert values["status"] == "identified" and values["reason"] == ""
    assert np.array(values["covariance_m2"]).shape == (3, 3)
    assert values["matches"][0]["id"] == moon_index().id[found.crater[0]]


@pytest.mark.parametrize(
    "options",
    [
        {"quaternion_xyzw": [0.0, 0.0, 0.0, 1.0]},
        {"attitude_sigma_rad": 0.1},
        {"quaternion_xyzw": [0.0, 0.0, 0.0, 0.0], "attitude_sigma_rad": 0.1},
        {"quaternion_xyzw": [0.0, 0.0, 1.0], "attitude_sigma_rad": 0.1},
        {"quaternion_xyzw": [np.nan, 0.0, 0.0, 1.0], "attitude_sigma_rad": 0.1},
        {"quaternion_xyzw": [0.0, 0.0, 0.0, 1.0], "attitude_sigma_rad": 0.0},
        {"quaternion_xyzw": [0.0, 0.0, 0.0, 1.0], "attitude_sigma_rad": np.nan},
    ],
)
def test_a_bad_attitude_is_refused(views: list[View], options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="attitude"):
        identify(views[0].ellipses, CAMERA, moon_index(), **options)
