"""Covariances of solutions hold what ground and light beside the map add to their noise."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trn.solve.shifts import shifted_covariances


def squared(factors: np.ndarray) -> np.ndarray:
    """Sum of F F^T over the factors (H, M, 6, 3) of each solution."""
    return np.einsum("hmia,hmja->hij", factors, factors)


@settings(max_examples=30, deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), st.floats(0.0, 200.0), st.floats(0.0, 50.0))
def test_each_part_is_shifted_on_its_own_by_ground_and_all_alike_by_light(
    seed: int, ground_sigma_m: float, light_m: float
) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(12, 6, 6))
    information = root @ np.swapaxes(root, 1, 2)
    share = rng.integers(0, 2, (5, 12)).astype(float)
    share[0] = 1.0
    noise = np.linalg.inv(np.eye(6) + np.tensordot(share, information, axes=1))
    up = rng.normal(size=3)
    up /= np.linalg.norm(up)
    light_shift = light_m * rng.normal(size=3)

    level = np.eye(3) - np.outer(up, up)
    moved = noise[:, None] @ (share[:, :, None, None] * information[:, :, :3] @ level)
    ground = ground_sigma_m * moved
    light = (moved.sum(axis=1) @ light_shift)[:, None, :, None]
    found, apart = shifted_covariances(noise, share, information, up, ground_sigma_m, light_shift)
    expected = noise + squared(ground) + squared(light)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    expected = noise - noise[0] + squared(ground - ground[0]) + squared(light - light[0])
    np.testing.assert_allclose(apart, expected, rtol=1e-9, atol=1e-9)
