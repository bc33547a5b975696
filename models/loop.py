"""The training loop: batches made ahead, averaged weights, checkpoints that a run goes on from.

Batches depend on the seed and the step alone, so that a run cut off and started again ends as one
that never stopped.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.errors import MissingExtraError

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise MissingExtraError(
        f"models.loop: {error.name} is not installed; pip install 'lunar-trn[train]'"
    ) from error

CHECKPOINT_EVERY = 500
LAST = "last.pt"
_LOG_EVERY = 50
_EMA = 0.998
_WARM_UP = 200

MakeBatch = Callable[[np.random.Generator], dict[str, NDArray[np.float32]]]
Losses = Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]


def add_arguments(parser: argparse.ArgumentParser, steps: int, rate: float) -> None:
    """The options of every training run; steps and rate are their defaults."""
    parser.add_argument("--scenes", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)


def prepare(arguments: argparse.Namespace) -> None:
    """Seed and threads as the command line asks; to be called before the net is made."""
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)


def rate(step: int, steps: int) -> float:
    """Learning rate as a share of the highest: a short rise, then a cosine down to nothing."""
    return min((step + 1) / _WARM_UP, 0.5 + 0.5 * math.cos(math.pi * step / steps))


class Feeder:
    """Batches of steps from `first` on, made ahead on a thread of their own."""

    def __init__(self, make_batch: MakeBatch, arguments: argparse.Namespace, first: int):
        self._ready: queue.Queue[dict[str, Tensor]] = queue.Queue(4)

        def work() -> None:
            for step in range(first, arguments.steps):
                made = make_batch(np.random.default_rng([arguments.seed, step]))
                self._ready.put({key: torch.from_numpy(value) for key, value in made.items()})

        threading.Thread(target=work, daemon=True).start()

    def next(self) -> dict[str, Tensor]:
        return self._ready.get()


def run(
    net: nn.Module, make_batch: MakeBatch, losses: Losses, arguments: argparse.Namespace
) -> None:
    """Train a net by the sum of its losses, from the last checkpoint in arguments.out if any."""
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=arguments.rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    step, spent = 0, 0.0
    last = arguments.out / LAST
    if last.exists():
        saved = torch.load(last, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        step, spent = saved["step"], saved["seconds"]
        print(f"going on from step {step}", flush=True)
    # Where the processor does not compute in bfloat16 PyTorch emulates it, many times as slowly.
    halved = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    feeder = Feeder(make_batch, arguments, step)
    began = time.monotonic() - spent
    sums: dict[str, float] = {}
    while step < arguments.steps:
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * rate(step, arguments.steps)
        wanted = feeder.next()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=halved):
            terms = losses(net, wanted)
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
        if step % _LOG_EVERY == 0:
            row = {key: round(total / _LOG_EVERY, 4) for key, total in sums.items()}
            row |= {"step": step, "seconds": round(time.monotonic() - began, 1)}
            with (arguments.out / "log.jsonl").open("a", encoding="utf-8") as log:
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
