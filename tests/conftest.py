"""Fixtures that more than one test file uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real maps and photographs; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("TRN_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set TRN_DATA to the folder that holds it")
    return folder
