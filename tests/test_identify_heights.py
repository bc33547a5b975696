"""Heights of rims: from a map where there is one, and an honest covariance where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.crater_views import ATTITUDE_SIGMA_RAD, CAMERA, View, crater_view
from tests.crater_moon import moon_catalog
from tests.maps_products import terrain, write_raster
from trn.identify import CraterIndex, identify
from trn.identify.fit import fitted
from trn.identify.heights import STEP_M, covariance_of_heights, rim_heights
from trn.identify.rims import five_of, lens_of
from trn.maps import build_map
from trn.maps.catalog import CraterCatalog

SEEDS = range(12)


def heights_m() -> np.ndarray:
    """Waves of some hundred kilometres and half a kilometre of scatter, 2.6 km in all."""
    catalog = moon_catalog()
    waves = terrain(np.degrees(catalog.latitude), np.degrees(catalog.longitude))
    return waves + np.random.default_rng(3).normal(0.0, 500.0, len(catalog))


@pytest.fixture(scope="module")
def views() -> list[View]:
    raised = CraterIndex.of(moon_catalog(), heights_m())
    return [crater_view(raised, seed, least=20) for seed in SEEDS]


def judged(views: list[View], index: CraterIndex) -> tuple[float, float]:
    """Error of the position, metres, and normalised error squared, means over identified views."""
    errors, normed = [], []
    for view in views:
        found = identify(
            view.ellipses, CAMERA, index,
            quaternion_xyzw=view.told, attitude_sigma_rad=ATTITUDE_SIGMA_RAD,
        )  # fmt: skip
        if found.pose is None or found.covariance is None:
            continue
        off = found.pose.position_m - view.pose.position_m
        errors.append(float(np.linalg.norm(off)))
        normed.append(float(off @ np.linalg.solve(found.covariance[:3, :3], off)))
    assert len(errors) >= len(views) - 2
    return float(np.mean(errors)), float(np.mean(normed))


def test_a_pose_without_heights_is_as_unsure_as_it_errs(views: list[View]) -> None:
    supposed, honest = judged(views, CraterIndex.of(moon_catalog(), height_known=False))
    _, sure = judged(views, CraterIndex.of(moon_catalog()))
    known, right = judged(views, CraterIndex.of(moon_catalog(), heights_m()))
    assert honest < 6.0 < sure
    assert right < 6.0
    assert known < 0.8 * supposed


def test_heights_that_are_known_add_nothing(views: list[View]) -> None:
    view, index = views[0], CraterIndex.of(moon_catalog())
    added = covariance_of_heights(
        view.pose.rotation_body_to_camera(), view.pose.position_m, np.eye(6), np.ones((3, 2)),
        index, lens_of(CAMERA), np.arange(3),
    )  # fmt: skip
    assert (added == 0.0).all()


def test_what_a_height_moves_is_what_the_fit_moves_by(views: list[View]) -> None:
    """One crater raised by a little: the fit goes where the covariance says that it may."""
    view = views[1]
    held = np.flatnonzero(view.truth >= 0)
    crater = view.truth[held]
    sigma = np.full((len(held), 2), 40.0)  # So wide that no ellipse loses weight.
    height = heights_m()
    information = np.zeros((6, 6))
    information[[3, 4, 5], [3, 4, 5]] = ATTITUDE_SIGMA_RAD**-2
    rotation, position = view.pose.rotation_body_to_camera(), view.pose.position_m
    lens = lens_of(CAMERA)

    def fit(index: CraterIndex) -> tuple[np.ndarray, np.ndarray]:
        _, place, covariance, _ = fitted(
            rotation, position, rotation, position, information,
            five_of(view.ellipses.chosen(held)), sigma, index.centre, index.first, index.second,
            lens, crater, 8,
        )  # fmt: skip
        return place, covariance

    raised = height.copy()
    raised[crater[0]] += STEP_M
    alone = np.ones(len(height), bool)
    alone[crater[0]] = False
    before, covariance = fit(CraterIndex.of(moon_catalog(), height))
    after, _ = fit(CraterIndex.of(moon_catalog(), raised))
    index = CraterIndex.of(moon_catalog(), height, alone)
    added = covariance_of_heights(rotation, position, covariance, sigma, index, lens, crater)
    sigma_m = float(np.hypot(2100.0, 1000.0))
    expected = np.sqrt(np.diag(added)[:3]) * STEP_M / sigma_m
    np.testing.assert_allclose(np.abs(after - before), expected, rtol=0.05, atol=0.05)


def test_rims_stand_where_the_map_has_them(tmp_path: Path) -> None:
    column = np.arange(300, dtype=np.float32)
    heights = np.tile(10.0 * column, (200, 1)).astype(np.float32)
    moon_map = build_map(
        [write_raster(tmp_path / "p.tif", heights, (0.0, 1.0), (0.01, 0.01))], tmp_path / "p.map"
    )
    catalog = CraterCatalog(
        np.array(["middle", "at the edge", "outside"]), np.radians([0.0, 0.0, 5.0]),
        np.radians([1.5, 0.05, 1.5]), *[np.full(3, 8000.0)] * 3, np.zeros(3),
    )  # fmt: skip
    found = rim_heights(moon_map, catalog)
    assert found[0] == pytest.approx(1495.0, abs=5.0)
    assert np.isfinite(found[1]) and np.isnan(found[2])
