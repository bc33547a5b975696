"""Writes trained networks as ONNX, in fp32 and int8, with a manifest of their hashes.

    python -m models.export --checkpoint runs/crater-net/last.pt --scenes runs/crater-valid
    python -m models.export --refiner runs/refiner/last.pt --scenes runs/crater-valid
    python -m models.export --int8-only --scenes runs/crater-valid

A new network comes without a refiner, which has to be trained on what it finds. int8 is static, per
channel, calibrated on the scenes. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from models.proposals import crops
from models.targets import Scenes, normalised, scene_paths
from trn.detect.crops import CROP_PX
from trn.errors import MissingExtraError

try:
    import onnx
    import torch
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process
    from torch import nn
except ImportError as error:
    raise MissingExtraError(
        f"models.export: {error.name} is not installed; pip install 'lunar-trn[train]'"
    ) from error

from models.net import CraterNet, plain
from models.refiner import Refiner

Array32 = NDArray[np.float32]
Shape = tuple[int, ...]

FP32, INT8, MANIFEST = "crater_net.onnx", "crater_net_int8.onnx", "manifest.toml"
REFINERS = {FP32: "crater_refiner.onnx", INT8: "crater_refiner_int8.onnx"}
OPSET = 13
_CALIBRATION_SCENES = 64
_CALIBRATION_CROPS = 2000

_CELLS = {"image": {2: "height", 3: "width"}, "cells": {2: "rows", 3: "columns"}}
_FINDS = {"crops": {0: "finds"}, "answers": {0: "finds"}}


def averaged(checkpoint: Path, net: CraterNet | Refiner) -> nn.Module:
    """The averaged weights of a checkpoint, ready for export."""
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    return plain(net)


def write_fp32(net: nn.Module, shape: Shape, free: dict[str, dict[int, str]], path: Path) -> None:
    """A net as one self-contained file.

    free: names of the input, then of the output, each with names of the sides of any length.
    """
    given, answered = free
    with warnings.catch_warnings():  # The exporter that writes one file is the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(shape),),
            str(path),
            opset_version=OPSET,
            input_names=[given],
            output_names=[answered],
            dynamic_axes=free,
            dynamo=False,
        )
    onnx.checker.check_model(str(path))


class _Inputs(CalibrationDataReader):  # type: ignore[misc]
    """What the net is calibrated on, one at a time."""

    def __init__(self, name: str, inputs: Sequence[Array32]):
        self._name, self._left = name, iter(inputs)

    def get_next(self) -> dict[str, Any] | None:
        given = next(self._left, None)
        return None if given is None else {self._name: given}


def whole_images(scenes: Scenes) -> list[Array32]:
    """The scenes' pictures as the network takes them."""
    images = []
    for image in scenes.images:
        rows, columns = (side // 16 * 16 for side in image.shape)
        images.append(normalised(image[:rows, :columns].astype(np.float32))[None, None])
    return images


def write_int8(fp32: Path, path: Path, free: dict[str, dict[int, str]],
               inputs: Sequence[Array32]) -> None:  # fmt: skip
    """The fp32 file quantised; its last layer, whose answers are fractions of pixels, is not."""
    given, answered = free
    head = next(
        node.name
        for node in onnx.load(str(fp32)).graph.node
        if answered in node.output and node.op_type == "Conv"
    )
    with tempfile.TemporaryDirectory() as scratch:
        ready = Path(scratch) / "ready.onnx"
        quant_pre_process(str(fp32), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(path),
            _Inputs(given, inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # Seven bits of weight: without VNNI the sums of two products of eight would saturate.
            reduce_range=True,
            nodes_to_exclude=[head],
            extra_options={"CalibMovingAverage": True},
        )


def write_manifest(folder: Path, refined: bool) -> None:
    """Sizes and SHA-256 of the files, and which refiner goes with which network."""
    files: dict[str, dict[str, Any]] = {}
    for network, refiner in REFINERS.items():
        for name in (network, refiner) if refined else (network,):
            data = (folder / name).read_bytes()
            files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        if refined:
            files[network]["refiner"] = refiner
    text = tomli_w.dumps({"files": files})
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def main() -> None:
    """Export as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--checkpoint", type=Path, help="of the network")
    which.add_argument("--refiner", type=Path, help="checkpoint of the refiner")
    which.add_argument("--int8-only", action="store_true", help="quantise both as they are")
    parser.add_argument("--scenes", type=Path, nargs="+", required=True, help="to calibrate on")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    out: Path = arguments.out
    paths = scene_paths(arguments.scenes)[:_CALIBRATION_SCENES]
    refiners = out / REFINERS[FP32], out / REFINERS[INT8]
    if arguments.checkpoint is not None:
        net = averaged(arguments.checkpoint, CraterNet())
        write_fp32(net, (1, 1, 64, 96), _CELLS, out / FP32)
    else:
        # Before anything is written: the network is not run with a refiner that is not as listed.
        inputs = crops(paths, _CALIBRATION_CROPS)
        if arguments.refiner is not None:
            net = averaged(arguments.refiner, Refiner())
            write_fp32(net, (2, 1, CROP_PX, CROP_PX), _FINDS, refiners[0])
        write_int8(*refiners, _FINDS, inputs)
    if arguments.refiner is None:
        write_int8(out / FP32, out / INT8, _CELLS, whole_images(Scenes.load(paths)))
    write_manifest(out, arguments.checkpoint is None)


if __name__ == "__main__":
    main()
