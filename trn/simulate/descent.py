"""Powered descent under lunar gravity: braking by gravity turn, approach, vertical descent.

The motion is integrated in the rotating body-fixed frame (MOON_ME) with the gravity of
trn.moon.gravity. Braking thrusts against the velocity over ground at constant force from periapsis
(the gravity turn: Culler and Fried 1957, J. Applied Physics 28); its force and starting place are
solved for, so that the approach, whose speed falls with the square of the time left, ends above the
site with its thrust upright. The vertical descent is at constant speed with a last braking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, root

from trn.errors import InputError
from trn.moon.constants import GM_M3_PER_S2, REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.gravity import ROTATION_RATE_RAD_PER_S, apparent_acceleration

Array = NDArray[np.float64]

STANDARD_GRAVITY_M_PER_S2 = 9.80665
LEAST_ACCELERATION_M_PER_S2 = 1.63
MOST_ACCELERATION_M_PER_S2 = 15.0
LONGEST_BRAKING_S = 3000.0
_TOLERANCE: dict[str, Any] = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-6}

COAST, BRAKING, APPROACH, VERTICAL, TOUCHDOWN = (
    "coast", "braking", "approach", "vertical", "touchdown"
)  # fmt: skip
PLUNGE = "plunge"


@dataclass(frozen=True)
class DescentPlan:
    """What a descent is asked to do. Angles in radians, lengths in metres, times in seconds.

    latitude_rad, longitude_rad, ground_height_m: the site, height above the reference sphere.
    heading_rad: direction of flight over the site, from north clockwise.
    apoapsis_height_m, periapsis_height_m: of the orbit, above the reference sphere; braking starts
        at periapsis.
    gate_altitude_m, gate_speed_m_per_s: above the site, at the end of braking.
    vertical_altitude_m, vertical_speed_m_per_s: where the vertical descent starts and how fast.
    touchdown_altitude_m, touchdown_speed_m_per_s: where the last braking starts, and its end.
    mass_kg, specific_impulse_s: at the start of braking, and of the engine.
    coast_s: free fall before braking, cut at apoapsis.
    plunge_altitude_m, plunge_speed_m_per_s: where given, there is no landing: after the approach
        the descent slows evenly to this speed at this altitude, and ends there.
    """

    latitude_rad: float
    longitude_rad: float
    ground_height_m: float
    heading_rad: float
    apoapsis_height_m: float = 100_000.0
    periapsis_height_m: float = 15_000.0
    gate_altitude_m: float = 2_000.0
    gate_speed_m_per_s: float = 100.0
    vertical_altitude_m: float = 150.0
    vertical_speed_m_per_s: float = 5.0
    touchdown_altitude_m: float = 20.0
    touchdown_speed_m_per_s: float = 1.0
    mass_kg: float = 1000.0
    specific_impulse_s: float = 320.0
    coast_s: float = 0.0
    plunge_altitude_m: float | None = None
    plunge_speed_m_per_s: float | None = None

    def __post_init__(self) -> None:
        """Check that the heights and speeds come in order. Raises InputError naming the field."""
        order = [
            ("apoapsis_height_m", "periapsis_height_m"),
            ("gate_altitude_m", "vertical_altitude_m"),
            ("vertical_altitude_m", "touchdown_altitude_m"),
            ("gate_speed_m_per_s", "vertical_speed_m_per_s"),
            ("vertical_speed_m_per_s", "touchdown_speed_m_per_s"),
        ]
        for more, less in order:
            if getattr(self, more) < getattr(self, less):
                raise InputError(f"descent: {more} is less than {less}; give it a larger value")
        for name in ("mass_kg", "specific_impulse_s", "touchdown_speed_m_per_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"descent: {name} must be positive")
        if not self.coast_s >= 0.0:
            raise InputError("descent: coast_s must be zero or more")
        if (self.plunge_altitude_m is None) != (self.plunge_speed_m_per_s is None):
            raise InputError("descent: give plunge_altitude_m and plunge_speed_m_per_s together")
        if self.plunge_altitude_m is not None and self.plunge_speed_m_per_s is not None:
            lower = 0.0 < self.plunge_altitude_m < self.vertical_altitude_m
            if not lower or not 0.0 < self.plunge_speed_m_per_s <= self.vertical_speed_m_per_s:
                raise InputError(
                    "descent: plunge_altitude_m must be below vertical_altitude_m, and "
                    "plunge_speed_m_per_s no more than vertical_speed_m_per_s"
                )
        if self.periapsis_height_m <= self.ground_height_m + self.gate_altitude_m:
            raise InputError("descent: periapsis_height_m is not above the gate over the site")


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A descent, sampled.

    time_s: (N,), since the start. position_m, velocity_m_per_s: (N, 3), MOON_ME,
    velocity over ground. specific_force_m_per_s2: (N, 3), MOON_ME axes, of the thrust. mass_kg:
    (N,). phase: (N,) names. thrust_n: of the braking engine.
    """

    time_s: Array
    position_m: Array
    velocity_m_per_s: Array
    specific_force_m_per_s2: Array
    mass_kg: Array
    phase: NDArray[np.str_]
    thrust_n: float


