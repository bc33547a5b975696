"""What the tables of whole descents are counted with."""

from __future__ import annotations

from bench.missions import longest


def test_the_longest_run() -> None:
    assert longest([]) == 0
    assert longest([True, False, True, True, False, True]) == 2
