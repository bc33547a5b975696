"""Training the refiner: what each term of its loss teaches, and what is exported answers alike."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from models import export, loop, train_refiner  # noqa: E402
from models.net import plain  # noqa: E402
from models.refiner import ANSWERS, Refiner  # noqa: E402
from tests.test_detect_network import BOWLS, pitted  # noqa: E402
from trn.detect.network_look import REFINER_ANSWERS  # noqa: E402
from trn.detect.network_model import MANIFEST, open_network  # noqa: E402


def wanted(right: float = 1.0) -> dict[str, torch.Tensor]:
    return {
        "odds": torch.tensor([0.5, -0.5]),
        "right": torch.tensor([right, 0.0]),
        "values": torch.tensor([[0.05, 0.1, 0.2, 0.1, 0.0], [9.0, 9.0, 9.0, 9.0, 9.0]]),
    }


def gradients(term: str) -> torch.Tensor:
    """Which answers (2 finds, 9) a term of the loss teaches."""
    out = torch.full((2, ANSWERS, 1, 1), 0.3, requires_grad=True)
    train_refiner.losses(out, wanted())[term].backward()
    assert out.grad is not None
    return out.grad[:, :, 0, 0] != 0.0


@pytest.mark.parametrize(
    ("term", "fields"),
    [("centre", {1, 2}), ("size", {3}), ("shape", {4, 5}), ("sigma", {6, 7, 8})],
)
def test_a_term_teaches_its_own_answers_and_of_craters_alone(term: str, fields: set[int]) -> None:
    taught = gradients(term)
    assert set(torch.nonzero(taught[0])[:, 0].tolist()) == fields
    assert not taught[1].any()


def test_every_find_teaches_whether_it_is_one() -> None:
    taught = gradients("where")
    assert taught[:, 0].all() and not taught[:, 1:].any()


def test_true_answers_cost_least_and_true_deviations_too() -> None:
    out = torch.zeros((2, ANSWERS, 1, 1))
    out[0, 1:6, 0, 0] = wanted()["values"][0]
    true = train_refiner.losses(out, wanted())
    assert float(true["centre"]) < 0.03 and float(true["size"]) == float(true["shape"]) == 0.0
    out[0, 3] += 0.1  # An error of 0.1 is likeliest with that deviation.
    costs = []
    for deviation in (0.05, 0.1, 0.2):
        out[0, 7] = np.log(deviation)
        costs.append(float(train_refiner.losses(out, wanted())["sigma"]))
    assert costs[1] == min(costs)


def test_a_run_is_exported_and_found_by_its_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of training; then both files, listed with the network they go with."""
    rims = np.array([[x, y, 0.5 * size, 0.5 * size, 0.0] for x, y, size in BOWLS])
    for k in range(12):
        np.savez(tmp_path / f"scene_{k}.npz", image=pitted(seed=k), ellipses=rims,
                 ignored=np.empty((0, 5)))  # fmt: skip
    arguments = argparse.Namespace(
        scenes=[tmp_path], out=tmp_path / "run", steps=2, batch=2, each=4, rate=1e-3, seed=0,
        threads=1, start=None,
    )  # fmt: skip
    train_refiner.train(arguments)
    folder = tmp_path / "models"
    folder.mkdir()
    for name in (export.FP32, export.INT8):
        (folder / name).write_bytes((Path(export.__file__).parent / name).read_bytes())
    checkpoint = arguments.out / loop.LAST
    monkeypatch.setattr("sys.argv", [
        "export", "--refiner", str(checkpoint), "--scenes", str(tmp_path), "--out", str(folder),
    ])  # fmt: skip
    export.main()
    net = Refiner()
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    crops = np.random.default_rng(0).normal(size=(150, 1, 32, 32)).astype(np.float32)
    with torch.no_grad():
        ours = plain(net)(torch.from_numpy(crops))[:, :, 0, 0].numpy()
    assert ours.shape == (150, REFINER_ANSWERS)
    for network, atol in ((export.FP32, 1e-4), (export.INT8, 0.3)):
        refine = open_network(model=folder / network, runtime="opencv").refine
        assert refine is not None, (folder / MANIFEST).read_text()
        np.testing.assert_allclose(refine(crops)[:, :, 0, 0], ours, atol=atol)
    cv2.setNumThreads(-1)
