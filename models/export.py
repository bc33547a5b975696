"""Writes the trained network as ONNX, in fp32 and int8, with a manifest of their hashes.

    python -m models.export --checkpoint runs/crater-net/last.pt --scenes runs/crater-valid

int8 is static, per channel, calibrated on the scenes. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from models.targets import Scenes, normalised
from trn.errors import InputError, MissingExtraError

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
except ImportError as error:
    raise MissingExtraError(
        f"models.export: {error.name} is not installed; pip install 'lunar-trn[train]'"
    ) from error

from models.net import CraterNet, plain

FP32, INT8, MANIFEST = "crater_net.onnx", "crater_net_int8.onnx", "manifest.toml"
OPSET = 13
_CALIBRATION_SCENES = 64


def write_fp32(checkpoint: Path, path: Path) -> None:
    """The averaged weights of a checkpoint as one self-contained file."""
    net = CraterNet()
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    simple = plain(net)
    with warnings.catch_warnings():  # The exporter that writes one file is the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            simple,
            (torch.zeros(1, 1, 64, 96),),
            str(path),
            opset_version=OPSET,
            input_names=["image"],
            output_names=["cells"],
            dynamic_axes={"image": {2: "height", 3: "width"}, "cells": {2: "rows", 3: "columns"}},
            dynamo=False,
        )
    onnx.checker.check_model(str(path))


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """The scenes' pictures, one at a time."""

    def __init__(self, images: list[NDArray[np.uint8]]):
        self._left: Iterator[NDArray[np.uint8]] = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._left, None)
        if image is None:
            return None
        rows, columns = (side // 16 * 16 for side in image.shape)
        grey = normalised(image[:rows, :columns].astype(np.float32))
        return {"image": grey[None, None]}


def write_int8(fp32: Path, path: Path, scenes: Path) -> None:
    """The fp32 file quantised; its last layer, whose answers are fractions of pixels, is not."""
    paths = sorted(scenes.glob("*.npz"))[:_CALIBRATION_SCENES]
    if not paths:
        raise InputError(f"{scenes}: no scenes; make them with `python -m models.scenes`")
    head = next(
        node.name
        for node in onnx.load(str(fp32)).graph.node
        if "cells" in node.output and node.op_type == "Conv"
    )
    with tempfile.TemporaryDirectory() as scratch:
        ready = Path(scratch) / "ready.onnx"
        quant_pre_process(str(fp32), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(path),
            _Images(Scenes.load(paths).images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=[head],
            extra_options={"CalibMovingAverage": True},
        )


def write_manifest(folder: Path) -> None:
    """Sizes and SHA-256 of the two files."""
    files = {}
    for name in (FP32, INT8):
        data = (folder / name).read_bytes()
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    text = tomli_w.dumps({"files": files})
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def main() -> None:
    """Export as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, required=True, help="to calibrate int8 with")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    write_fp32(arguments.checkpoint, arguments.out / FP32)
    write_int8(arguments.out / FP32, arguments.out / INT8, arguments.scenes)
    write_manifest(arguments.out)


if __name__ == "__main__":
    main()
