"""Training: a run that was cut off goes on as if it had not been."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from models import train as training  # noqa: E402


def arguments(folder: Path, out: str) -> argparse.Namespace:
    return argparse.Namespace(
        scenes=folder, out=folder / out, steps=6, batch=2, crop=64, warped=0.6, rate=2e-3, seed=0,
        threads=1,
    )  # fmt: skip


def test_a_run_cut_off_goes_on_as_if_it_had_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(3).integers(0, 255, (96, 96)).astype(np.uint8)
    np.savez(
        tmp_path / "scene_00000.npz",
        image=image, ellipses=[[48.0, 48.0, 9.0, 8.0, 0.2]], ignored=np.empty((0, 5)),
    )  # fmt: skip
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    training.train(arguments(tmp_path, "whole"))

    class CutOff(training.Feeder):
        taken = 0

        def next(self) -> dict[str, torch.Tensor]:
            self.taken += 1
            if self.taken > 3:
                raise KeyboardInterrupt
            return super().next()

    with monkeypatch.context() as patched:
        patched.setattr(training, "Feeder", CutOff)
        with pytest.raises(KeyboardInterrupt):
            training.train(arguments(tmp_path, "parts"))
    training.train(arguments(tmp_path, "parts"))
    whole, parts = (
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert whole["step"] == parts["step"] == 6
    for key, value in whole["average"].items():
        assert torch.equal(value, parts["average"][key]), key


def test_the_rate_rises_and_ends_at_nothing() -> None:
    rates = [training.rate(step, 2000) for step in range(2000)]
    assert rates[0] < 0.01 and max(rates) > 0.95 and rates[-1] < 1e-5
