"""Training: a run that was cut off goes on as if it had not been."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from models import loop  # noqa: E402
from models import net as nets  # noqa: E402
from models import train as training  # noqa: E402
from models.export import FP32  # noqa: E402
from trn.errors import InputError  # noqa: E402

EXPORTED = Path(nets.__file__).parent / FP32


def arguments(folder: Path, out: str) -> argparse.Namespace:
    return argparse.Namespace(
        scenes=[folder], out=folder / out, steps=6, batch=2, crop=64, warped=0.6, rate=2e-3,
        seed=0, threads=1, start=None,
    )  # fmt: skip


def test_a_run_cut_off_goes_on_as_if_it_had_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(3).integers(0, 255, (96, 96)).astype(np.uint8)
    np.savez(
        tmp_path / "scene_00000.npz",
        image=image, ellipses=[[48.0, 48.0, 9.0, 8.0, 0.2]], ignored=np.empty((0, 5)),
    )  # fmt: skip
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    training.train(arguments(tmp_path, "whole"))

    class CutOff(loop.Feeder):
        taken = 0

        def next(self) -> dict[str, torch.Tensor]:
            self.taken += 1
            if self.taken > 3:
                raise KeyboardInterrupt
            return super().next()

    with monkeypatch.context() as patched:
        patched.setattr(loop, "Feeder", CutOff)
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
    rates = [loop.rate(step, 2000) for step in range(2000)]
    assert rates[0] < 0.01 and max(rates) > 0.95 and rates[-1] < 1e-5


def answer(net: torch.nn.Module) -> torch.Tensor:
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 64, 96)))
    with torch.no_grad():
        out: torch.Tensor = net(image.float())
    return out


@pytest.mark.parametrize("blocks", [nets.BLOCKS, nets.BLOCKS + 1])
def test_a_net_that_takes_up_an_exported_one_answers_as_it_does(
    blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it has blocks more, which training may then make use of."""
    tensors = nets.exported(EXPORTED)
    simple = nets.plain(nets.CraterNet())
    simple.load_state_dict({name: torch.from_numpy(each.copy()) for name, each in tensors.items()})
    monkeypatch.setattr(nets, "BLOCKS", blocks)
    net = nets.CraterNet()
    nets.take_up(net, tensors)
    assert torch.allclose(answer(net), answer(simple), atol=1e-4)


def test_a_net_takes_up_no_other_network() -> None:
    tensors = nets.exported(EXPORTED)
    with pytest.raises(InputError, match=r"stem\.weight"):
        nets.take_up(nets.CraterNet(), tensors | {"stem.weight": np.zeros((8, 1, 3, 3), "f4")})
    with pytest.raises(InputError, match=r"tail\.weight"):
        nets.take_up(nets.CraterNet(), tensors | {"tail.weight": np.zeros((8, 1, 3, 3), "f4")})
