"""How far off a fix may be at a stated risk.

Solution separation (Brown and McBurney 1988, "Self-contained GPS integrity check using maximum
solution separation"; in the multiple-hypothesis form of Blanch et al. 2012, "Advanced RAIM user
algorithm description"): the pose is solved again without each of several windows of the view. If
what a window shows is wrong (a map tile, a shadow, new craters), the solution without it is right,
and the fix is off by the separation and by that solution's own error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from trn.solve.evidence import PARTS_A_SIDE, Evidence

Array = NDArray[np.float64]

INTEGRITY_RISK = 1e-3
WINDOW_FAULT = 5e-4
"""Probability, before a look at the frame, that what a window of the view shows is wrong."""

_DIRECTIONS = (np.arange(32) + 0.5) * np.pi / 64.0
"""Angles over a quarter circle, in the middle of equal steps."""
OVERBOUND = 1.02
"""By how much levels are wider than those of Gaussian errors, as true ones have longer tails: of
3,470 fixes of odd-numbered scenes, before the alignment of now, 3 were beyond their level without
it and 2 with it; now none of 1,097 is (`python -m bench.integrity`; its report is of even scenes).
"""
CALM_SCALE, SCALE_A_SURPRISE = 0.68, 0.055
"""Aligned views whose parts agree better err less: the scale of covariances over the largest
squared separation, which makes errors of odd-numbered scenes likeliest (bench.integrity)."""
CALM_SURPRISE = 8.0
"""Squared separation over its covariance beyond which covariances grow at least in proportion: nine
in ten rendered scenes stay below. Refusing instead would turn away right fixes of Apollo 15 frames,
whose map is worse than it says."""


@dataclass(frozen=True, eq=False)
class Separations:
    """The fix beside the solutions without each window of the view, in one local frame.

    offset_m: (H, 3), fix minus solution, zero for the fix itself, which comes first.
    covariance_m2: (H, 3, 3), of each solution's error, widened. chance: (H,), of each hypothesis.
    surprise: the largest squared separation over its covariance, three degrees of freedom.
    of_channels: the same of the solution without each channel (empty where there is one alone).
    widening: by how much the covariances are, for parts that disagree.
    """

    offset_m: Array
    covariance_m2: Array
    chance: Array
    surprise: float
    scale: float
    of_channels: tuple[float, ...] = ()


def windows(channels: int = 1) -> NDArray[np.bool_]:
    """The parts that each hypothesis takes for wrong, bool (H, K).

    Nine squares half the view wide, overlapping, of every channel: what is wrong within less than a
    part's width lies wholly in one of them. Of two channels and more, each of them as a whole.
    """
    half = PARTS_A_SIDE // 2
    held = np.zeros((half + 1, half + 1, PARTS_A_SIDE, PARTS_A_SIDE), dtype=bool)
    for row in range(half + 1):
        for column in range(half + 1):
            held[row, column, row : row + half, column : column + half] = True
    squares = np.tile(held.reshape(-1, PARTS_A_SIDE**2), channels)
    if channels == 1:
        return squares
    whole = np.repeat(np.eye(channels, dtype=bool), PARTS_A_SIDE**2, axis=1)
    return np.concatenate([squares, whole])


def solution_separations(evidence: Evidence, axes: Array) -> Separations:
    """The fix and the solutions without each window or channel, positions along axes (3, 3)."""
    held = windows(evidence.channels)
    kept = np.concatenate([np.ones((1, held.shape[1]), dtype=bool), ~held])
    found = evidence.solved(kept)
    position = found.correction[:, :3] @ axes.T
    covariance = axes @ found.covariance[:, :3, :3] @ axes.T
    apart = axes @ found.apart[1:, :3, :3] @ axes.T
    offset = position[0] - position
    square = np.einsum("hi,hij,hj->h", offset[1:], np.linalg.pinv(apart, 1e-9, True), offset[1:])
    chance = np.full(len(kept), WINDOW_FAULT)
    chance[0] = 1.0 - WINDOW_FAULT * len(held)
    surprise = float(square.max())
    calm = CALM_SCALE + SCALE_A_SURPRISE * surprise if evidence.aligned else 1.0
    scale = max(calm, surprise / CALM_SURPRISE)
    of_channels = square[len(square) - evidence.channels :] if evidence.channels > 1 else []
    return Separations(
        offset, scale * covariance, chance, surprise, scale, tuple(map(float, of_channels))
    )


def separated_levels(separations: Separations, risk: float = INTEGRITY_RISK) -> tuple[float, float]:
    """Horizontal and vertical protection level, in metres, over all hypotheses.

    The separations' axes are east, north, up. Each level is what the error exceeds with half the
    risk, in the mean over the hypotheses, widened by OVERBOUND.
    """
    chance, offset, covariance = (
        separations.chance,
        separations.offset_m,
        separations.covariance_m2,
    )
    horizontal = _radial_level(
        chance, np.hypot(offset[:, 0], offset[:, 1]), covariance[:, :2, :2], risk / 2
    )
    sigma = np.sqrt(covariance[:, 2, 2])
    parts = list(zip(chance.tolist(), offset[:, 2].tolist(), sigma.tolist(), strict=True))
    return OVERBOUND * horizontal, OVERBOUND * mixture_level(parts, risk / 2)


def protection_levels(
    covariance_enu_m2: Array, risk: float = INTEGRITY_RISK
) -> tuple[float, float]:
    """Horizontal and vertical protection level, in metres, of a Gaussian position error.

    covariance_enu_m2: (3, 3), east, north, up. Half of the risk goes to each level.
    """
    flat = covariance_enu_m2[None, :2, :2]
    horizontal = _radial_level(np.ones(1), np.zeros(1), flat, risk / 2)
    vertical = float(-ndtri(risk / 4) * np.sqrt(covariance_enu_m2[2, 2]))
    return horizontal, vertical


def _radial_level(chance: Array, apart_m: Array, covariance_m2: Array, risk: float) -> float:
    """Level that the length of a plane error exceeds with at most probability `risk`, in metres.

    chance: (H,), of Gaussians with means of length apart_m and covariances (H, 2, 2). A Gaussian
    about zero exceeds a level r with the mean over directions of exp(-r^2 / 2 s^2), where s goes
    round between the ellipse's half axes; a mean's length is added in full.
    """
    axes = np.linalg.eigvalsh(covariance_m2)
    variance = axes @ np.stack([np.sin(_DIRECTIONS) ** 2, np.cos(_DIRECTIONS) ** 2])
    # A length squared of two degrees of freedom exceeds -2 log p with probability p.
    most = float((apart_m + np.sqrt(-2.0 * math.log(1e-3 * risk) * axes[:, 1])).max())
    return float(brentq(_excess, 0.0, most, (chance, apart_m, variance, risk), xtol=1e-3))


@njit(cache=True, nogil=True, error_model="numpy")
def _excess(level: float, chance: Array, apart_m: Array, variance: Array, risk: float) -> float:
    """By how much the chance of lengths beyond a level is more than the risk.

    variance: (H, M), of each Gaussian (H,) along M directions.
    """
    excess = -risk
    for h in range(variance.shape[0]):
        beyond = max(level - apart_m[h], 0.0)
        tail = 0.0
        for direction in range(variance.shape[1]):
            tail += math.exp(-0.5 * beyond**2 / variance[h, direction])
        excess += chance[h] * tail / variance.shape[1]
    return excess


def untrusted(separations: Separations, levels: tuple[float, float], alert_limit_m: float) -> str:
    """Why a fix with these separations and levels must not be given, in plain words; else ""."""
    for name, level in zip(("horizontal", "vertical"), levels, strict=True):
        if level > alert_limit_m:
            reason = f"the fix would be too uncertain: {name} protection level {level:.0f} m"
            if separations.surprise > CALM_SURPRISE:
                furthest = float(np.linalg.norm(separations.offset_m, axis=1).max())
                reason += f", as parts of the view disagree by {furthest:.0f} m"
            return reason
    return ""


def mixture_level(parts: Sequence[tuple[float, float, float]], risk: float) -> float:
    """Level that the magnitude of an error exceeds with probability `risk`, in metres.

    parts: (probability, mean, sigma) of Gaussians; their probabilities sum to 1.
    """

    return float(_mixture_level(np.array(parts, dtype=np.float64), risk))


@njit(cache=True)
def _mixture_level(parts: Any, risk: float) -> float:
    """By bisection, to a millimetre, of the excess over the risk, which falls with the level."""
    low, high = 0.0, 0.0
    for k in range(parts.shape[0]):
        high = max(high, abs(parts[k, 1]) + 40.0 * parts[k, 2])
    while high - low > 1e-3:
        level = 0.5 * (low + high)
        beyond = 0.0
        for k in range(parts.shape[0]):
            scale = math.sqrt(2.0) * parts[k, 2]
            beyond += 0.5 * parts[k, 0] * math.erfc((level - parts[k, 1]) / scale)
            beyond += 0.5 * parts[k, 0] * math.erfc((level + parts[k, 1]) / scale)
        if beyond > risk:
            low = level
        else:
            high = level
    return high
