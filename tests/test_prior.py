"""A prior is read as written, and anything unusable is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trn.errors import InputError
from trn.moon.sun import sun_direction_moon_me
from trn.prior import Prior


def document() -> dict[str, Any]:
    return {
        "position_moon_me_m": [1_200_000.0, 1_000_000.0, 1_000_000.0],
        "position_sigma_m": 1500.0,
        "quaternion_body_to_camera_xyzw": [0.5, -0.5, 0.5, 0.5],
        "attitude_sigma_deg": 0.1,
        "sun_direction_moon_me": [0.0, 0.6, 0.8],
    }


def load(tmp_path: Path, values: object) -> Prior:
    path = tmp_path / "prior.json"
    path.write_text(json.dumps(values))
    return Prior.load(path)


def test_a_prior_comes_back_as_written(tmp_path: Path) -> None:
    prior = load(tmp_path, document())
    assert prior.attitude_sigma_rad == pytest.approx(np.deg2rad(0.1))
    assert prior.pose.position_m.tolist() == document()["position_moon_me_m"]
    for name, value in prior.to_dict().items():
        assert value == pytest.approx(document()[name], abs=1e-15)


def test_utc_stands_in_for_the_sun(tmp_path: Path) -> None:
    values = document()
    del values["sun_direction_moon_me"]
    prior = load(tmp_path, {**values, "utc": "2023-04-25T16:40:00"})
    np.testing.assert_array_equal(prior.sun_direction, sun_direction_moon_me("2023-04-25T16:40:00"))


def test_the_sun_is_made_a_unit_vector(tmp_path: Path) -> None:
    prior = load(tmp_path, {**document(), "sun_direction_moon_me": [0.0, 6.0, 8.0]})
    np.testing.assert_allclose(prior.sun_direction, [0.0, 0.6, 0.8], atol=1e-15)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("position_moon_me_m", [NAN, 1e6, 1e6], "finite"),
        ("position_moon_me_m", [1e6, 1e6], "3 finite numbers"),
        ("position_moon_me_m", [1e6, 1e6, "1e6"], "finite"),
        ("position_moon_me_m", [1e6, 1e6, True], "finite"),
        ("position_moon_me_m", [1e6, 1e6, 10**400], "finite"),
        ("position_moon_me_m", [1_700_000.0, 0.0, 0.0], "inside the Moon"),
        ("position_moon_me_m", [1800.0, 0.0, 0.0], "inside the Moon"),
        ("position_moon_me_m", [1e12, 0.0, 0.0], "not near the Moon"),
        ("position_sigma_m", 0, "above zero"),
        ("position_sigma_m", -1.0, "above zero"),
        ("position_sigma_m", NAN, "above zero"),
        ("position_sigma_m", "1500", "above zero"),
        ("quaternion_body_to_camera_xyzw", [0.5, 0.5, 0.5, NAN], "finite"),
        ("quaternion_body_to_camera_xyzw", [1.0, 1.0, 0.0, 0.0], "unit quaternion"),
        ("quaternion_body_to_camera_xyzw", [0.0, 0.0, 0.0, 0.0], "unit quaternion"),
        ("quaternion_body_to_camera_xyzw", [0.0, 0.0, 1.0], "4 finite numbers"),
        ("attitude_sigma_deg", 0.0, "above zero"),
        ("attitude_sigma_deg", INF, "above zero"),
        ("sun_direction_moon_me", [0.0, 0.0, 0.0], "zero"),
        ("sun_direction_moon_me", [INF, 0.0, 0.0], "finite"),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, field: str, value: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        load(tmp_path, {**document(), field: value})
    assert str(caught.value).startswith(f"{tmp_path / 'prior.json'}: {field} ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", sorted(document()))
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    values = document()
    del values[field]
    with pytest.raises(InputError, match=rf"prior\.json: {field} "):
        load(tmp_path, values)


def test_a_bad_utc_is_named_with_its_file(tmp_path: Path) -> None:
    values = document()
    del values["sun_direction_moon_me"]
    with pytest.raises(InputError, match=r"prior\.json: utc 'yesterday' is not a time"):
        load(tmp_path, {**values, "utc": "yesterday"})


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_prior_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prior.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="JSON") as caught:
        Prior.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json: cannot be read"):
        Prior.load(tmp_path / "absent.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(field=st.sampled_from([*sorted(document()), "utc"]), value=json_values)
def test_whatever_a_field_holds_it_is_read_or_refused(field: str, value: object) -> None:
    values = document()
    if field == "utc":
        del values["sun_direction_moon_me"]
    try:
        prior = Prior.from_dict({**values, field: value})
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(prior.position_m).all()
        assert np.linalg.norm(prior.quaternion_xyzw) == pytest.approx(1.0)
