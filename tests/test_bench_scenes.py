"""Rendered scenes are drawn from their seed alone and survive the way through a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy.spatial.transform import Rotation

from bench.scenes import (
    ATTITUDE_SIGMA_DEG,
    ESTIMATOR_HEIGHT_SIGMA_M,
    POSITION_SIGMA_M,
    Conditions,
    Scene,
    draw_geometry,
    estimator_map_tif,
    load_scene,
    pointing,
    rendered_scene,
    truth_terrain,
)
from trn.errors import InputError
from trn.moon.frames import east_north_up, position_from_geographic
from trn.solve.pose import correction_between

ATLAS = Path(__file__).parents[1] / "../shared/data/maps/atlas_256ppd.tif"
needs_data = pytest.mark.skipif(not ATLAS.exists(), reason="needs ../shared/data")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Path]:
    """A low scene, cheap to render, and the folder that it was put into."""
    folder = tmp_path_factory.mktemp("scenes")
    low = Conditions(altitude_m=(20e3, 21e3), field_of_view_deg=(45.0, 46.0))
    return rendered_scene(ATLAS, 3, conditions=low, cache_dir=folder), folder


@pytest.mark.parametrize("tilt_deg", [0.0, 10.0, 25.0])
def test_the_boresight_leaves_the_nadir_by_the_tilt(tilt_deg: float) -> None:
    position = position_from_geographic(0.4, 1.1, 50e3)
    quaternion = pointing(position, tilt_deg, 30.0, 77.0)
    boresight = Rotation.from_quat(quaternion).as_matrix()[2]
    east, north, up = east_north_up(position)
    assert np.rad2deg(np.arccos(np.clip(-boresight @ up, -1, 1))) == pytest.approx(
        tilt_deg, abs=1e-6
    )
    if tilt_deg:
        azimuth = np.rad2deg(np.arctan2(boresight @ east, boresight @ north))
        assert azimuth == pytest.approx(30.0)


@needs_data
def test_draws_keep_to_the_conditions() -> None:
    terrain = truth_terrain(ATLAS.resolve())
    errors = []
    for seed in range(30):
        drawn = draw_geometry(terrain, np.random.default_rng(seed), Conditions())
        assert 20e3 <= drawn.altitude_m <= 100e3
        assert 45 <= drawn.field_of_view_deg <= 65
        assert 8 <= drawn.sun_elevation_deg <= 55
        assert 0 <= drawn.tilt_deg <= 25
        assert drawn.on_map >= 0.85
        up = east_north_up(drawn.true_pose.position_m)[2]
        elevation = np.rad2deg(np.arcsin(up @ drawn.sun_direction))
        assert elevation == pytest.approx(drawn.sun_elevation_deg, abs=1e-6)
        error = correction_between(drawn.true_pose, drawn.prior_pose)
        errors.append(error / np.repeat([POSITION_SIGMA_M, np.deg2rad(ATTITUDE_SIGMA_DEG)], 3))
    # 180 standard normal draws: the mean square's own standard deviation is 0.105.
    assert 0.6 < np.mean(np.square(errors)) < 1.4


@needs_data
def test_a_scene_comes_back_from_its_files_as_it_went(scene: tuple[Scene, Path]) -> None:
    made, folder = scene
    back = load_scene(folder / f"{made.name}.json")
    assert np.array_equal(back.image, made.image)
    assert back.facts() == made.facts()


@needs_data
def test_the_cache_is_used(scene: tuple[Scene, Path]) -> None:
    made, folder = scene
    again = rendered_scene(ATLAS, 3, cache_dir=folder)
    assert np.array_equal(again.image, made.image)


@needs_data
def test_a_scene_without_its_picture_says_what_to_delete(
    scene: tuple[Scene, Path], tmp_path: Path
) -> None:
    made, folder = scene
    facts = tmp_path / f"{made.name}.json"
    facts.write_bytes((folder / facts.name).read_bytes())
    with pytest.raises(InputError, match="delete"):
        load_scene(facts)


@needs_data
def test_the_estimators_map_is_coarser_and_noisy(tmp_path: Path) -> None:
    target = estimator_map_tif(ATLAS, tmp_path)
    with rasterio.open(ATLAS) as fine, rasterio.open(target) as coarse:
        full = fine.read(1).astype(np.float64)
        half = coarse.read(1).astype(np.float64)
        assert coarse.res == pytest.approx((2 * fine.res[0], 2 * fine.res[1]))
        assert coarse.bounds.left == pytest.approx(fine.bounds.left)
        assert coarse.bounds.top == pytest.approx(fine.bounds.top)
    rows, columns = half.shape
    mean = full[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3))
    assert np.std(half - mean) == pytest.approx(ESTIMATOR_HEIGHT_SIGMA_M, rel=0.02)
    assert abs(np.mean(half - mean)) < 0.1
