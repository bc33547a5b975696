"""What `trn bench` says of a Jetson comes from its files, and its power from one rail alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from trn.bench import jetson
from trn.bench.board import Board, Power, energy_per_frame, sampled
from trn.bench.jetson import Rail
from trn.bench.report import _board_lines

CONF = """# comment
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=MAXN_SUPER >
"""


def write(root: Path, files: dict[str, str]) -> Path:
    """A tree of files under a root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def channel(hwmon: int, number: int, label: str, volts: str, amperes: str) -> dict[str, str]:
    folder = f"sys/class/hwmon/hwmon{hwmon}"
    return {
        f"{folder}/name": "ina3221\n",
        f"{folder}/in{number}_label": f"{label}\n",
        f"{folder}/in{number}_input": volts,
        f"{folder}/curr{number}_input": amperes,
    }


ORIN_NX = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\n",
    "proc/device-tree/model": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0",
    "var/lib/nvpmodel/status": "pmode:0001 fmode:fanNull\n",
    "etc/nvpmodel.conf": CONF,
    "sys/class/devfreq/17000000.gpu/cur_freq": "918000000\n",
    "sys/class/devfreq/15380000.nvjpg/cur_freq": "499200000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1984000\n",
    "sys/devices/system/cpu/cpu10/cpufreq/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq": "1190400\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48250\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "45500\n",
    "sys/class/hwmon/hwmon0/name": "pwmfan\n",
    **channel(1, 1, "VDD_IN", "4960\n", "1200\n"),
    **channel(1, 2, "VDD_CPU_GPU_CV", "4960\n", "400\n"),
    **channel(1, 3, "VDD_SOC", "4960\n", "280\n"),
}
AGX_ORIN = {
    "etc/nv_tegra_release": "# R36\n",
    **channel(1, 1, "VDD_GPU_SOC", "19000\n", "300\n"),
    **channel(1, 2, "VDD_CPU_CV", "19000\n", "100\n"),
    **channel(1, 3, "VIN_SYS_5V0", "5000\n", "900\n"),
    **channel(2, 2, "VDDQ_VDD2_1V8AO", "5000\n", "200\n"),
}
THOR = {
    "proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\0",
    "sys/class/devfreq/gpu-gpc-0/cur_freq": "1575000000\n",
    "sys/class/devfreq/gpu-nvd-0/cur_freq": "1692000000\n",
    **channel(3, 1, "VDD_GPU", "12000\n", "500\n"),
    **channel(3, 2, "VDD_CPU_SOC_MSS", "12000\n", "600\n"),
    **channel(3, 3, "VIN_SYS_5V0", "5000\n", "1000\n"),
    "sys/class/hwmon/hwmon4/name": "ina238\n",
    "sys/class/hwmon/hwmon4/in1_input": "20000\n",
    "sys/class/hwmon/hwmon4/curr1_input": "1650\n",
    "sys/class/hwmon/hwmon4/power1_input": "33000000\n",
}


def test_an_orin_nx_says_all_of_itself(tmp_path: Path) -> None:
    root = write(tmp_path, ORIN_NX)
    assert jetson.is_jetson(root)
    assert jetson.describe(root) == {
        "model": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        "power_mode": "1 (MAXN_SUPER)",
        "clocks_mhz": {"17000000.gpu": 918.0, "cpu0": 1984.0, "cpu2": 1190.4, "cpu10": 729.6},
        "temperatures_c": {"cpu-thermal": 48.25, "gpu-thermal": 45.5},
    }


@pytest.mark.parametrize(
    ("tree", "label", "whole", "watts"),
    [
        (ORIN_NX, "VDD_IN", True, 4.96 * 1.2),
        (AGX_ORIN, "VIN_SYS_5V0", False, 4.5),
        (THOR, "VIN", True, 33.0),
    ],
)
def test_power_is_that_of_one_rail(
    tree: dict[str, str], label: str, whole: bool, watts: float, tmp_path: Path
) -> None:
    """Not the sum: the other rails hang on this one, or beside it."""
    rail = jetson.input_rail(write(tmp_path, tree))
    assert rail is not None
    assert (rail.label, rail.whole) == (label, whole)
    assert rail.power_w() == pytest.approx(watts)


def test_thor_has_gpu_clocks_under_another_name(tmp_path: Path) -> None:
    root = write(tmp_path, THOR)
    assert jetson.is_jetson(root)
    assert jetson.clocks_mhz(root) == {"gpu-gpc-0": 1575.0, "gpu-nvd-0": 1692.0}


