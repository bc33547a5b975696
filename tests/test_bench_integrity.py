"""Levels are counted as they should be, from what was kept of each frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.integrity import Judged, clopper_pearson, judged, risk_intervals, summary
from tests.test_solve_integrity import gaussian_evidence
from trn.moon.frames import east_north_up
from trn.solve.integrity import CALM_SCALE, OVERBOUND


def tried(frame: int, error: float, level: float = 10.0) -> Judged:
    return Judged("tycho", frame, 0, 20.0, 5e4, "", error, 1.0, 1.0, (level, 5.0), (level, 5.0))


def test_the_binomial_interval_is_that_of_clopper_and_pearson() -> None:
    assert clopper_pearson(0, 1000) == pytest.approx((0.0, 1.0 - 0.025**1e-3))
    assert clopper_pearson(10, 100) == pytest.approx((0.0490, 0.1762), abs=1e-4)
    assert clopper_pearson(7, 7)[1] == 1.0


def test_errors_beyond_a_level_are_counted_and_refusals_are_not() -> None:
    tries = [tried(1, 9.0), tried(1, 11.0), tried(2, 3.0), Judged("tycho", 3, -1, 20.0, 5e4, "no")]
    counted = summary(tries)
    assert (counted["tries"], counted["fixes"], counted["frames"]) == (4, 3, 2)
    assert (counted["beyond horizontal"], counted["beyond vertical"]) == (1, 0)
    assert counted["horizontal"] == pytest.approx(10.0 / 9.0)


def test_fixes_of_one_frame_do_not_count_as_independent() -> None:
    """Ten exceedances in one frame of a hundred tell less than ten in ten frames."""
    together = [
        tried(frame, 11.0 if frame == 0 else 1.0) for frame in range(100) for _ in range(10)
    ]
    apart = [tried(frame, 11.0 if frame < 10 and k == 0 else 1.0)
             for frame in range(100) for k in range(10)]  # fmt: skip

    def widths(tries: list[Judged]) -> tuple[str, str]:
        row = risk_intervals(tries)[0]
        return row["95 % independent"], row["95 % by frame"]

    assert widths(together)[0] == widths(apart)[0]
    assert float(widths(together)[1].split()[-1]) > 1.5 * float(widths(apart)[1].split()[-1])


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A frame's file: one refusal and two fixes at the truth, without pull."""
    evidence, _, _ = gaussian_evidence(np.random.default_rng(0))
    path = tmp_path / "tycho_00001.npz"
    np.savez(
        path,
        true_m=evidence.start.position_m,
        axes=east_north_up(evidence.start.position_m),
        sun_elevation_deg=20.0,
        altitude_m=6e4,
        map_pixel_m=237.0,
        map_height_sigma_m=8.0,
        sun_direction=east_north_up(evidence.start.position_m)[2],
        width_px=512,
        height_px=512,
        focal_px=450.0,
        refused=np.array(["night"]),
        draw=np.array([1, 3]),
        position_m=np.array(2 * [evidence.start.position_m]),
        quaternion_xyzw=np.array(2 * [evidence.start.quaternion_xyzw]),
        prior_information=np.array(2 * [evidence.prior_information]),
        prior_pull=np.zeros((2, 6)),
        information=np.array(2 * [evidence.information]),
        pull=np.zeros((2, *evidence.pull.shape)),
    )
    return path


def test_a_kept_frame_is_judged_without_being_located_again(kept: Path) -> None:
    refusal, first, second = judged(kept)
    assert refusal.reason == "night"
    assert (first.noise, second.noise) == (0, 1)
    assert first.horizontal_m == pytest.approx(0.0, abs=1e-6)
    calm = np.sqrt(CALM_SCALE) * np.array(first.plain_m)
    assert (calm > 0.0).all()
    assert (calm < first.levels_m).all()
    assert first.levels_m == pytest.approx(OVERBOUND * calm, rel=0.1)


def test_a_planted_fault_moves_the_fix_and_widens_its_level_or_refuses_it(kept: Path) -> None:
    _, calm, _ = judged(kept)
    _, shifted, _ = judged(kept, fault_of_map=1.0)
    assert 10.0 < shifted.horizontal_m < shifted.levels_m[0]
    assert shifted.levels_m[0] > 2.0 * calm.levels_m[0]
    _, gross, _ = judged(kept, fault_of_map=4.0)
    assert "parts of the view disagree" in gross.reason
