"""Descents end at their site, obey the rocket equation, and their energy adds up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import cumulative_simpson, cumulative_trapezoid, solve_ivp
from scipy.interpolate import CubicSpline

from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.gravity import ROTATION_RATE_RAD_PER_S, apparent_acceleration, potential
from trn.simulate.descent import (
    APPROACH,
    BRAKING,
    STANDARD_GRAVITY_M_PER_S2,
    VERTICAL,
    DescentPlan,
    Trajectory,
    fly_descent,
)

ATLAS = DescentPlan(np.deg2rad(47.58), np.deg2rad(44.09), -2000.0, np.deg2rad(60.0))
PLANS = {
    "100 x 15 km": ATLAS,
    "from 100 km": replace(ATLAS, periapsis_height_m=100_000.0),
    "southward": replace(ATLAS, heading_rad=np.deg2rad(190.0), latitude_rad=np.deg2rad(-43.0)),
}


@pytest.fixture(scope="module", params=list(PLANS), ids=list(PLANS))
def flown(request: pytest.FixtureRequest) -> tuple[DescentPlan, Trajectory]:
    plan = PLANS[request.param]
    return plan, fly_descent(plan)


def site_axes(plan: DescentPlan) -> tuple[np.ndarray, np.ndarray]:
    site = position_from_geographic(plan.latitude_rad, plan.longitude_rad, plan.ground_height_m)
    return site, east_north_up(site)


def test_it_ends_at_the_site_at_touchdown_speed(flown: tuple[DescentPlan, Trajectory]) -> None:
    plan, path = flown
    site, axes = site_axes(plan)
    place = axes @ (path.position_m[-1] - site)
    # The last sample stands up to one step before touchdown.
    assert place[:2] == pytest.approx([0.0, 0.0], abs=0.01)
    assert 0.0 <= place[2] < 0.02
    assert path.velocity_m_per_s[-1] @ axes[2] == pytest.approx(-1.0, abs=0.02)


def test_it_starts_at_periapsis_of_the_orbit(flown: tuple[DescentPlan, Trajectory]) -> None:
    plan, path = flown
    place = path.position_m[0]
    inertial = path.velocity_m_per_s[0] + np.cross([0, 0, ROTATION_RATE_RAD_PER_S], place)
    height = np.linalg.norm(place) - REFERENCE_RADIUS_M
    assert height == pytest.approx(plan.periapsis_height_m, abs=1e-3)
    assert inertial @ place == pytest.approx(0.0, abs=1.0)


def test_braking_thrust_is_constant_and_against_the_velocity(
    flown: tuple[DescentPlan, Trajectory],
) -> None:
    _, path = flown
    braking = path.phase == BRAKING
    force = path.specific_force_m_per_s2[braking] * path.mass_kg[braking, None]
    assert np.linalg.norm(force, axis=1) == pytest.approx(path.thrust_n, rel=1e-9)
    along = np.einsum("ni,ni->n", force, path.velocity_m_per_s[braking])
    speed = np.linalg.norm(path.velocity_m_per_s[braking], axis=1)
    assert along == pytest.approx(-path.thrust_n * speed, rel=1e-9)


def test_it_flies_over_the_site_in_the_heading(flown: tuple[DescentPlan, Trajectory]) -> None:
    plan, path = flown
    _, axes = site_axes(plan)
    gate = axes @ path.velocity_m_per_s[path.phase == APPROACH][0]
    difference = np.arctan2(gate[0], gate[1]) - plan.heading_rad
    assert abs(np.angle(np.exp(1j * difference))) < np.deg2rad(3.0)


def test_the_approach_hands_over_upright(flown: tuple[DescentPlan, Trajectory]) -> None:
    plan, path = flown
    _, axes = site_axes(plan)
    force = axes @ path.specific_force_m_per_s2[path.phase == VERTICAL][0]
    assert np.hypot(force[0], force[1]) < 0.01 * force[2]


def test_mass_follows_the_rocket_equation(flown: tuple[DescentPlan, Trajectory]) -> None:
    """Within what sampling the thrust's steps between phases leaves out."""
    plan, path = flown
    force = np.linalg.norm(path.specific_force_m_per_s2, axis=1)
    spent = cumulative_trapezoid(force, path.time_s)[-1]
    exhaust = plan.specific_impulse_s * STANDARD_GRAVITY_M_PER_S2
    assert exhaust * np.log(path.mass_kg[0] / path.mass_kg[-1]) == pytest.approx(spent, abs=0.1)


