"""Log odds of every explanation, and the posteriors of the parties that they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trn.altimetry.verdict import ALTIMETER, CAMERA, CLOCK, CONSISTENT, MAP, NAVIGATION


@dataclass(frozen=True)
class Weighed:
    """Log odds of explanations against "all is well".

    altimeter: its fault of a kind. state, drift, map, clock, camera: of the fixes alone. at_state,
    at_drift, at_map: what the readings add where the lander, or the map, is what that says.
    """

    altimeter: float
    kind: str
    state: float
    drift: float
    map: float
    clock: float
    camera: float
    at_state: float
    at_drift: float
    at_map: float

    @property
    def drifted(self) -> bool:
        """Whether a drift is likelier than a state that jumped."""
        return self.drift + self.at_drift > self.state + self.at_state

    def of_reading(self) -> dict[str, float]:
        """Posterior of who is wrong about the readings; a faulty altimeter may not be alone."""
        alone = [0.0, self.state, self.drift, self.map, self.clock, self.camera]
        return _posterior(
            {
                CONSISTENT: [0.0, self.clock, self.camera],
                ALTIMETER: [self.altimeter + other for other in alone],
                NAVIGATION: [self.state + self.at_state, self.drift + self.at_drift],
                MAP: [self.map + self.at_map],
            }
        )

    def of_fix(self) -> dict[str, float]:
        """Posterior of who is wrong about the fixes, whatever the altimeter is."""
        with_altimeter = self.altimeter
        return _posterior(
            {
                CONSISTENT: [0.0, with_altimeter],
                NAVIGATION: [
                    self.state + self.at_state, self.drift + self.at_drift,
                    self.state + with_altimeter, self.drift + with_altimeter,
                ],
                MAP: [self.map + self.at_map, self.map + with_altimeter],
                CLOCK: [self.clock, self.clock + with_altimeter],
                CAMERA: [self.camera, self.camera + with_altimeter],
            }
        )  # fmt: skip


def _posterior(odds: dict[str, list[float]]) -> dict[str, float]:
    """Probabilities of parties from the log odds of their explanations."""
    logs = np.array([np.logaddexp.reduce(each) for each in odds.values()])
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    return dict(zip(odds, shares.tolist(), strict=True))
