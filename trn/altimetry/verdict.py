"""Verdicts on readings and fixes: who is wrong, how sure that is, and in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from trn.altimetry.expected import ExpectedRange

CONSISTENT, ALTIMETER, NAVIGATION, MAP, UNDECIDED = (
    "consistent", "altimeter", "navigation", "map", "undecided"
)  # fmt: skip
VERDICTS = (CONSISTENT, ALTIMETER, NAVIGATION, MAP, UNDECIDED)
CAMERA, CLOCK = "camera", "clock"


@dataclass(frozen=True)
class Assessment:
    """What one altimeter reading was judged to be.

    verdict: one of VERDICTS. probabilities: posterior of each. kind: of the fault, "" where none.
    expected_m, expected_sigma_m: NaN where no ground of the map is under the beam. used: whether
    the navigation may take it. sentence: the verdict in plain words.
    """

    time_s: float
    verdict: str
    probabilities: dict[str, float]
    kind: str
    expected_m: float
    expected_sigma_m: float
    used: bool
    sentence: str


@dataclass(frozen=True)
class FixAssessment:
    """What one image fix was judged to be.

    party: CONSISTENT, or who is wrong (NAVIGATION, MAP, CAMERA, CLOCK, UNDECIDED). accepted: the
    navigation may take it. reset: the fixes agree among themselves and with dead reckoning's
    honest past: the navigated state is to be moved to them. drifted: it moved off step by step, as
    with a faulty inertial unit.
    """

    party: str
    probability: float
    accepted: bool
    reset: bool
    drifted: bool


def sentence_of(
    verdict: str, kind: str, range_m: float, expected: ExpectedRange, probability: float
) -> str:
    """The verdict on a reading in plain words."""
    difference = range_m - expected.mean_m
    against = f"{expected.mean_m:,.0f} m (1 sigma {expected.sigma_m:,.0f} m)"
    if verdict == CONSISTENT:
        return f"{range_m:,.0f} m agrees with the {against} expected."
    off = f"{range_m:,.0f} m is {abs(difference):,.0f} m {'more' if difference > 0 else 'less'}"
    sure = f"{100 * probability:.0f} % sure"
    if verdict == ALTIMETER:
        return f"{off} than the {against} expected: the altimeter is wrong ({kind}; {sure})."
    if verdict == NAVIGATION:
        return f"{off} than the {against} expected: the navigation is wrong ({sure})."
    if verdict == MAP:
        return f"{off} than the {against} expected: the map is wrong ({sure})."
    return f"{off} than the {against} expected; who is wrong cannot be told."
