"""Ellipses have one normal form, conics say the same, and bad files are refused with a reason."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trn.detect import Ellipses, load_detections
from trn.errors import InputError

numbers = st.floats(-2000.0, 2000.0)
axes = st.floats(0.5, 500.0)
angles = st.floats(-20.0, 20.0)
ellipses = st.tuples(numbers, numbers, axes, axes, angles)


@given(ellipses)
@example((0.0, 0.0, 0.5, 1.0, 2.0**-52))  # Just above a quarter turn once its axes are swapped.
def test_normal_form_is_the_same_curve(given_values):
    x, y, a, b, theta = given_values
    normal = Ellipses.of([given_values]).values[0]
    assert normal[2] >= normal[3] > 0.0
    assert -0.5 * math.pi < normal[4] <= 0.5 * math.pi
    t = np.linspace(0.0, 2.0 * math.pi, 17)
    c, s = math.cos(theta), math.sin(theta)
    rim = [
        x + a * np.cos(t) * c - b * np.sin(t) * s,
        y + a * np.cos(t) * s + b * np.sin(t) * c,
    ]
    c, s = math.cos(normal[4]), math.sin(normal[4])
    p = (c * (rim[0] - normal[0]) + s * (rim[1] - normal[1])) / normal[2]
    q = (c * (rim[1] - normal[1]) - s * (rim[0] - normal[0])) / normal[3]
    np.testing.assert_allclose(p**2 + q**2, 1.0, atol=1e-6)


@given(ellipses, st.floats(0.01, 100.0), st.sampled_from([-1.0, 1.0]))
def test_conics_come_back_as_the_ellipse_at_any_scale(given_values, scale, sign):
    one = Ellipses.of([given_values])
    back = Ellipses.from_conics(sign * scale * one.conics())
    size = one.values[0, 2]
    np.testing.assert_allclose(back.values[0, :4], one.values[0, :4], atol=1e-5 * size + 1e-6)
    if one.values[0, 2] > 1.01 * one.values[0, 3]:
        turn = (back.values[0, 4] - one.values[0, 4] + 0.5 * math.pi) % math.pi - 0.5 * math.pi
        assert abs(turn) < 1e-4


def test_what_is_no_ellipse_is_nan():
    hyperbola = np.diag([1.0, -1.0, -1.0])
    empty = np.diag([1.0, 1.0, 1.0])
    assert np.isnan(Ellipses.from_conics(np.stack([hyperbola, empty])).values).all()


def test_covariance_follows_the_axes():
    covariance = np.diag([1.0, 2.0, 3.0, 4.0, 5.0])[None]
    swapped = Ellipses.of([[0.0, 0.0, 2.0, 3.0, 0.0]], covariance=covariance)
    assert swapped.covariance is not None
    np.testing.assert_array_equal(np.diag(swapped.covariance[0]), [1.0, 2.0, 4.0, 3.0, 5.0])


def test_a_file_comes_back(tmp_path: Path):
    some = Ellipses.of([[1.0, 2.0, 5.0, 4.0, 0.3], [9.0, 8.0, 7.0, 6.0, -1.0]], [0.9, 0.2])
    path = tmp_path / "d.json"
    path.write_text(json.dumps(some.to_dict()))
    back = load_detections(path)
    np.testing.assert_array_equal(back.values, some.values)
    np.testing.assert_array_equal(back.score, some.score)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "ellipses: missing"),
        ('{"ellipses": 3}', "ellipses: missing"),
        ('{"ellipses": [{"x": 1}]}', r"ellipses\[0\].y"),
        ('{"ellipses": [3]}', r"ellipses\[0\].x"),
        ('{"ellipses": [{"x":1,"y":1,"a":0,"b":1,"theta_rad":0}]}', r"ellipses\[0\].a"),
        ('{"ellipses": [{"x":NaN,"y":1,"a":1,"b":1,"theta_rad":0}]}', r"ellipses\[0\].x"),
        ('{"ellipses": [{"x":1,"y":1,"a":1,"b":1,"theta_rad":0,"score":"hi"}]}', "score"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, text: str, says: str):
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        load_detections(path)
