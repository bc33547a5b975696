"""The refiner's training data: every crop's answers lead from the find to the true crater."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.proposals import Proposals, batch, crops
from tests.test_detect_network import BOWLS, pitted

SCENES = 3


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Scenes with three of their four bowls labelled, and one left out of count."""
    folder = tmp_path_factory.mktemp("scenes")
    rims = np.array([[x, y, 0.5 * size, 0.5 * size, 0.0] for x, y, size in BOWLS])
    paths = [folder / f"scene_{k}.npz" for k in range(SCENES)]
    for k, path in enumerate(paths):
        np.savez(path, image=pitted(seed=k), ellipses=rims[:3], ignored=rims[3:])
    return paths


@pytest.fixture(scope="module")
def proposals(paths: list[Path]) -> Proposals:
    return Proposals.load(paths, 1)


def test_finds_know_their_craters(proposals: Proposals) -> None:
    right = np.isfinite(proposals.truth[:, 0])
    for scene in range(SCENES):
        assert (right & (proposals.scene == scene)).sum() == 3
    off = np.hypot(*(proposals.found - proposals.truth)[right, :2].T)
    assert off.max() < 4.0
    near = np.hypot(*(proposals.found[:, :2] - BOWLS[3][:2]).T) < 3.0
    assert not near.any(), "what is left out of count is neither right nor wrong"


def test_answers_lead_to_the_craters(proposals: Proposals) -> None:
    """Small where the find is good, and nought where there is no crater."""
    made = batch(proposals, 4, 20, np.random.default_rng(0))
    assert made["crops"].shape == (80, 1, 32, 32) and made["values"].shape == (80, 5)
    right = made["right"] > 0.5
    assert right.any()
    assert (made["values"][~right] == 0.0).all()
    assert np.hypot(*made["values"][right, :2].T).max() < 0.5
    assert np.abs(made["values"][right, 2]).max() < 0.6


def test_crops_follow_their_answers(proposals: Proposals) -> None:
    """Bowls of the scene lie where the answers say: their middles are of mirrored light and shade.

    Turned and mirrored crops would belie answers that were not turned along.
    """
    made = batch(proposals, 40, 10, np.random.default_rng(1))
    right = made["right"] > 0.5
    at = made["values"][right, :2] * 16.0 + 15.5
    even, odd = [], []
    for crop, (cx, cy) in zip(made["crops"][right, 0], at, strict=True):
        i, j = np.rint([cx, cy]).astype(int)
        part = crop[max(0, j - 7) : j + 8, max(0, i - 7) : i + 8]
        if part.shape == (15, 15):
            opposite = part[::-1, ::-1]
            even.append(np.abs(part + opposite - 2.0 * part.mean()).mean())
            odd.append(np.abs(part - opposite).mean())
    assert np.mean(odd) > 1.5 * np.mean(even)


def test_the_same_seed_makes_the_same_batch(proposals: Proposals) -> None:
    first, second = (batch(proposals, 2, 5, np.random.default_rng(7)) for _ in range(2))
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])


def test_crops_to_calibrate_on_are_full_parts(paths: list[Path]) -> None:
    for part in crops(paths * 20, 200):
        assert part.shape == (16, 1, 32, 32) and part.dtype == np.float32
