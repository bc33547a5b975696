"""The sums that a descent takes are those of plain matrices, over what the camera sees."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_solve_projection import draw, lenses
from trn.solve.descent import in_columns, normal_equations, squares
from trn.solve.pose import jacobian


@settings(deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), lenses, st.sampled_from([0.5, 2.5, 10.0, np.inf]))
def test_normal_equations_and_squares_are_sums_over_what_is_seen(
    seed: int, lens: tuple[float, ...], robust_scale: float
) -> None:
    rng = np.random.default_rng(seed)
    camera, pose, points = draw(seed, lens)
    seen = camera.project(pose.to_camera(points))
    pixels = np.where(np.isfinite(seen), seen, 0.0) + rng.normal(0, 3, (40, 2))
    root = rng.normal(0, 1, (40, 2, 2))
    covariance = root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(2)
    pixels[0, 0], points[1, 2], covariance[2] = np.nan, np.inf, np.nan
    # Far out, where the lens is a steep polynomial, pixels are rounded by as much as they are off.
    pixels[np.abs(pixels).max(axis=1) > 1e5] = np.nan
    counts = np.isfinite(seen + pixels).all(axis=1) & (np.arange(40) > 2)

    slopes = jacobian(camera, pose, points)[counts]
    residual, weight = (pixels - seen)[counts], np.linalg.inv(covariance[counts])
    distance = np.einsum("ni,nij,nj->n", residual, weight, residual)
    shared = weight / (1.0 + distance / robust_scale**2)[:, None, None]
    information = np.einsum("nai,nab,nbj->ij", slopes, shared, slopes)
    pull = np.where(counts, rng.normal(0, 1, (2, 40)), 0.0)
    right = np.einsum("nai,nab,nb->i", slopes, shared, residual)
    right += np.einsum("nai,an->i", slopes, pull[:, counts])

    columns = in_columns(points, pixels, covariance)
    place = pose.rotation_body_to_camera().copy(), pose.position_m, *columns
    found_information, found_right = np.zeros((6, 6)), np.zeros(6)
    for some in np.array(((0, 11), (11, 40))):
        normal_equations(
            *place, pull, camera.lens, robust_scale**2, some, found_information, found_right
        )
    # In units of standard deviations: metres and radians are far apart.
    sigma = np.sqrt(np.maximum(np.diag(information), 1e-12))
    scale = np.outer(sigma, sigma)
    np.testing.assert_allclose(found_information / scale, information / scale, atol=1e-8)
    loose = 1e-8 * (1.0 + np.sqrt(distance.sum()))
    np.testing.assert_allclose(found_right / sigma, right / sigma, atol=loose)
    expected = np.full(40, np.inf)
    expected[counts] = distance
    np.testing.assert_allclose(squares(*place, camera.lens), expected, rtol=1e-7)
