"""The index of a catalogue: where rims are, and what is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trn.identify import CraterIndex
from trn.maps.catalog import CraterCatalog


def catalog(**changes: object) -> CraterCatalog:
    values: dict[str, object] = {
        "id": np.array(["big", "east", "pole"]),
        "latitude": np.array([0.0, 0.0, math.pi / 2]),
        "longitude": np.array([0.0, math.pi / 2, 0.0]),
        "diameter_m": np.array([900e3, 10e3, 6e3]),
        "major_m": np.array([900e3, 12e3, 6e3]),
        "minor_m": np.array([900e3, 8e3, 6e3]),
        "angle": np.array([0.0, math.pi / 2, 0.0]),
    }
    return CraterCatalog(**{**values, **changes})  # type: ignore[arg-type]


def test_rims_stand_where_the_catalogue_says() -> None:
    index = CraterIndex.of(catalog(), np.array([0.0, 250.0, -100.0]))
    assert list(index.id) == ["east", "pole"] and list(index.number) == [1, 2]
    assert index.centre[0] == pytest.approx([0.0, 1_737_650.0, 0.0], abs=1e-6)
    assert index.centre[1] == pytest.approx([0.0, 0.0, 1_737_300.0], abs=1e-6)
    # The major axis, a quarter turn from east, points north.
    assert index.first[0] == pytest.approx([0.0, 0.0, 6000.0], abs=1e-6)
    assert index.second[0] == pytest.approx([4000.0, 0.0, 0.0], abs=1e-6)
    assert index.radius_m[0] == pytest.approx(math.sqrt(6000.0 * 4000.0))
    across = np.cross(index.first, index.second)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    assert across == pytest.approx(index.normal)


def test_what_is_not_finite_is_left_out() -> None:
    broken = catalog(latitude=np.array([0.0, math.nan, 1.0]))
    assert list(CraterIndex.of(broken).id) == ["pole"]
    assert list(CraterIndex.of(catalog(), np.array([0.0, 0.0, math.nan])).id) == ["east"]
