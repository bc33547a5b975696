"""The bench of fix errors: files read against the truth, bands counted, correlations told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.fix_errors import FixErrors, by_altitude, correlations, displacements
from trn.moon.constants import REFERENCE_RADIUS_M

HEIGHT_M = 10_000.0
SPEED_M_PER_S = 500.0


def errors_of(error: np.ndarray) -> FixErrors:
    """Fixes of 10 m a second apart, with errors (N, 3) in their sigma."""
    count = len(error)
    passed = np.arange(count) * SPEED_M_PER_S / HEIGHT_M
    sigma = np.full((count, 3), 10.0)
    nees = (error**2).mean(axis=1)
    return FixErrors(
        np.full(count, HEIGHT_M), passed, 10.0 * error, sigma, nees, np.array([4_000.0, 9_000.0])
    )


def test_errors_that_stay_and_errors_that_are_new_each_time_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    staying = correlations([errors_of(np.tile(rng.normal(size=3), (200, 1)))])
    fresh = correlations([errors_of(rng.normal(size=(200, 3)))])
    assert [row["correlation"] for row in staying] == pytest.approx([1.0] * len(staying))
    assert max(abs(row["correlation"]) for row in fresh) < 0.15
    assert all(row["pairs"] > 0 for row in fresh)


def test_bands_of_altitude_hold_their_fixes_and_refusals() -> None:
    rng = np.random.default_rng(1)
    band, total = by_altitude([errors_of(rng.normal(size=(400, 3)))])
    assert (band["altitude km"], band["fixes"], band["refused"]) == ("10-12.5", 400, 0)
    assert band["NEES"] == pytest.approx(1.0, abs=0.15)
    assert (total["fixes"], total["refused"]) == (400, 2)


def test_a_replay_is_read_against_its_truth(tmp_path: Path) -> None:
    """A lander that hovers over longitude 0: a fix 3 m east, 4 m north and 12 m too high."""
    truth = tmp_path / "data" / "state_groundtruth_estimate0"
    truth.mkdir(parents=True)
    radius = REFERENCE_RADIUS_M + HEIGHT_M
    stamps = [1_000_000_000, 3_000_000_000]
    rows = [f"{t},{radius},0,0,1,0,0,0,0,100,0" for t in stamps]
    (truth / "data.csv").write_text("#timestamp [ns]\n" + "\n".join(rows) + "\n")
    heights = [f"{t},{HEIGHT_M}" for t in stamps]
    (truth / "altitude.csv").write_text("#timestamp [ns]\n" + "\n".join(heights) + "\n")
    run = tmp_path / "run"
    run.mkdir()
    names = [f"covariance_{n}_m2" for n in ("xx", "xy", "xz", "yy", "yz", "zz")]
    (run / "fixes.csv").write_text(
        ",".join(["time_ns", "status", "x_m", "y_m", "z_m", *names]) + "\n"
        f"2000000000,fix,{radius + 12.0},3,4,144,0,0,9,0,16\n"
        "2500000000,no_fix,,,,,,,,,\n"
    )
    found = FixErrors.of(tmp_path / "data", run)
    assert found.error_m == pytest.approx(np.array([[3.0, 4.0, 12.0]]))
    assert found.sigma_m == pytest.approx(np.array([[3.0, 4.0, 12.0]]))
    assert found.nees == pytest.approx([1.0])
    assert found.refused_m == pytest.approx([HEIGHT_M])


def test_a_displacement_s_error_is_told_apart_from_the_believed_height_s(tmp_path: Path) -> None:
    """100 m east over 10 km: believed 1 % too high, 1.3 % too long, 2 m to the side."""
    truth = tmp_path / "data" / "state_groundtruth_estimate0"
    truth.mkdir(parents=True)
    radius = REFERENCE_RADIUS_M + HEIGHT_M
    stamps = [1_000_000_000, 2_000_000_000]
    rows = [f"{t},{radius},{y},0,1,0,0,0,0,100,0" for t, y in zip(stamps, (0.0, 100.0))]
    (truth / "data.csv").write_text("#timestamp [ns]\n" + "\n".join(rows) + "\n")
    heights = [f"{t},{HEIGHT_M}" for t in stamps]
    (truth / "altitude.csv").write_text("#timestamp [ns]\n" + "\n".join(heights) + "\n")
    run = tmp_path / "run"
    run.mkdir()
    (run / "displacements.csv").write_text(
        "time_ns,since_ns,x_m,y_m,z_m,from_x_m,from_y_m,from_z_m,corners,used\n"
        f"2000000000,1000000000,0,101.3,2,{radius + 100.0},0,0,80,1\n"
    )
    (row,) = displacements([(tmp_path / "data", run)])
    assert (row["altitude km"], row["displacements"], row["used"]) == ("10-200", 1, 1)
    assert float(row["along, of the length: mean"]) == pytest.approx(0.003)
    assert float(row["across, of the altitude: rms"]) == pytest.approx(2e-4)
