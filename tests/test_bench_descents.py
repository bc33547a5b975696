"""Drawn descents: what faults share is flown once, and nothing is changed by that."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.descents import Options, branches, flown, scene
from trn.simulate.faults import parse_fault

ONSET_S = 250.0


@pytest.mark.slow
def test_descents_that_begin_as_one_are_what_each_is_alone(data_dir: Path, tmp_path: Path) -> None:
    """Needs the noise-free ranges of a whole descent, which take a minute or two."""
    at = scene("tycho-highlands", tmp_path)
    faults = [
        [parse_fault(f"{text}onset={ONSET_S},duration=6")]
        for text in ("lrf-stuck:", "map-shift:size=400,", "imu-bias-step:size=1,")
    ]
    options = Options(ONSET_S - 6.0, ONSET_S + 10.0, 300.0)
    for fault, run in zip(faults, branches(at, 0, faults, options, ONSET_S), strict=True):
        alone = flown(at, 0, fault, options)
        assert run.altitude_m == alone.altitude_m
        assert run.healthy.tolist() == alone.healthy.tolist()
        assert [judged.verdict for judged in run.judged] == [
            judged.verdict for judged in alone.judged
        ]
        assert [alarm.kind for alarm in run.alarms] == [alarm.kind for alarm in alone.alarms]
