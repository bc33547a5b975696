"""What the table of faults is counted with."""

from __future__ import annotations

import pytest

from bench.matrix import dropout_bound


@pytest.mark.parametrize("usual", [0.002, 0.02, 0.2])
def test_a_test_that_sees_nothing_finds_as_much_as_it_raises_falsely(usual: float) -> None:
    assert dropout_bound(usual, usual, 10, 1e-3) == pytest.approx(1e-3, rel=1e-9)


def test_a_dead_instrument_is_found_and_a_halting_one_now_and_then() -> None:
    assert dropout_bound(1.0, 0.002, 10, 1e-4) == pytest.approx(1.0)
    assert 0.5 < dropout_bound(0.3, 0.002, 10, 1e-4) < 0.9
