"""What may be wrong with an altimeter, and how well each supposition fits the last readings."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trn.altimetry.belief import Belief
from trn.altimetry.evidence import (
    BIAS,
    DELAY,
    DRIFT,
    NOISE,
    NONE,
    ROUGH,
    SCALE,
    weigh_runs,
)
from trn.altimetry.fix_evidence import UNKNOWN_ACCELERATION_M_PER_S2
from trn.altimetry.profile import Candidates, Reading
from trn.altimetry.terrain import MapRanges

Array = NDArray[np.float64]

LEAST_TRAINING = 6
"""Accepted readings from which on tested ones are held against what was tracked so far."""

SUPPOSED: tuple[tuple[int, float, str], ...] = (
    (NONE, 0.0, ""),
    (BIAS, 30.0, "bias"),
    (BIAS, 150.0, "bias"),
    (BIAS, 800.0, "bias"),
    (BIAS, 4000.0, "bias"),
    (SCALE, 0.02, "scale"),
    (SCALE, 0.2, "scale"),
    (DELAY, 0.3, "delay"),
    (NOISE, 30.0, "noise"),
    (NOISE, 150.0, "noise"),
    (NOISE, 800.0, "noise"),
)
KINDS = np.array([row[0] for row in SUPPOSED] + [ROUGH, DRIFT])
SIZES = np.array([row[1] for row in SUPPOSED] + [5.0, 1.0])
FAULTS = slice(1, len(SUPPOSED))
ROUGH_INDEX, DRIFT_INDEX = len(SUPPOSED), len(SUPPOSED) + 1
"""Explanations besides a faulty altimeter: the map errs more there, dead reckoning has drifted."""

ROUGH_SHARE = 0.02
"""Share of runs of readings over relief SIZES[ROUGH_INDEX] times what it mostly is: a crater that
the map is too coarse to show."""


def run_evidence(
    belief: Belief,
    readings: list[Reading],
    places: Candidates,
    runs: tuple[int, ...],
    mean: Array,
    variance: float,
    ranges: MapRanges,
) -> Array:
    """Log evidence of runs of the last readings under each supposed fault, (runs, H)."""
    e, gap, columns = places.rows(readings)
    fitting = np.array([run for run in runs if run <= len(readings)])
    out = np.empty((len(fitting), len(KINDS)))
    count = len(places.offsets_m)
    weigh_runs(
        e,
        gap,
        columns,
        np.array([reading.compared for reading in readings]),
        fitting,
        ranges.correlation_length_m,
        np.full(count, -math.log(count)),
        mean,
        variance,
        belief.velocity_sigma_m_per_s,
        belief.unaided_s,
        UNKNOWN_ACCELERATION_M_PER_S2,
        LEAST_TRAINING,
        KINDS,
        SIZES,
        out,
    )
    # "All is well" is a mixture of both.
    out[:, 0] = np.logaddexp(
        math.log(1.0 - ROUGH_SHARE) + out[:, 0], math.log(ROUGH_SHARE) + out[:, ROUGH_INDEX]
    )
    return out
