"""What a Jetson's own sensors say: power mode, clocks, temperatures, power at its input.

All of it is read from files under a root folder; what is missing or does not read is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path("/")

WHOLE_RAIL, PART_RAIL = "VDD_IN", "VIN_SYS_5V0"
"""Labels of an INA3221's channels: all that the module takes (Orin NX and Nano); only what hangs on
the 5 V supply (AGX Orin, whose GPU and CPU are fed beside it)."""

INPUT_MONITOR, INPUT_RAIL = "ina238", "VIN"
"""Thor measures all that the board takes by a chip of its own, whose one channel has no label."""


@dataclass(frozen=True)
class Rail:
    """The supply whose power is measured.

    whole: whether all that the board or module takes goes through it. power_w: watts now; None
    where the sensor does not answer.
    """

    label: str
    whole: bool
    power_w: Callable[[], float | None]


def is_jetson(root: Path = ROOT) -> bool:
    """Whether the machine is a Jetson."""
    return (root / "etc/nv_tegra_release").exists() or "Jetson" in _model(root)


def describe(root: Path = ROOT) -> dict[str, Any]:
    """Model, power mode, clocks (MHz) and temperatures (degrees Celsius), as JSON has them."""
    return {
        "model": _model(root),
        "power_mode": power_mode(root),
        "clocks_mhz": clocks_mhz(root),
        "temperatures_c": temperatures_c(root),
    }


def power_mode(root: Path = ROOT) -> str | None:
    """nvpmodel's mode, as in `2 (15W)`; the name is left out where nvpmodel.conf does not say."""
    found = re.search(r"pmode:(\d+)", _text(root / "var/lib/nvpmodel/status") or "")
    if found is None:
        return None
    number = int(found.group(1))
    configured = _text(root / "etc/nvpmodel.conf") or ""
    for model in re.finditer(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", configured, re.MULTILINE):
        if int(model.group(1)) == number:
            return f"{number} ({model.group(2)})"
    return str(number)


def clocks_mhz(root: Path = ROOT) -> dict[str, float]:
    """Present frequencies of the GPU's clocks and of each CPU core that is on."""
    clocks = {}
    for folder in sorted(root.glob("sys/class/devfreq/*gpu*")):
        hertz = _number(folder / "cur_freq")
        if hertz is not None:
            clocks[folder.name] = hertz / 1e6
    cores = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq")
    for folder in sorted(cores, key=lambda path: int(path.parent.name[3:])):
        kilohertz = _number(folder / "scaling_cur_freq")
        if kilohertz is not None:
            clocks[folder.parent.name] = kilohertz / 1e3
    return clocks


def temperatures_c(root: Path = ROOT) -> dict[str, float]:
    """Temperature of each thermal zone that answers; a unit that is off does not."""
    zones = {}
    for folder in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        name, millidegrees = _text(folder / "type"), _number(folder / "temp")
        if name and millidegrees is not None:
            zones[name] = millidegrees / 1e3
    return zones


def input_rail(root: Path = ROOT) -> Rail | None:
    """The supply nearest to the whole input: one rail, since rails hang on each other.

    None where none of the known ones answers. A part of the input is taken only where the whole is
    not measured.
    """
    rails = []
    for folder in sorted(root.glob("sys/class/hwmon/hwmon*")):
        chip = _text(folder / "name")
        if chip == INPUT_MONITOR:
            rails.append(Rail(INPUT_RAIL, True, _reader(folder / "power1_input", 1e-6)))
        elif chip == "ina3221":
            for channel in (1, 2, 3):
                label = _text(folder / f"in{channel}_label")
                if label in (WHOLE_RAIL, PART_RAIL):
                    power_w = _volt_amperes(folder, channel)
                    rails.append(Rail(label, label == WHOLE_RAIL, power_w))
    answering = [rail for rail in rails if rail.power_w() is not None]
    return max(answering, key=lambda rail: rail.whole, default=None)


def _volt_amperes(folder: Path, channel: int) -> Callable[[], float | None]:
    """Watts of one channel of an INA3221, from its millivolts and milliamperes."""
    millivolts, milliamperes = folder / f"in{channel}_input", folder / f"curr{channel}_input"

    def power_w() -> float | None:
        voltage, current = _number(millivolts), _number(milliamperes)
        return None if voltage is None or current is None else 1e-6 * voltage * current

    return power_w


def _reader(path: Path, unit: float) -> Callable[[], float | None]:
    """The number of a file, in units."""

    def read() -> float | None:
        number = _number(path)
        return None if number is None else unit * number

    return read


def _model(root: Path) -> str:
    return _text(root / "proc/device-tree/model") or ""


def _text(path: Path) -> str | None:
    """A sensor's text; None where it is not there or does not answer."""
    try:
        return path.read_bytes().decode("utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return None


def _number(path: Path) -> float | None:
    """A sensor's whole number; None where it is not there or is none."""
    text = _text(path)
    return float(text) if text is not None and re.fullmatch(r"-?\d{1,15}", text) else None