class _Braking:
    """The gravity turn of a plan, from a start that is moved until it ends at the gate."""

    def __init__(self, plan: DescentPlan) -> None:
        self.plan = plan
        self.site = position_from_geographic(
            plan.latitude_rad, plan.longitude_rad, plan.ground_height_m
        )
        self.axes = east_north_up(self.site)
        east, north, up = self.axes
        self.ahead = np.sin(plan.heading_rad) * east + np.cos(plan.heading_rad) * north
        self.aside = np.cross(self.ahead, up)
        self.exhaust = plan.specific_impulse_s * STANDARD_GRAVITY_M_PER_S2

    def start(self, back_rad: float, aside_rad: float) -> Array:
        """State (position, velocity, mass) at periapsis, some angles before and beside the site."""
        plan = self.plan
        up = self.axes[2]
        below = np.cos(aside_rad) * up + np.sin(aside_rad) * self.aside
        direction = np.cos(back_rad) * below - np.sin(back_rad) * self.ahead
        forward = np.cos(back_rad) * self.ahead + np.sin(back_rad) * below
        low = REFERENCE_RADIUS_M + plan.periapsis_height_m
        high = REFERENCE_RADIUS_M + plan.apoapsis_height_m
        speed = np.sqrt(GM_M3_PER_S2 * (2.0 / low - 2.0 / (low + high)))
        position = low * direction
        spin = np.array([0.0, 0.0, ROTATION_RATE_RAD_PER_S])
        velocity = speed * forward - np.cross(spin, position)
        return np.concatenate([position, velocity, [plan.mass_kg]])

    def rate(self, thrust_n: float) -> Any:
        """Right-hand side of the gravity turn."""

        def rate(_: float, state: Array) -> Array:
            velocity = state[3:6]
            push = -thrust_n / state[6] * velocity / np.linalg.norm(velocity)
            fall = apparent_acceleration(state[:3], velocity)
            return np.concatenate([velocity, fall + push, [-thrust_n / self.exhaust]])

        return rate

    def run(self, thrust_n: float, start: Array) -> Any:
        """The integrated turn, to the gate's speed, with dense output."""

        def slow(_: float, state: Array) -> float:
            return float(np.linalg.norm(state[3:6]) - self.plan.gate_speed_m_per_s)

        slow.terminal = True  # type: ignore[attr-defined]
        burnt = 0.95 * self.plan.mass_kg * self.exhaust / thrust_n
        span = (0.0, min(LONGEST_BRAKING_S, burnt))
        return solve_ivp(
            self.rate(thrust_n), span, start, events=slow, dense_output=True, **_TOLERANCE
        )

    def solved(self) -> tuple[float, Any]:
        """The thrust, and the turn that ends where the approach to the site starts."""
        plan = self.plan
        gate_radius = float(np.linalg.norm(self.site)) + plan.gate_altitude_m

        def too_high(acceleration: float) -> float:
            turn = self.run(acceleration * plan.mass_kg, self.start(0.2, 0.0))
            return float(np.linalg.norm(turn.y[:3, -1])) - gate_radius

        try:
            acceleration = brentq(
                too_high, LEAST_ACCELERATION_M_PER_S2, MOST_ACCELERATION_M_PER_S2, xtol=1e-4
            )
        except ValueError as error:
            raise InputError(
                "descent: no constant thrust brings this orbit to the gate; change "
                "periapsis_height_m, gate_altitude_m or gate_speed_m_per_s"
            ) from error
        turn = self.run(acceleration * plan.mass_kg, self.start(0.2, 0.0))
        end = turn.y[:3, -1]
        back = 0.2 - float(np.arctan2(end @ self.ahead, end @ self.axes[2]))

        def miss(unknown: Array) -> Array:
            thrust = unknown[0] * plan.mass_kg
            turn = self.run(thrust, self.start(0.01 * unknown[1], 0.01 * unknown[2]))
            return self._miss_m(turn.y[:6, -1]) / 1e3

        found = root(miss, [acceleration, 100.0 * back, 0.0], tol=1e-10)
        if np.abs(found.fun).max() > 1e-4:
            raise InputError("descent: no braking found that ends at the gate; change the plan")
        thrust = float(found.x[0] * plan.mass_kg)
        return thrust, self.run(thrust, self.start(0.01 * found.x[1], 0.01 * found.x[2]))

    def local(self, state: Array) -> tuple[Array, Array]:
        """Position from the site and velocity, in its east, north, up."""
        return self.axes @ (state[:3] - self.site), self.axes @ state[3:6]

    def approach_s(self, height_m: float, climb_m_per_s: float) -> float:
        """Duration of an approach whose speed over the vertical one falls as (time left)^2."""
        plan = self.plan
        fall = height_m - plan.vertical_altitude_m
        return 3.0 * fall / (2.0 * plan.vertical_speed_m_per_s - climb_m_per_s)

    def _miss_m(self, gate: Array) -> Array:
        """What the gate's altitude and the end of the approach are off by, (3,)."""
        place, velocity = self.local(gate)
        duration = self.approach_s(self.plan.gate_altitude_m, float(velocity[2]))
        ahead = place[:2] + velocity[:2] * duration / 3.0
        return np.array([place[2] - self.plan.gate_altitude_m, ahead[0], ahead[1]])


