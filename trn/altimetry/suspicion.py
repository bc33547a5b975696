"""How far an altimeter is suspected once it was blamed: faults last, and no sensor is shut out.

Suspicion is the prior log odds of a fault against "all is well". It stands high while readings are
turned away, falls when one is taken again, and eases with each that is taken, and with time.
"""

from __future__ import annotations

import math

UNSUSPECTED_PRIOR = -13.0
"""Faults are rare, and many are tried at each reading."""
STANDING_PRIOR, FADES_S = -3.0, 30.0
"""Of an altimeter that was blamed. It fades by a unit in so many seconds."""
PROBATION_PRIOR, EASING = -7.0, 0.15
"""Of one that is taken again, and what each reading taken eases it by. A fault that goes on may
look well for a second, where ground rises as fast as the fault would show."""
NEAR_SIGMAS, NEAR_EASING = 0.25, 1.25
"""A reading so near to what the navigation expects by itself eases suspicion by so much, taken or
not: a healthy sensor that was blamed wrongly is back within a second or two."""
RELAPSE_S = 20.0
"""Blamed again so soon after it was last blamed, an altimeter has been at fault all along."""


class Suspicion:
    """Of one altimeter; it begins unsuspected."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._begun_s = self._last_s = -math.inf
        self._taken = 0
        self._eased = 0.0

    def prior(self, time_s: float) -> float:
        """Log odds of a fault before the reading at time_s is seen."""
        if self._since_s is None:
            return UNSUSPECTED_PRIOR
        level = STANDING_PRIOR
        if self._taken:
            level = PROBATION_PRIOR - EASING * self._taken
        faded = self._eased + (time_s - self._since_s) / FADES_S
        return max(level - faded, UNSUSPECTED_PRIOR)

    def stands(self, time_s: float) -> bool:
        """Whether any suspicion is left."""
        return self.prior(time_s) > UNSUSPECTED_PRIOR

    def blame(self, time_s: float) -> float:
        """The altimeter is blamed, anew or still; since when it has been at fault."""
        if time_s - self._last_s > RELAPSE_S:
            self._begun_s = time_s
        self._last_s = time_s
        if self._since_s is None or self._taken:
            self._since_s, self._taken, self._eased = time_s, 0, 0.0
        return self._begun_s

    def see(self, off_sigmas: float) -> None:
        """A reading came, so far from what the navigation expects by itself."""
        if off_sigmas < NEAR_SIGMAS:
            self._eased += NEAR_EASING

    def take(self) -> None:
        """A reading of it was taken."""
        self._taken += 1
