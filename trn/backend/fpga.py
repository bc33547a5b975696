"""The CPU backend with its correlation done as the FPGA core does it: in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from trn.backend import cpu_correlate
from trn.backend.cpu import CpuBackend
from trn.backend.fixed_point import (
    BITS,
    MOST_SIDE_PX,
    CoreResult,
    Levels,
    frame_levels,
    search,
    template_energy,
    template_levels,
)
from trn.backend.protocol import Peaks, Searches

SearchAll = Callable[[Sequence[Levels], Sequence[Levels], int], list[CoreResult]]
"""Windows, their templates and the exclusion to what the core says about each."""


class FpgaBackend(CpuBackend):
    """Correlates with a core of integers; every other operation is the CPU's.

    name: "fpga-model" or "fpga-sim". search_all: the core; None takes the model of it. bits: of
    frame and template levels, at most 8.
    """

    def __init__(
        self, name: str = "fpga-model", search_all: SearchAll | None = None, bits: int = BITS
    ) -> None:
        super().__init__()
        self.name = name
        self.bits = bits
        self._search_all = search_all or self._model

    def correlate(
        self, image: NDArray[np.float32], predicted: NDArray[np.float32], searches: Searches
    ) -> Peaks:
        """See Backend.correlate. Raises ValueError for templates larger than the core takes.

        Placements that correlate negatively score 0. The frame's levels come from its mean and
        spread, a template's from its range.
        """
        size = searches.size_px
        if size > MOST_SIDE_PX:
            raise ValueError(f"templates of {size} pixels: the core takes up to {MOST_SIDE_PX}")
        levels = frame_levels(image, self.bits)
        windows, templates = [], []
        for k in range(len(searches)):
            x, y = int(searches.window_x[k]), int(searches.window_y[k])
            right = x + int(searches.window_columns[k]) + size - 1
            bottom = y + int(searches.window_rows[k]) + size - 1
            windows.append(levels[y:bottom, x:right])
            template = cpu_correlate.gather_template(
                predicted, int(searches.template_x[k]), int(searches.template_y[k]), size
            )
            templates.append(template_levels(template, self.bits))
        results = self._search_all(windows, templates, cpu_correlate.exclusion_px(size))
        found = np.zeros((len(searches), 8))
        for k, result in enumerate(results):
            inside = (
                0 < result.x < searches.window_columns[k] - 1
                and 0 < result.y < searches.window_rows[k] - 1
            )
            write_peak(result, template_energy(templates[k]), inside, found[k])
        return cpu_correlate.peaks_of(found, searches)

    def _model(
        self, windows: Sequence[Levels], templates: Sequence[Levels], exclusion: int
    ) -> list[CoreResult]:
        """All searches by the model, on all workers."""
        results: dict[int, CoreResult] = {}

        def work(start: int, stop: int) -> None:
            for k in range(start, stop):
                results[k] = search(windows[k], templates[k], exclusion)

        self._run_parts(len(windows), work, 4)
        return [results[k] for k in range(len(windows))]


def write_peak(result: CoreResult, energy: int, inside: bool, out: NDArray[np.float64]) -> None:
    """The host's part: scores and the sub-pixel fit from the core's integers.

    energy: the template's. inside: whether the peak has all its neighbours. out: float64 (8,), all
    zero; filled as cpu_correlate.find_peak does.
    """
    if not result.found:
        return
    scale = np.sqrt(result.energies.astype(np.float64) * energy)
    scores = np.divide(result.numerators, scale, out=np.zeros((3, 3)), where=scale > 0.0)
    out[2] = scores[1, 1]
    if inside:
        cpu_correlate.fit_peak(scores, 1, 1, out)
        out[:2] -= 1.0
    out[:2] += result.x, result.y
    if result.second_numerator > 0:
        out[3] = result.second_numerator / np.sqrt(float(result.second_energy) * energy)
