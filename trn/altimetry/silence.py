"""Silence is a symptom: valid ranges that are due and do not come."""

from __future__ import annotations

import math

_SILENT_SHARE = 0.5
"""Share of readings that a silent instrument loses, at least."""
_ALARM = 12.0
_MOST = 24.0


class SilenceWatch:
    """A cumulative sum of log likelihood ratios (Page 1954): silent against its usual dropouts."""

    def __init__(self, dropouts: float) -> None:
        usual = min(max(dropouts, 1e-4), 0.4)
        self._missed = math.log(_SILENT_SHARE / usual)
        self._came = math.log((1.0 - _SILENT_SHARE) / (1.0 - usual))
        self._sum = 0.0

    @property
    def alarmed(self) -> bool:
        """Whether silence is established."""
        return self._sum >= _ALARM

    @property
    def probability(self) -> float:
        """Probability that the instrument is silent, its prior odds taken as the alarm's."""
        return 1.0 / (1.0 + math.exp(min(_ALARM - self._sum, 700.0)))

    def due(self, came: bool) -> None:
        """Count a reading that was due."""
        self._sum = min(max(self._sum + (self._came if came else self._missed), 0.0), _MOST)

    def answered(self) -> None:
        """A reading that agrees again ends the silence."""
        if self.alarmed:
            self._sum = 0.0
