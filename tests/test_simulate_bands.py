"""Rows are shared out so that each is done once, and errors are heard."""

from __future__ import annotations

import numpy as np
import pytest

from trn.simulate.bands import default_workers, over_bands


@pytest.mark.parametrize("rows", [0, 1, 159, 160, 161, 1024])
@pytest.mark.parametrize("workers", [None, 1, 2, 7])
def test_every_row_is_done_once(rows: int, workers: int | None) -> None:
    done = np.zeros(rows, int)

    def work(first: int, last: int) -> None:
        done[first:last] += 1

    over_bands(work, rows, workers)
    assert np.all(done == 1)


@pytest.mark.parametrize("rows", [10, 1000])
def test_an_error_in_a_band_is_raised(rows: int) -> None:
    def work(first: int, last: int) -> None:
        if last == rows:
            raise ValueError("the last band")

    with pytest.raises(ValueError, match="the last band"):
        over_bands(work, rows, 2)


def test_there_is_at_least_one_worker() -> None:
    assert default_workers() >= 1
