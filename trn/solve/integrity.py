"""How far off a fix may be at a stated risk.

Solution separation (Brown and McBurney 1988, "Self-contained GPS integrity check using maximum
solution separation"; in the multiple-hypothesis form of Blanch et al. 2012, "Advanced RAIM user
algorithm description"): the pose is solved again without each of several windows of the view. If
what a window shows is wrong (a map tile, a shadow, new craters), the solution without it is right,
and the fix is off by the separation and by that solution's own error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from trn.solve.evidence import PARTS_A_SIDE, Evidence
from trn.solve.linear import principal_axes

Array = NDArray[np.float64]

INTEGRITY_RISK = 1e-3
WINDOW_FAULT = 5e-4
"""Probability, before a look at the frame, that what a window of the view shows is wrong."""

DIRECTIONS = 32
"""Over a quarter circle."""
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


FLAT = 1e-9
"""Variances below so much of the largest are rounding: nothing is separated along there."""


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
    found = evidence.solved(_kept(evidence.channels))
    offset, covariance, square = _along(
        np.ascontiguousarray(axes), found.correction, found.covariance, found.apart
    )
    chance = np.full(len(offset), WINDOW_FAULT)
    chance[0] = 1.0 - WINDOW_FAULT * (len(offset) - 1)
    surprise = float(square[1:].max())
    calm = CALM_SCALE + SCALE_A_SURPRISE * surprise if evidence.aligned else 1.0
    scale = max(calm, surprise / CALM_SURPRISE)
    of_channels = square[-evidence.channels :].tolist() if evidence.channels > 1 else ()
    return Separations(offset, scale * covariance, chance, surprise, scale, tuple(of_channels))


@lru_cache
def _kept(channels: int) -> NDArray[np.bool_]:
    """The parts that the fix, first, and each solution without a window rest on, bool (H, K)."""
    held = windows(channels)
    return np.concatenate([np.ones((1, held.shape[1]), dtype=bool), ~held])


@njit(cache=True, nogil=True, error_model="numpy")
def _along(
    axes: Array, correction: Array, covariance: Array, apart: Array
) -> tuple[Array, Array, Array]:
    """Solutions seen along axes (3, 3), and how surprising each one's separation is.

    Offsets (H, 3) of the first from each; covariances (H, 3, 3) of positions; squares (H,) of the
    offsets over their covariances `apart`, along those of their axes that are not flat.
    """
    count = correction.shape[0]
    offset, turned = np.zeros((count, 3)), np.zeros((count, 3, 3))
    square, between = np.zeros(count), np.empty((3, 3))
    for h in range(count):
        for i in range(3):
            for k in range(3):
                offset[h, i] += axes[i, k] * (correction[0, k] - correction[h, k])
            for j in range(3):
                between[i, j] = 0.0
                for k in range(3):
                    for m in range(3):
                        turned[h, i, j] += axes[i, k] * covariance[h, k, m] * axes[j, m]
                        between[i, j] += axes[i, k] * apart[h, k, m] * axes[j, m]
        variance, directions = principal_axes(between)
        most = max(abs(variance[0]), abs(variance[1]), abs(variance[2]))
        for j in range(3):
            if abs(variance[j]) > FLAT * most:
                along = 0.0
                for i in range(3):
                    along += directions[i, j] * offset[h, i]
                square[h] += along * along / variance[j]
    return offset, turned, square


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
    parts = np.stack([chance, offset[:, 2], sigma], axis=1)
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
    variance, axis = _variances(np.ascontiguousarray(covariance_m2))
    # A length squared of two degrees of freedom exceeds -2 log p with probability p.
    most = float((apart_m + np.sqrt(-2.0 * math.log(1e-3 * risk)) * axis).max())
    return float(brentq(_excess, 0.0, most, (chance, apart_m, variance, risk), xtol=1e-3))


@njit(cache=True, nogil=True, error_model="numpy")
def _variances(covariance_m2: Array) -> tuple[Array, Array]:
    """Of plane Gaussians (H, 2, 2), along DIRECTIONS over a quarter circle from the longer axis.

    (H, M), in the middle of equal steps; and the longer half axes (H,), 1 sigma.
    """
    count = covariance_m2.shape[0]
    variance, axis = np.empty((count, DIRECTIONS)), np.empty(count)
    for h in range(count):
        x, y, xy = covariance_m2[h, 0, 0], covariance_m2[h, 1, 1], covariance_m2[h, 1, 0]
        mean, spread = 0.5 * (x + y), math.hypot(0.5 * (x - y), xy)
        axis[h] = math.sqrt(mean + spread)
        for k in range(DIRECTIONS):
            variance[h, k] = mean + spread * math.cos((k + 0.5) * math.pi / DIRECTIONS)
    return variance, axis


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


def mixture_level(parts: ArrayLike, risk: float) -> float:
    """Level that the magnitude of an error exceeds with probability `risk`, in metres.

    parts: (K, 3), probability, mean and sigma of Gaussians; their probabilities sum to 1.
    """
    return float(_mixture_level(np.array(parts, dtype=np.float64), risk))


@njit(cache=True)
def _mixture_level(parts: Array, risk: float) -> float:
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
