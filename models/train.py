"""Trains the crater network on labelled renderings (`models.scenes`), on a CPU.

    python -m models.train --scenes runs/crater-train --out runs/crater-net --seed 0

Checkpoints are written as it goes; the same command goes on from the last one as if it had never
stopped: batches depend on the seed and the step alone. --start models/crater_net.onnx trains an
exported network further. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
import json
import math
import queue
import threading
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.targets import UNIT_PX, Scenes, batch
from trn.errors import InputError, MissingExtraError

try:
    import onnx
    import torch
    from torch import Tensor
    from torch.nn import functional
except ImportError as error:
    raise MissingExtraError(
        f"models.train: {error.name} is not installed; pip install 'lunar-trn[train]'"
    ) from error

from models.net import FIELDS, SUBCELLS, CraterNet, take_up

CHECKPOINT_EVERY = 500
_EMA = 0.998
_WARM_UP = 200


def rate(step: int, steps: int) -> float:
    """Learning rate as a share of the highest: a short rise, then a cosine down to nothing."""
    return min((step + 1) / _WARM_UP, 0.5 + 0.5 * math.cos(math.pi * step / steps))


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


class Feeder:
    """Batches of steps from `first` on, made ahead on a thread of their own."""

    def __init__(self, scenes: Scenes, arguments: argparse.Namespace, first: int):
        self._ready: queue.Queue[dict[str, Tensor]] = queue.Queue(4)

        def work() -> None:
            for step in range(first, arguments.steps):
                rng = np.random.default_rng([arguments.seed, step])
                made = batch(scenes, arguments.batch, arguments.crop, arguments.warped, rng)
                self._ready.put({key: torch.from_numpy(value) for key, value in made.items()})

        threading.Thread(target=work, daemon=True).start()

    def next(self) -> dict[str, Tensor]:
        return self._ready.get()


def exported(path: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors of an exported network by name."""
    graph = onnx.load(str(path)).graph
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}


def train(arguments: argparse.Namespace) -> None:
    """The run that the command line asks for."""
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    net = CraterNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if arguments.start is not None:
        take_up(net, exported(arguments.start))
    average = CraterNet()
    average.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=arguments.rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    step, spent = 0, 0.0
    last = out / "last.pt"
    if last.exists():
        saved = torch.load(last, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        step, spent = saved["step"], saved["seconds"]
        print(f"going on from step {step}", flush=True)
    paths = []
    for folder in arguments.scenes:
        paths += sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(
            f"{arguments.scenes[0]}: no scenes; make them with `python -m models.scenes`"
        )
    scenes = Scenes.load(paths)
    seen = sum(int((rows[:, 5] > 0).sum()) for rows in scenes.craters)
    print(f"{len(paths)} scenes, {seen} craters", flush=True)
    # Where the processor does not compute in bfloat16 PyTorch emulates it, many times as slowly.
    halved = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    feeder = Feeder(scenes, arguments, step)
    began = time.monotonic() - spent
    sums: dict[str, float] = {}
    while step < arguments.steps:
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * rate(step, arguments.steps)
        wanted = feeder.next()
        image = wanted["image"].to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=halved):
            answer = net(image)
        terms = losses(answer, wanted)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        step += 1
        keep = min(_EMA, (1.0 + step) / (10.0 + step))
        with torch.no_grad():
            for mean, value in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(value, 1.0 - keep)
        for key, term in terms.items():
            sums[key] = sums.get(key, 0.0) + float(term.detach())
        if step % 50 == 0:
            row = {key: round(total / 50, 4) for key, total in sums.items()}
            row |= {"step": step, "seconds": round(time.monotonic() - began, 1)}
            with (out / "log.jsonl").open("a", encoding="utf-8") as log:
                print(json.dumps(row), file=log)
            sums = {}
        if step % CHECKPOINT_EVERY == 0 or step == arguments.steps:
            temporary = last.with_suffix(".tmp")
            state = {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "seconds": time.monotonic() - began,
            }
            torch.save(state, temporary)
            temporary.replace(last)


def main() -> None:
    """Train as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--scenes", type=Path, nargs="+", required=True)
    parser.add_argument("--start", type=Path, help="go on from an exported fp32 network")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=22000)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--warped", type=float, default=0.6, help="share of crops warped")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
