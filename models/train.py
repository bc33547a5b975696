"""Trains the crater network on labelled renderings (`models.scenes`), on a CPU.

    python -m models.train --scenes runs/crater-train --out runs/crater-net --seed 0

Checkpoints are written as it goes; the same command goes on from the last one as if it had never
stopped: batches depend on the seed and the step alone. --start models/crater_net.onnx trains an
exported network further. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.targets import UNIT_PX, Scenes, batch, scene_paths
from trn.errors import MissingExtraError

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError as error:
    raise MissingExtraError(
        f"models.train: {error.name} is not installed; pip install 'lunar-trn[train]'"
    ) from error

from models import loop
from models.net import FIELDS, SUBCELLS, CraterNet, exported, take_up


def places(out: Tensor) -> Tensor:
    """The net's cells, (N, 24, h, w), as places 2 px apart, (N, 6, 2 h, 2 w)."""
    count, _, rows, columns = out.shape
    cells = out.view(count, SUBCELLS, SUBCELLS, FIELDS, rows, columns)
    return cells.permute(0, 3, 4, 1, 5, 2).reshape(
        count, FIELDS, SUBCELLS * rows, SUBCELLS * columns
    )


def losses(out: Tensor, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Terms of the loss: where (focal loss of CornerNet, Law and Deng 2018), offset, size, shape.

    Offsets count as shares of the diameter, like sizes, so that no size of crater outweighs others.
    """
    fields = places(out.float())
    logit, heat, weight = fields[:, 0], wanted["heat"], wanted["weight"]
    found = torch.sigmoid(logit)
    centre = (heat == 1.0).float()
    hit = functional.logsigmoid(logit) * (1.0 - found) ** 2 * centre
    miss = functional.logsigmoid(-logit) * found**2 * (1.0 - heat) ** 4 * (1.0 - centre)
    number = centre.sum().clamp(min=1.0)
    share, values = wanted["share"], wanted["values"]
    total = share.sum().clamp(min=1.0)
    offset = (fields[:, 1:3] - values[:, :2]).abs().sum(1)
    offset = offset / (2.0 * UNIT_PX * torch.exp(values[:, 2]))
    size = (fields[:, 3] - values[:, 2]).abs()
    # Squared, for the mean: the median shape, which an absolute error asks for, is round wherever
    # the picture leaves doubt, and small craters always leave some.
    shape = (fields[:, 4:6] - values[:, 3:5]).square().sum(1)
    return {
        "where": -((hit + miss) * weight).sum() / number,
        "offset": 16.0 * (offset * share).sum() / total,
        "size": 3.0 * (size * share).sum() / total,
        "shape": 20.0 * (shape * share).sum() / total,
    }


def train(arguments: argparse.Namespace) -> None:
    """The run that the command line asks for."""
    loop.prepare(arguments)
    net = CraterNet()
    if arguments.start is not None:
        take_up(net, exported(arguments.start))
    paths = scene_paths(arguments.scenes)
    scenes = Scenes.load(paths)
    seen = sum(int((rows[:, 5] > 0).sum()) for rows in scenes.craters)
    print(f"{len(paths)} scenes, {seen} craters", flush=True)

    def make_batch(rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
        return batch(scenes, arguments.batch, arguments.crop, arguments.warped, rng)

    def judged(net: nn.Module, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
        return losses(net(wanted["image"].to(memory_format=torch.channels_last)), wanted)

    loop.run(net, make_batch, judged, arguments)


def main() -> None:
    """Train as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    loop.add_arguments(parser, steps=22000, rate=2e-3)
    parser.add_argument("--start", type=Path, help="go on from an exported fp32 network")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--warped", type=float, default=0.6, help="share of crops warped")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