def test_the_books_of_energy_close(flown: tuple[DescentPlan, Trajectory]) -> None:
    """Energy in the rotating frame changes by the thrust's work, within 1e-6 of it."""
    _, path = flown
    energy = (
        0.5 * (path.velocity_m_per_s**2).sum(axis=1)
        - potential(path.position_m)
        - 0.5 * ROTATION_RATE_RAD_PER_S**2 * (path.position_m[:, :2] ** 2).sum(axis=1)
    )
    power = np.einsum("ni,ni->n", path.specific_force_m_per_s2, path.velocity_m_per_s)
    braking = np.flatnonzero(path.phase == BRAKING)
    work = cumulative_simpson(power[braking], x=path.time_s[braking])[-1]
    change = energy[braking[-1]] - energy[0]
    assert change == pytest.approx(work, rel=1e-6)


def test_the_specific_force_alone_gives_each_phase_back(
    flown: tuple[DescentPlan, Trajectory],
) -> None:
    """Runge-Kutta over a phase's samples at 20 Hz ends within 1 cm."""
    _, path = flown
    for name in dict.fromkeys(path.phase):
        here = np.flatnonzero(path.phase == name)[::5]
        time_s = path.time_s[here]
        force = CubicSpline(time_s, path.specific_force_m_per_s2[here])

        def rate(t: float, state: np.ndarray, force: CubicSpline = force) -> np.ndarray:
            fall = apparent_acceleration(state[:3], state[3:])
            return np.concatenate([state[3:], force(t) + fall])

        start = np.concatenate([path.position_m[here[0]], path.velocity_m_per_s[here[0]]])
        span = (time_s[0], time_s[-1])
        end = solve_ivp(rate, span, start, method="DOP853", rtol=1e-10, atol=1e-6).y[:3, -1]
        assert np.linalg.norm(end - path.position_m[here[-1]]) < 0.01


@settings(max_examples=5, deadline=None)
@given(
    latitude=st.floats(-1.3, 1.3),
    heading=st.floats(0.0, 6.2),
    gate_speed=st.floats(60.0, 200.0),
    gate_altitude=st.floats(1000.0, 4000.0),
)
def test_any_sensible_plan_ends_at_its_site(
    latitude: float, heading: float, gate_speed: float, gate_altitude: float
) -> None:
    plan = replace(
        ATLAS,
        latitude_rad=latitude,
        heading_rad=heading,
        gate_speed_m_per_s=gate_speed,
        gate_altitude_m=gate_altitude,
    )
    path = fly_descent(plan, rate_hz=10.0)
    site, _ = site_axes(plan)
    assert np.linalg.norm(path.position_m[-1] - site) < 0.2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"periapsis_height_m": 200_000.0}, "apoapsis_height_m"),
        ({"periapsis_height_m": -1000.0}, "periapsis_height_m"),
        ({"vertical_altitude_m": 5000.0}, "gate_altitude_m"),
        ({"mass_kg": 0.0}, "mass_kg"),
        ({"specific_impulse_s": float("nan")}, "specific_impulse_s"),
        ({"touchdown_speed_m_per_s": 9.0}, "vertical_speed_m_per_s"),
    ],
)
def test_a_plan_that_cannot_be_flown_names_its_field(changes: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        replace(ATLAS, **changes)
