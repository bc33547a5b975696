"""A navigation filter that takes measurements late, at the time they were made.

It keeps the last seconds: the filter as it stood before each run of inertial samples, and what was
done since. A late measurement is applied there, and all that was done since is done again, so that
the outcome is that of a filter which had it in time (reprocessing; Larsen et al. 1998, CDC, compare
it with cheaper ways that are not exact).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trn.navigation.filter import Innovation, MapErrorModel, NavigationFilter
from trn.navigation.state import NavigationState

Array = NDArray[np.float64]
Operation = Callable[[NavigationFilter], object]
Outcome = TypeVar("Outcome")

HISTORY_S = 10.0
"""How late a measurement may come."""
SAME_TIME_S = 1e-6
"""Times this close are the same."""


@dataclass(frozen=True, eq=False)
class _Samples:
    """A run of inertial samples of one step."""

    rates: Array
    forces: Array
    step_s: float
    map_errors: MapErrorModel

    def carry(self, each: NavigationFilter) -> None:
        each.propagate(self.rates, self.forces, self.step_s, self.map_errors)

    def split(self, after_s: float) -> tuple[list[_Samples], list[_Samples]]:
        """What comes before a time from the start, and what after it; a sample may be cut."""
        whole = min(int((after_s + SAME_TIME_S) / self.step_s), len(self.rates))
        cut_s = after_s - whole * self.step_s
        before, after = [self._part(0, whole)], []
        if cut_s > SAME_TIME_S and whole < len(self.rates):
            cut = self._part(whole, whole + 1)
            before.append(replace(cut, step_s=cut_s))
            after.append(replace(cut, step_s=self.step_s - cut_s))
            whole += 1
        after.append(self._part(whole, len(self.rates)))
        return before, after

    def _part(self, first: int, end: int) -> _Samples:
        return replace(self, rates=self.rates[first:end], forces=self.forces[first:end])


@dataclass(eq=False)
class _Leg:
    """The filter at a time, the samples that carried it on, and what was then done, in order.

    Copies of a history share begin, so it is replaced and never changed in place.
    """

    begin: NavigationFilter
    samples: _Samples
    after: list[Operation] = field(default_factory=list)

    @property
    def begin_s(self) -> float:
        return self.begin.state.time_s

    def copy(self) -> _Leg:
        return _Leg(self.begin, self.samples, list(self.after))

    def repeat(self, each: NavigationFilter) -> None:
        """Do all of it again with a filter that stands at the beginning."""
        self.samples.carry(each)
        for operation in self.after:
            operation(each)


class DelayedFilter:
    """A `NavigationFilter` with a memory of HISTORY_S, for measurements that come late."""

    def __init__(self, started: NavigationFilter) -> None:
        self._now = started
        self._legs: deque[_Leg] = deque()

    @property
    def state(self) -> NavigationState:
        """The state of now; changed in place as time goes on, for reading only."""
        return self._now.state

    def copy(self) -> DelayedFilter:
        """A filter that goes its own way from here, with the same past."""
        twin = DelayedFilter(self._now.copy())
        twin._legs.extend(leg.copy() for leg in self._legs)
        return twin

    def propagate(
        self, rates: Array, forces: Array, step_s: float, map_errors: MapErrorModel
    ) -> None:
        """As `NavigationFilter.propagate`."""
        samples = _Samples(np.array(rates), np.array(forces), step_s, map_errors)
        self._legs.append(_Leg(self._now.copy(), samples))
        samples.carry(self._now)
        oldest_s = self.state.time_s - HISTORY_S
        while len(self._legs) > 1 and self._legs[1].begin_s <= oldest_s:
            self._legs.popleft()

    # --- what is done now ------------------------------------------------------------------------

    def widen(
        self, velocity_sigma_m_per_s: float, attitude_sigma_rad: float, over_s: float = 0.0
    ) -> None:
        """As `NavigationFilter.widen`."""
        self._do(lambda each: each.widen(velocity_sigma_m_per_s, attitude_sigma_rad, over_s))

    def move(self, offset_m: Array, sigma_m: float) -> None:
        """As `NavigationFilter.move`."""
        self._do(lambda each: each.move(offset_m, sigma_m))

    def doubt_accelerometers(
        self, bias_sigma_m_per_s2: float, velocity_sigma_m_per_s: float
    ) -> None:
        """As `NavigationFilter.doubt_accelerometers`."""
        self._do(
            lambda each: each.doubt_accelerometers(bias_sigma_m_per_s2, velocity_sigma_m_per_s)
        )

    def attitude_innovation(self, quaternion_xyzw: Array) -> Innovation:
        """As `NavigationFilter.attitude_innovation`."""
        return self._now.attitude_innovation(quaternion_xyzw)

    def update_attitude(self, quaternion_xyzw: Array) -> Innovation:
        """As `NavigationFilter.update_attitude`."""
        return self._do(lambda each: each.update_attitude(quaternion_xyzw))

    def position_innovation(self, position_m: Array, covariance_m2: Array) -> Innovation:
        """As `NavigationFilter.position_innovation`."""
        return self._now.position_innovation(position_m, covariance_m2)

    def update_position(self, position_m: Array, covariance_m2: Array) -> Innovation:
        """As `NavigationFilter.update_position`."""
        return self._do(lambda each: each.update_position(position_m, covariance_m2))

    def update_range(self, residual_m: float, jacobian: Array, variance_m2: float) -> Innovation:
        """As `NavigationFilter.update_range`.

        The residual holds against the state of now. Where a late measurement has since moved that
        state, the residual is moved along the jacobian: what was measured stays what it was.
        """
        told = self.state.copy()

        def update(each: NavigationFilter) -> Innovation:
            moved_m = float(jacobian @ each.state.error_of(told))
            return each.update_range(residual_m - moved_m, jacobian, variance_m2)

        return self._do(update)

    def reset_position(
        self, position_m: Array, covariance_m2: Array, velocity_sigma_m_per_s: float
    ) -> None:
        """As `NavigationFilter.reset_position`."""
        self._do(
            lambda each: each.reset_position(position_m, covariance_m2, velocity_sigma_m_per_s)
        )

    # --- what was measured earlier ---------------------------------------------------------------

    def state_at(self, time_s: float) -> NavigationState:
        """A copy of the state at a time of the last HISTORY_S, as it is known today.

        Carried there from the last snapshot, so it knows nothing that was measured after it.
        Raises ValueError for a time that is not within the history.
        """
        return self._filter_at(time_s).state

    def position_innovation_at(
        self, time_s: float, position_m: Array, covariance_m2: Array
    ) -> Innovation:
        """`NavigationFilter.position_innovation` at a time of the last HISTORY_S.

        Raises ValueError for a time that is not within the history.
        """
        return self._filter_at(time_s).position_innovation(position_m, covariance_m2)

    def update_position_at(
        self, time_s: float, position_m: Array, covariance_m2: Array
    ) -> Innovation:
        """Correct the state with a position fix of a time of the last HISTORY_S.

        Raises ValueError for a time that is not within the history.
        """
        return self._do_at(time_s, lambda each: each.update_position(position_m, covariance_m2))

    def velocity_innovation_at(
        self,
        time_s: float,
        velocity_m_per_s: Array,
        covariance: Array,
        place_m: Array,
        height_m: float,
    ) -> Innovation:
        """`NavigationFilter.velocity_innovation` at a time of the last HISTORY_S.

        Raises ValueError for a time that is not within the history.
        """
        return self._filter_at(time_s).velocity_innovation(
            velocity_m_per_s, covariance, place_m, height_m
        )

    def update_velocity_at(
        self,
        time_s: float,
        velocity_m_per_s: Array,
        covariance: Array,
        place_m: Array,
        height_m: float,
    ) -> Innovation:
        """Correct the state with a velocity seen in images at a time of the last HISTORY_S.

        Raises ValueError for a time that is not within the history.
        """
        return self._do_at(
            time_s,
            lambda each: each.update_velocity(velocity_m_per_s, covariance, place_m, height_m),
        )

    def reset_position_at(
        self,
        time_s: float,
        position_m: Array,
        covariance_m2: Array,
        velocity_sigma_m_per_s: float,
    ) -> None:
        """`NavigationFilter.reset_position` to a place of a time of the last HISTORY_S.

        Raises ValueError for a time that is not within the history.
        """
        sigma = velocity_sigma_m_per_s
        self._do_at(time_s, lambda each: each.reset_position(position_m, covariance_m2, sigma))

    def adopt_at(self, time_s: float, other: DelayedFilter) -> None:
        """Be, from a time of the last HISTORY_S on, what another filter was at that time.

        What this filter has done since is done again; what the other has is not taken over. Raises
        ValueError for a time that is not within both histories.
        """
        adopted = other._filter_at(time_s)
        self._do_at(time_s, lambda each: each.adopt(adopted))

    def _filter_at(self, time_s: float) -> NavigationFilter:
        """A copy of the filter at a time."""
        index = self._leg_at(time_s)
        if index == len(self._legs):
            return self._now.copy()
        leg = self._legs[index]
        each = leg.begin.copy()
        for part in leg.samples.split(time_s - leg.begin_s)[0]:
            part.carry(each)
        return each

    def _do(self, operation: Callable[[NavigationFilter], Outcome]) -> Outcome:
        if self._legs:
            self._legs[-1].after.append(operation)
        return operation(self._now)

    def _do_at(self, time_s: float, operation: Callable[[NavigationFilter], Outcome]) -> Outcome:
        """Do something at an earlier time, and again all that was done since."""
        index = self._leg_at(time_s)
        if index == len(self._legs):
            return self._do(operation)
        index = self._cut(index, time_s)
        each = self._legs[index].begin.copy()
        if index > 0:
            self._legs[index - 1].after.append(operation)
        outcome = operation(each)
        for k in range(index, len(self._legs)):
            self._legs[k].begin = each.copy()
            self._legs[k].repeat(each)
        self._now = each
        return outcome

    def _leg_at(self, time_s: float) -> int:
        """Index of the leg that a time is in; the number of legs for now.

        Raises ValueError for a time that is not within the history.
        """
        now_s = self.state.time_s
        if not time_s <= now_s + SAME_TIME_S:
            raise ValueError(f"{time_s:.6f} s is later than the filter, at {now_s:.6f} s")
        if time_s >= now_s - SAME_TIME_S:
            return len(self._legs)
        index = len(self._legs) - 1
        while index >= 0 and self._legs[index].begin_s > time_s + SAME_TIME_S:
            index -= 1
        if index < 0 or time_s < now_s - HISTORY_S - SAME_TIME_S:
            raise ValueError(
                f"{time_s:.6f} s is before what the filter remembers, at {now_s:.6f} s"
            )
        return index

    def _cut(self, index: int, time_s: float) -> int:
        """Make a leg begin at a time within another; index of the leg that begins there."""
        leg = self._legs[index]
        passed_s = time_s - leg.begin_s
        if passed_s <= SAME_TIME_S:
            return index
        before, after = leg.samples.split(passed_s)
        each = leg.begin.copy()
        legs = []
        for part in (*before, *after):
            if len(part.rates):
                legs.append(_Leg(each.copy(), part))
                part.carry(each)
        legs[-1].after = leg.after
        self._legs = deque([*list(self._legs)[:index], *legs, *list(self._legs)[index + 1 :]])
        return index + sum(len(part.rates) > 0 for part in before)