def test_where_the_whole_does_not_answer_a_part_is_taken_and_named_so(tmp_path: Path) -> None:
    root = write(tmp_path, THOR)
    (root / "sys/class/hwmon/hwmon4/power1_input").write_text("")
    rail = jetson.input_rail(root)
    assert rail is not None and (rail.label, rail.whole) == ("VIN_SYS_5V0", False)


def test_another_machine_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"sys/class/hwmon/hwmon0/name": "k10temp\n"})
    assert not jetson.is_jetson(tmp_path)
    assert jetson.input_rail(tmp_path) is None
    board = Board(lambda part, done, total: pytest.fail("nothing to measure"), tmp_path)
    with board.measured("cpu", 1):
        pass
    assert board.found() is None
    assert _board_lines(None) == []


def test_files_that_are_missing_or_broken_are_left_out(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "etc/nv_tegra_release": "",
            "var/lib/nvpmodel/status": "no mode here\n",
            "sys/class/devfreq/17000000.gpu/cur_freq": "nan\n",
            "sys/class/devfreq/18000000.gpu/governor": "nvhost_podgov\n",
            "sys/class/thermal/thermal_zone0/type": "cv0-thermal\n",
            "sys/class/thermal/thermal_zone1/temp": "41000\n",
            "sys/class/thermal/thermal_zone2/type": "tj-thermal\n",
            "sys/class/thermal/thermal_zone2/temp": "41000 C\n",
            "sys/class/hwmon/hwmon1/name": "ina3221\n",
            "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
            "sys/class/hwmon/hwmon1/in1_input": "4960\n",
        },
    )
    (root / "sys/class/hwmon/hwmon2").mkdir()
    (root / "sys/class/hwmon/hwmon2/name").write_bytes(b"\xff\xfe\0")
    (root / "proc/device-tree/model").mkdir(parents=True)  # reads as no text at all
    assert jetson.describe(root) == {
        "model": "", "power_mode": None, "clocks_mhz": {}, "temperatures_c": {},
    }  # fmt: skip
    assert jetson.input_rail(root) is None


def test_a_mode_that_the_configuration_does_not_list_has_its_number(tmp_path: Path) -> None:
    status = {"var/lib/nvpmodel/status": "pmode:0007\n"}
    assert jetson.power_mode(write(tmp_path, status)) == "7"
    assert jetson.power_mode(write(tmp_path, {"etc/nvpmodel.conf": CONF})) == "7"


def test_samples_are_taken_while_the_block_runs() -> None:
    watts = iter([5.0, None, 7.0])
    with sampled(Rail("VDD_IN", True, lambda: next(watts, None)), 0.001) as power:
        time.sleep(0.05)
    assert power.samples_w == [5.0, 7.0]
    assert power.mean_w == 6.0
    assert 0.05 <= power.seconds < 5.0
    assert Power().mean_w is None


def test_energy_is_power_above_idle_over_the_time_of_a_frame() -> None:
    rail = Rail("VDD_IN", True, lambda: 0.0)
    idle, busy = Power([4.0, 6.0], 5.0), Power([12.0, 14.0], 20.0)
    spent = energy_per_frame(rail, idle, busy, frames=100)
    assert spent["joules_per_frame"] == pytest.approx((13.0 - 5.0) * 20.0 / 100)
    assert energy_per_frame(rail, Power(), busy, 100)["joules_per_frame"] is None


@pytest.mark.parametrize("tree", [ORIN_NX, AGX_ORIN])
def test_a_board_measures_idle_and_fixes(tree: dict[str, str], tmp_path: Path) -> None:
    root = write(tmp_path, tree)
    told: list[str] = []
    board = Board(lambda part, done, total: told.append(part), root, idle_s=0.05)
    with board.measured("cuda", 10):
        time.sleep(0.05)
    found = board.found()
    assert found is not None and told == ["idle power"]
    assert set(found["states"]) == {"idle", "after fixes on cuda"}
    assert found["energy"]["cuda"]["joules_per_frame"] == pytest.approx(0.0, abs=1e-9)
    text = "\n".join(_board_lines(found))
    assert ("part of the input" in text) == (tree is AGX_ORIN)
    assert "0 J a frame above idle" in text


def test_a_board_without_a_rail_says_so(tmp_path: Path) -> None:
    board = Board(lambda part, done, total: None, write(tmp_path, {"etc/nv_tegra_release": ""}))
    with board.measured("cpu", 1):
        pass
    text = "\n".join(_board_lines(board.found()))
    assert "no known input rail answers" in text
    assert "power mode unknown" in text
