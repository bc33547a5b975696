"""The demonstration: a site made by code, one rendered frame, one fix, one page.

The estimator is given the frame, the camera, a prior drawn around the truth, and a map of its own:
half the resolution, with 8 m of height noise, and other photometry. The truth meets the fix only
on the page.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.localizer import Localizer
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose
from trn.prior import Prior
from trn.replay.report import Facts, write_report
from trn.simulate.render import render
from trn.simulate.site import synthetic_site
from trn.simulate.terrain import TruthTerrain
from trn.simulate.world import estimator_map

SEED = 7
POSITION_SIGMA_M = 1500.0
ATTITUDE_SIGMA_RAD = np.deg2rad(0.05)
CAMERA = Camera(1024, 1024, 980.0, 980.0, 511.5, 511.5, (-0.04, 0.01, 0.0, 0.0, 0.0))


def run_demo(out: Path, say: Callable[[str], object]) -> Path:
    """Run the demonstration into a folder; returns the path of its page."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        say("making a synthetic site ...")
        site = synthetic_site(Path(scratch) / "site.tif", seed=SEED, size_deg=5.0)
        moon_map = estimator_map(site, Path(scratch) / "site.map", SEED)
        say("rendering the true frame ...")
        truth = _true_pose()
        sun = _sun(truth)
        frame = render(
            TruthTerrain.from_geotiff(site, seed=SEED), CAMERA, truth, sun, seed=SEED
        ).image
        prior = _prior(truth, sun)
        say("locating ...")
        localizer = Localizer(moon_map, CAMERA)
        fix, trace = localizer.locate_with_trace(frame, prior)
        facts = Facts(
            title="One frame, one fix",
            frame=frame,
            fix=fix,
            trace=trace,
            truth_m=truth.position_m,
            prior_m=prior.position_m,
            map_pixel_m=moon_map.resolution_m,
        )
        return write_report(facts, out)


def _true_pose() -> Pose:
    """55 km up, tilted 12 degrees towards the north-east."""
    position = position_from_geographic(np.deg2rad(46.3), np.deg2rad(44.2), 53_500.0)
    east, north, up = east_north_up(position)
    nadir = Rotation.from_matrix(np.stack([east, -north, -up]))
    tilt = Rotation.from_rotvec(np.deg2rad(12.0) * np.array([0.8, 0.6, 0.0]))
    return Pose(position, np.asarray((tilt * nadir).as_quat()))


def _sun(truth: Pose) -> np.ndarray:
    """The Sun 24 degrees high in the east-south-east."""
    east, north, up = east_north_up(truth.position_m)
    azimuth, elevation = np.deg2rad(110.0), np.deg2rad(24.0)
    flat = np.sin(azimuth) * east + np.cos(azimuth) * north
    return np.asarray(np.cos(elevation) * flat + np.sin(elevation) * up)


def _prior(truth: Pose, sun: np.ndarray) -> Prior:
    """A prior drawn around the truth with the sigmas that it states."""
    generator = np.random.default_rng(SEED)
    believed = truth.moved(
        generator.normal(0.0, POSITION_SIGMA_M, 3), generator.normal(0.0, ATTITUDE_SIGMA_RAD, 3)
    )
    return Prior(
        believed.position_m, POSITION_SIGMA_M, believed.quaternion_xyzw, ATTITUDE_SIGMA_RAD, sun
    )