@dataclass(frozen=True, eq=False)
class _Leg:
    """One phase: its solution, and the commanded acceleration constant + slope * (t - begin)."""

    name: str
    begin_s: float
    end_s: float
    solution: Any
    constant: Array
    slope: Array

    def commanded(self, time_s: Array) -> Array:
        return np.asarray(self.constant + self.slope * (time_s - self.begin_s)[:, None])


def fly_descent(plan: DescentPlan, rate_hz: float = 100.0) -> Trajectory:
    """The trajectory of a plan, sampled evenly in time.

    Raises InputError where no thrust can fly the plan.
    """
    braking = _Braking(plan)
    thrust_n, turn = braking.solved()
    legs = [_Leg(BRAKING, 0.0, float(turn.t[-1]), turn.sol, np.zeros(3), np.zeros(3))]
    if plan.coast_s > 0.0:
        legs.insert(0, _coast(turn.y[:, 0], plan.coast_s))
    state = np.asarray(turn.y[:, -1])
    for name, duration, constant, slope in _after_gate(braking, state):
        begin = legs[-1].end_s

        def rate(
            t: float, now: Array, begin: float = begin, a: Array = constant, b: Array = slope
        ) -> Array:
            wanted = a + b * (t - begin)
            force = wanted - apparent_acceleration(now[:3], now[3:6])
            flow = now[6] * np.linalg.norm(force) / braking.exhaust
            return np.concatenate([now[3:6], wanted, [-flow]])

        flown = solve_ivp(rate, (begin, begin + duration), state, dense_output=True, **_TOLERANCE)
        legs.append(_Leg(name, begin, begin + duration, flown.sol, constant, slope))
        state = np.asarray(flown.y[:, -1])
    return _sampled(legs, thrust_n, rate_hz)


