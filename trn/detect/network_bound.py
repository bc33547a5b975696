"""The crater network fed from a GPU's own memory: no image goes to the host and back in between.

The image is uploaded once; its smaller levels, and later the crops of finds, are made on the
device. ONNX Runtime takes them and leaves its answers there by I/O binding; one copy brings all
answers back, of the network, and one of the refiner.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_arrays import DeviceArrays
from trn.detect.crops import Shape, cut_by_arrays
from trn.detect.network_look import CELL_CHANNELS, CELL_PX, REFINER_ANSWERS, SIDE_MULTIPLE, HostLook

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

logger = logging.getLogger(__name__)

_MOST_CROPS = 1024
"""Cut at a time, by arrays of 8 MB."""


class BoundSession:
    """An onnxruntime session that runs on the device which holds the arrays."""

    def __init__(self, session: Any, arrays: DeviceArrays) -> None:
        self._session, self.arrays = session, arrays
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    def run(self, inputs: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> list[Array32]:
        """Answers to float32 arrays that are on the device, of the shapes that they have."""
        arrays = self.arrays
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        room = arrays.module.empty(int(ends[-1]), dtype=np.float32)
        parts = [slice(int(end) - math.prod(shape), int(end)) for end, shape in zip(ends, shapes)]
        # The session has a stream of its own: what it reads has to be there before.
        arrays.wait()
        for given, shape, part in zip(inputs, shapes, parts):
            binding = self._session.io_binding()
            binding.bind_input(
                self._input, arrays.kind, arrays.number, np.float32,
                given.shape, arrays.address(given),
            )  # fmt: skip
            binding.bind_output(
                self._output, arrays.kind, arrays.number, np.float32,
                shape, arrays.address(room[part]),
            )  # fmt: skip
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        back = arrays.to_host(room)
        return [back[part].reshape(shape) for part, shape in zip(parts, shapes)]


@dataclass
class BoundNetwork:
    """A network and its refiner on a device.

    fallbacks: how often the device failed and the host took over.
    """

    network: BoundSession
    refiner: BoundSession | None
    fallbacks: int = 0

    def attempt(self, work: Callable[[], list[Array32]]) -> list[Array32] | None:
        """What some work on the device gives; None where that fails, logged and counted."""
        try:
            return work()
        except Exception as error:  # ONNX Runtime's errors have no class in common.
            self.fallbacks += 1
            text = " ".join(str(error).split())[:200]
            logger.warning("the GPU fails the network, this frame goes by the host: %s", text)
            return None


class BoundLook:
    """A look from a device's memory: the image goes up once, and answers alone come back.

    host: the same look from the host's, for what the device fails.
    """

    def __init__(self, bound: BoundNetwork, host: HostLook) -> None:
        self._bound, self._host = bound, host
        self._levels: list[Any] = []

    @property
    def shapes(self) -> list[Shape]:
        return self._host.shapes

    def cells(self) -> Iterator[Array32]:
        cells = self._bound.attempt(self._cells)
        yield from self._host.cells() if cells is None else (each[0] for each in cells)

    def answers(self, centres: Array, to_pixels: Array) -> Array32:
        refiner = self._bound.refiner
        if refiner is not None and self._levels and len(centres):
            answers = self._bound.attempt(lambda: self._answers(refiner, centres, to_pixels))
            if answers is not None:
                return np.concatenate(answers)[:, :, 0, 0]
        return self._host.answers(centres, to_pixels)

    def _cells(self) -> list[Array32]:
        network = self._bound.network
        module = network.arrays.module
        level = module.asarray(np.ascontiguousarray(self._host.image))
        levels, padded = [], []
        for rows, columns in self.shapes:
            if level.shape != (rows, columns):
                level = shrunk(shrunk(level, rows, module).T, columns, module).T
            levels.append(level)
            border = ((0, -rows % SIDE_MULTIPLE), (0, -columns % SIDE_MULTIPLE))
            mirrored = module.pad(level, border, mode="symmetric")
            padded.append(module.ascontiguousarray(mirrored, dtype=np.float32)[None, None])
        shapes = [
            (1, CELL_CHANNELS, *(side // CELL_PX for side in each.shape[2:])) for each in padded
        ]
        cells = network.run(padded, shapes)
        self._levels = levels
        return cells

    def _answers(self, refiner: BoundSession, centres: Array, to_pixels: Array) -> list[Array32]:
        parts = [slice(k, k + _MOST_CROPS) for k in range(0, len(centres), _MOST_CROPS)]
        crops = [
            cut_by_arrays(self._levels, centres[of], to_pixels[of], refiner.arrays.module)
            for of in parts
        ]
        return refiner.run(crops, [(len(each), REFINER_ANSWERS, 1, 1) for each in crops])


def shrunk(level: Any, rows: int, module: Any) -> Any:
    """A float32 array (N, M) averaged to fewer rows, (rows, M), as OpenCV's INTER_AREA does.

    module: CuPy or NumPy, whichever the array is of.
    """
    if level.shape[0] == 2 * rows:
        return (level[0::2] + level[1::2]) * np.float32(0.5)
    return module.asarray(_area_weights(rows, level.shape[0])) @ level


def _area_weights(rows: int, source_rows: int) -> Array32:
    """Share of each source row in each row that covers it, float32 (rows, source_rows)."""
    edges = np.arange(rows + 1) * (source_rows / rows)
    source = np.arange(source_rows)
    overlap = np.minimum(edges[1:, None], source + 1) - np.maximum(edges[:-1, None], source)
    return np.asarray(np.maximum(overlap, 0.0) * (rows / source_rows), dtype=np.float32)
