"""Trains the refiner on the crater network's finds in labelled renderings, on a CPU.

    python -m models.train_refiner --scenes runs/crater-train --out runs/refiner --seed 0

The package's own network makes the finds. Checkpoints as with `models.train`. Needs the `train`
extra.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.proposals import Proposals, batch
from models.targets import scene_paths
from trn.errors import MissingExtraError

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError as error:
    raise MissingExtraError(
        f"models.train_refiner: {error.name} is not installed; pip install 'lunar-trn[train]'"
    ) from error

from models import loop
from models.net import exported, take_up
from models.refiner import Refiner


def losses(out: Tensor, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Terms of the loss: right or not, centre, size, shape, and how likely the errors are.

    The last one trains the standard deviations alone: errors count in it as they are.
    """
    fields = out[:, :, 0, 0].float()
    right, values = wanted["right"], wanted["values"]
    total = right.sum().clamp(min=1.0)
    where = functional.binary_cross_entropy_with_logits(fields[:, 0] + wanted["odds"], right)
    centre, size, shape = (
        fields[:, part] - values[:, slice(part.start - 1, part.stop - 1)]
        for part in (slice(1, 3), slice(3, 4), slice(4, 6))
    )
    distance = torch.sqrt(centre.square().sum(1) + 1e-6)

    def unlikely(log_sigma: Tensor, errors: Tensor) -> Tensor:
        squared = errors.detach().square().sum(1)
        return errors.shape[1] * log_sigma + 0.5 * squared * torch.exp(-2.0 * log_sigma)

    surprise = sum(
        unlikely(fields[:, 6 + k], errors) for k, errors in enumerate((centre, size, shape))
    )
    return {
        "where": 2.0 * where,
        "centre": 20.0 * (distance * right).sum() / total,
        "size": 6.0 * (size.abs().sum(1) * right).sum() / total,
        # Squared, for the mean: see models.train.
        "shape": 10.0 * (shape.square().sum(1) * right).sum() / total,
        "sigma": 0.05 * (surprise * right).sum() / total,
    }


def train(arguments: argparse.Namespace) -> None:
    """The run that the command line asks for."""
    loop.prepare(arguments)
    paths = scene_paths(arguments.scenes)
    proposals = Proposals.load(paths, arguments.threads)
    right = int(np.isfinite(proposals.truth[:, 0]).sum())
    print(f"{len(paths)} scenes, {len(proposals.found)} finds, {right} right", flush=True)

    def make_batch(rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
        return batch(proposals, arguments.batch, arguments.each, rng)

    def judged(net: nn.Module, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
        return losses(net(wanted["crops"].to(memory_format=torch.channels_last)), wanted)

    net = Refiner()
    if arguments.start is not None:
        take_up(net, exported(arguments.start))
    loop.run(net, make_batch, judged, arguments)


def main() -> None:
    """Train as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    loop.add_arguments(parser, steps=8000, rate=3e-3)
    parser.add_argument("--start", type=Path, help="go on from an exported fp32 refiner")
    parser.add_argument("--batch", type=int, default=12, help="scenes in a batch")
    parser.add_argument("--each", type=int, default=20, help="finds of each")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