Phase = tuple[str, float, Array, Array]


def _after_gate(braking: _Braking, gate: Array) -> list[Phase]:
    """Name, duration, and commanded acceleration (constant, slope) of the phases after braking."""
    plan = braking.plan
    place, velocity = braking.local(gate)
    approach = braking.approach_s(float(place[2]), float(velocity[2]))
    if not approach > 0.0:
        raise InputError("descent: the gate is passed climbing; lower gate_speed_m_per_s")
    up = braking.axes[2]
    excess = gate[3:6] + plan.vertical_speed_m_per_s * up
    approaching = (APPROACH, approach, -2.0 * excess / approach, 2.0 * excess / approach**2)

    def slowing(name: str, altitude_m: float, speed_m_per_s: float) -> Phase:
        duration = 2.0 * altitude_m / (plan.vertical_speed_m_per_s + speed_m_per_s)
        push = (plan.vertical_speed_m_per_s - speed_m_per_s) / duration
        return name, duration, push * up, np.zeros(3)

    if plan.plunge_altitude_m is not None and plan.plunge_speed_m_per_s is not None:
        fall = plan.vertical_altitude_m - plan.plunge_altitude_m
        return [approaching, slowing(PLUNGE, fall, plan.plunge_speed_m_per_s)]
    steady = (plan.vertical_altitude_m - plan.touchdown_altitude_m) / plan.vertical_speed_m_per_s
    return [
        approaching,
        (VERTICAL, steady, np.zeros(3), np.zeros(3)),
        slowing(TOUCHDOWN, plan.touchdown_altitude_m, plan.touchdown_speed_m_per_s),
    ]


def _coast(state: Array, longest_s: float) -> _Leg:
    """Free fall that ends at a state at time 0, from apoapsis at the earliest."""

    def rate(_: float, now: Array) -> Array:
        return np.concatenate([now[3:6], apparent_acceleration(now[:3], now[3:6]), [0.0]])

    def at_apoapsis(t: float, now: Array) -> float:
        # Backwards in time the climb from periapsis ends there; the start itself does not count.
        return float(now[:3] @ now[3:6]) if t < -600.0 else -1.0

    at_apoapsis.terminal = True  # type: ignore[attr-defined]
    at_apoapsis.direction = 1.0  # type: ignore[attr-defined]
    fallen = solve_ivp(
        rate, (0.0, -longest_s), state, events=at_apoapsis, dense_output=True, **_TOLERANCE
    )
    return _Leg(COAST, float(fallen.t[-1]), 0.0, fallen.sol, np.zeros(3), np.zeros(3))


def _sampled(legs: list[_Leg], thrust_n: float, rate_hz: float) -> Trajectory:
    """Evenly spaced samples of the flown legs."""
    begin_s = legs[0].begin_s
    time_s = begin_s + np.arange(0.0, legs[-1].end_s - begin_s, 1.0 / rate_hz)
    state = np.empty((time_s.size, 7))
    force = np.empty((time_s.size, 3))
    phase = np.empty(time_s.size, dtype="<U9")
    for leg in legs:
        here = (time_s >= leg.begin_s) & (time_s < leg.end_s)
        if not here.any():
            # Shorter than a sample, or not there at all: a vertical descent of no height.
            continue
        state[here] = leg.solution(time_s[here]).T
        phase[here] = leg.name
        velocity = state[here, 3:6]
        if leg.name == COAST:
            force[here] = 0.0
        elif leg.name == BRAKING:
            speed = np.linalg.norm(velocity, axis=1, keepdims=True)
            force[here] = -thrust_n / state[here, 6:7] * velocity / speed
        else:
            fall = apparent_acceleration(state[here, :3], velocity)
            force[here] = leg.commanded(time_s[here]) - fall
    return Trajectory(
        time_s - begin_s, state[:, :3], state[:, 3:6], force, state[:, 6], phase, thrust_n
    )
