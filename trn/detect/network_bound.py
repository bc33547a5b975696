"""The crater network fed from a GPU's own memory: nothing goes to the host and back in between.

The image is uploaded once, its smaller levels are made on the device, ONNX Runtime takes them and
leaves its answers there by I/O binding, and one copy brings all answers back.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_arrays import DeviceArrays

Array32 = NDArray[np.float32]

logger = logging.getLogger(__name__)


class BoundSession:
    """An onnxruntime session that runs on the device which holds the arrays.

    channels, cell_px: of its answers, float32 (1, channels, rows / cell_px, columns / cell_px).
    fallbacks: images that the device failed, which the caller then has to have answered elsewhere.
    """

    def __init__(self, session: Any, arrays: DeviceArrays, channels: int, cell_px: int) -> None:
        self._session = session
        self._arrays = arrays
        self._channels, self._cell_px = channels, cell_px
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        self.fallbacks = 0

    def answers(
        self, image: Array32, shapes: Sequence[tuple[int, int]], multiple: int
    ) -> list[Array32] | None:
        """The answers to an image and to smaller ones of it, (channels, rows, columns) of cells.

        shapes: rows and columns of each level, the image's own first. multiple: to which sides are
        mirrored up. None where the device fails, which is logged and counted.
        """
        try:
            return self._run(self._levels(image, shapes, multiple))
        except Exception as error:  # ONNX Runtime's errors have no class in common.
            self.fallbacks += 1
            text = " ".join(str(error).split())[:200]
            logger.warning("the GPU fails the network, this frame goes by the host: %s", text)
            return None

    def _levels(
        self, image: Array32, shapes: Sequence[tuple[int, int]], multiple: int
    ) -> list[Any]:
        """The image and its smaller levels on the device, mirrored up to whole multiples."""
        module = self._arrays.module
        level = module.asarray(np.ascontiguousarray(image))
        levels = []
        for rows, columns in shapes:
            if level.shape != (rows, columns):
                level = shrunk(shrunk(level, rows, module).T, columns, module).T
            border = ((0, -rows % multiple), (0, -columns % multiple))
            padded = module.pad(level, border, mode="symmetric")
            levels.append(module.ascontiguousarray(padded, dtype=np.float32))
        return levels

    def _run(self, levels: Sequence[Any]) -> list[Array32]:
        """The session's answers to images that are on the device."""
        arrays, cell_px = self._arrays, self._cell_px
        shapes = [
            (1, self._channels, level.shape[0] // cell_px, level.shape[1] // cell_px)
            for level in levels
        ]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        room = arrays.module.empty(int(ends[-1]), dtype=np.float32)
        parts = [slice(int(end) - math.prod(shape), int(end)) for end, shape in zip(ends, shapes)]
        # The session has a stream of its own: what it reads has to be there before.
        arrays.wait()
        for level, shape, part in zip(levels, shapes, parts):
            binding = self._session.io_binding()
            binding.bind_input(
                self._input, arrays.kind, arrays.number, np.float32,
                (1, 1, *level.shape), arrays.address(level),
            )  # fmt: skip
            binding.bind_output(
                self._output, arrays.kind, arrays.number, np.float32,
                shape, arrays.address(room[part]),
            )  # fmt: skip
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        back = arrays.to_host(room)
        return [back[part].reshape(shape[1:]) for part, shape in zip(parts, shapes)]


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
