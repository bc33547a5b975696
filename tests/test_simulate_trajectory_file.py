"""Trajectories from files come back as they were flown, and files that hold none are refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trn.errors import InputError, MissingExtraError
from trn.moon.gravity import apparent_acceleration
from trn.simulate import trajectory_file
from trn.simulate.descent import DescentPlan, Trajectory, fly_descent
from trn.simulate.trajectory_file import trajectory_from_csv, trajectory_from_spk

ATLAS = DescentPlan(np.deg2rad(47.58), np.deg2rad(44.09), -2000.0, np.deg2rad(60.0))
PLACE = ["time_s", "x_m", "y_m", "z_m"]
VELOCITY = ["vx_m_per_s", "vy_m_per_s", "vz_m_per_s"]
ROWS = ["0,1800000,0,0", "1,1800000,9,0", "2,1800000,18,0", "3,1800000,27,0", "4,1800000,36,0"]


@pytest.fixture(scope="module")
def flown() -> Trajectory:
    """A descent at 40 Hz, of which the files hold every fourth sample."""
    return fly_descent(ATLAS, 40.0)


def write_csv(path: Path, names: list[str], columns: list[Any]) -> Path:
    np.savetxt(
        path, np.column_stack(columns), "%.9f", delimiter=",", header=",".join(names), comments=""
    )
    return path


def away_from_phase_boundaries(flown: Trajectory, margin_s: float) -> np.ndarray:
    changes = flown.time_s[1:][flown.phase[1:] != flown.phase[:-1]]
    return (np.abs(flown.time_s[:, None] - changes) > margin_s).all(axis=1)


def greatest(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors, axis=-1).max())


@pytest.mark.parametrize("velocities", [True, False])
def test_a_flown_descent_comes_back(flown: Trajectory, tmp_path: Path, velocities: bool) -> None:
    # A clock that does not begin at zero, and the last row on a row that is kept.
    kept = slice(0, flown.time_s.size, 4)
    names, columns = list(PLACE), [flown.time_s[kept] + 1234.5, flown.position_m[kept]]
    if velocities:
        names, columns = [*names, *VELOCITY], [*columns, flown.velocity_m_per_s[kept]]
    file = write_csv(tmp_path / "flown.csv", [*names, "mass_kg"], [*columns, flown.mass_kg[kept]])
    back = trajectory_from_csv(file, 40.0)
    count = back.time_s.size
    assert flown.time_s.size - count < 4
    np.testing.assert_allclose(back.time_s, flown.time_s[:count], atol=1e-6)
    assert greatest(back.position_m - flown.position_m[:count]) < 0.01
    away = away_from_phase_boundaries(flown, 1.5)[:count]
    off = (back.velocity_m_per_s - flown.velocity_m_per_s[:count])[away]
    assert greatest(off) < 1e-3
    off = (back.specific_force_m_per_s2 - flown.specific_force_m_per_s2[:count])[away]
    assert greatest(off) < 0.01
    np.testing.assert_allclose(back.mass_kg[away], flown.mass_kg[:count][away], atol=1e-3)
    assert set(back.phase) == {"given"}
    assert np.isnan(back.thrust_n)


def test_rows_are_reproduced_and_acceleration_is_continuous(
    flown: Trajectory, tmp_path: Path
) -> None:
    kept = slice(0, 400, 4)
    columns = [flown.time_s[kept], flown.position_m[kept], flown.velocity_m_per_s[kept]]
    file = write_csv(tmp_path / "flown.csv", [*PLACE, *VELOCITY], columns)
    back = trajectory_from_csv(file, 10_000.0)
    assert greatest(back.position_m[::1000] - flown.position_m[kept]) < 1e-3
    assert greatest(back.velocity_m_per_s[::1000] - flown.velocity_m_per_s[kept]) < 1e-3
    assert greatest(np.diff(back.specific_force_m_per_s2, axis=0)) < 1e-3
    assert np.isnan(back.mass_kg).all()


@pytest.mark.parametrize("velocities", [True, False])
def test_free_fall_is_weightless(tmp_path: Path, velocities: bool) -> None:
    time_s = np.arange(0.0, 4.0, 0.5)
    start, speed = np.array([1_750_000.0, 0.0, 1e4]), np.array([0.0, 1200.0, 800.0])
    # Over four seconds the third derivative (0.001 m/s^3) is all that the fall adds to a parabola.
    fall = apparent_acceleration(start, speed)
    step = 1e-3
    jerk = (apparent_acceleration(start + step * speed, speed + step * fall) - fall) / step
    t = time_s[:, None]
    columns = [time_s, start + speed * t + fall * t**2 / 2 + jerk * t**3 / 6]
    if velocities:
        columns.append(speed + fall * t + jerk * t**2 / 2)
    names = [*PLACE, *VELOCITY] if velocities else PLACE
    back = trajectory_from_csv(write_csv(tmp_path / "fall.csv", names, columns))
    assert greatest(back.specific_force_m_per_s2) < 1e-4


def test_comments_order_of_columns_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    rows = ["# written by hand", "z_m, y_m ,x_m,time_s", *(f"0,0,1800000,{t}" for t in range(4))]
    file = tmp_path / "by hand.csv"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join([*rows, " # the end"]).encode())
    back = trajectory_from_csv(file, 2.0)
    np.testing.assert_array_equal(back.time_s, np.arange(7) / 2.0)
    np.testing.assert_allclose(back.position_m, np.tile([1.8e6, 0.0, 0.0], (7, 1)), atol=1e-6)


def changed(row: int, text: str) -> str:
    return "\n".join([",".join(PLACE), *ROWS[:row], text, *ROWS[row + 1 :]])


VELOCITIES = ",".join([*PLACE, *VELOCITY])
BAD_FILES = {
    "empty": ("", "no header line"),
    "only comments": ("# time_s,x_m,y_m,z_m\n#\n", "no header line"),
    "no header": ("\n".join(ROWS), "line 1: column '0' is not known"),
    "a column missing": ("time_s,x_m,y_m\n0,0,0", "line 1: column z_m is missing"),
    "a velocity missing": (",".join([*PLACE, *VELOCITY[:2]]), "column vz_m_per_s is missing"),
    "a velocity misspelt": (",".join([*PLACE, "vx"]), "column 'vx' is not known"),
    "a column twice": (",".join([*PLACE, "x_m"]), "column x_m comes twice"),
    "too few rows": ("\n".join([",".join(PLACE), *ROWS[:3]]), "3 rows; give 4 or more"),
    "a short row": (changed(2, "2,1800000,9"), "line 4: 3 values; give 4"),
    "no number": (changed(2, "2,1800000,east,0"), "line 4: y_m is 'east'"),
    "an empty cell": (changed(2, "2,1800000,,0"), "line 4: y_m is ''"),
    "not a number": (changed(1, "1,1800000,nan,0"), "line 3: y_m is 'nan'; give a finite number"),
    "infinite": (changed(1, "inf,1800000,0,0"), "line 3: time_s is 'inf'"),
    "time stands": (changed(2, "1,1800000,9,0"), "line 4: time_s does not rise"),
    "time falls": (changed(2, "0.5,1800000,9,0"), "line 4: time_s does not rise"),
    "a gap": (changed(4, "400,1800000,9,0"), "line 6: time_s is more than 300 s after"),
    "kilometres": (changed(0, "0,1800,0,0"), "line 2: x_m, y_m, z_m is not 1720000 to 2737400 m"),
    "far away": (changed(0, "0,1e300,1e300,0"), "line 2: x_m, y_m, z_m is not"),
    "too fast": (changed(3, "3,1800000,6000,0"), "line 5: the way from the row before"),
    "a jump": (changed(2, "2,1800000,900,0"), "more than 100 m/s2; check units and frame"),
    "too fast a velocity": (
        "\n".join([VELOCITIES, *(f"{row},0,5000,0" for row in ROWS)]),
        "line 2: the speed is 5000 m/s or more",
    ),
    "velocities of another unit": (
        "\n".join([VELOCITIES, *(f"{row},0,900,0" for row in ROWS)]),
        "line 2: the motion from here on",
    ),
    "no mass": (
        "\n".join([",".join([*PLACE, "mass_kg"]), *(f"{row},0" for row in ROWS)]),
        "line 2: mass_kg must be positive",
    ),
    "too large a cell": (changed(2, "9" * 200_000), "line 4: not CSV"),
}


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize(("content", "told"), BAD_FILES.values(), ids=list(BAD_FILES))
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content, encoding="utf-8")
    text = refusal(lambda: trajectory_from_csv(file))
    assert text.startswith(f"{file}: ")
    assert told in text


def test_what_is_no_file_of_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "check the path" in refusal(lambda: trajectory_from_csv(tmp_path / "absent.csv"))
    assert "check the path" in refusal(lambda: trajectory_from_csv(tmp_path))
    assert "not a path" in refusal(lambda: trajectory_from_csv("a\0b"))
    file = tmp_path / "bad.csv"
    file.write_bytes(b"time_s\xff")
    assert "not UTF-8" in refusal(lambda: trajectory_from_csv(file))
    monkeypatch.setattr(trajectory_file, "MOST_FILE_BYTES", 6)
    assert "larger than" in refusal(lambda: trajectory_from_csv(file))


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "long.csv"
    file.write_text(changed(0, ROWS[0]))
    monkeypatch.setattr(trajectory_file, "MOST_ROWS", 4)
    assert "line 6: more than 4 rows" in refusal(lambda: trajectory_from_csv(file))


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf"), 1e-9, 1e9, 1e308])
def test_a_rate_without_a_sensible_number_of_samples_is_refused(
    tmp_path: Path, rate_hz: float
) -> None:
    file = tmp_path / "good.csv"
    file.write_text(changed(0, ROWS[0]))
    assert "rate_hz" in refusal(lambda: trajectory_from_csv(file, rate_hz))


cells = st.one_of(
    st.integers(0, 9).map(str),
    st.sampled_from(["1800000", "1.8e6", "-1740000", "1e308", "-1e308", "1e-300", "nan", "#", '"']),
    st.text(max_size=4),
)
tables = st.builds(
    lambda names, rows: "\n".join([",".join(names), *map(",".join, rows)]),
    st.sampled_from([PLACE, [*PLACE, *VELOCITY], [*PLACE, "mass_kg"]]),
    st.lists(st.lists(cells, min_size=4, max_size=5), max_size=7),
)
near_misses = st.lists(
    st.tuples(st.floats(0.0, 99.0), *[st.floats(-9.0, 9.0)] * 2, st.floats(-9.0, 9.0)),
    min_size=4,
    max_size=8,
).map(
    lambda rows: "\n".join(
        [VELOCITIES, *(f"{t!r},1.8e6,{y!r},{z!r},{v!r},0,1e-300" for t, y, z, v in sorted(rows))]
    )
)


@settings(deadline=None, max_examples=150)
@given(content=st.text() | tables | near_misses)
def test_arbitrary_text_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "arbitrary.csv"
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    try:
        back = trajectory_from_csv(file, 10.0)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert np.isfinite(back.specific_force_m_per_s2).all()


LEAP_SECONDS = r"""KPL/LSK
\begindata
DELTET/DELTA_T_A = 32.184
DELTET/K = 1.657D-3
DELTET/EB = 1.671D-2
DELTET/M = ( 6.239996 1.99096871D-7 )
DELTET/DELTA_AT = ( 37, @2017-JAN-1 )
\begintext
"""
ORIENTATION = r"""KPL/PCK
\begindata
BODY301_POLE_RA = ( 269.9949 0.0031 0.0 )
BODY301_POLE_DEC = ( 66.5392 0.0130 0.0 )
BODY301_PM = ( 38.3213 13.17635815 0.0 )
\begintext
"""
BEGIN, END = "2026-01-02T03:04:05", "2026-01-02T03:05:05"


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory, flown: Trajectory) -> SimpleNamespace:
    """The first minute of the descent as an SPK in J2000, with times and IAU_MOON as text."""
    spice = pytest.importorskip("spiceypy")
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "leap.tls").write_text(LEAP_SECONDS)
    (folder / "moon.tpc").write_text(ORIENTATION)
    text = [str(folder / "leap.tls"), str(folder / "moon.tpc")]
    kept = slice(0, 2481, 8)
    states = np.hstack([flown.position_m, flown.velocity_m_per_s])[kept] / 1e3
    spice.furnsh(text)
    epochs = spice.str2et(BEGIN) - 1.0 + flown.time_s[kept]
    turned = [
        spice.sxform("IAU_MOON", "J2000", epoch) @ state for epoch, state in zip(epochs, states)
    ]
    spice.unload(text)
    path = str(folder / "lander.bsp")
    handle = spice.spkopn(path, "lander", 0)
    spice.spkw09(
        handle, -999, 301, "J2000", epochs[0], epochs[-1], "lander", 7, len(epochs), turned, epochs
    )
    spice.spkcls(handle)
    return SimpleNamespace(spice=spice, text=text, all=[*text, path])


def test_an_spk_comes_back_as_flown_over_the_turning_ground(
    kernels: SimpleNamespace, flown: Trajectory
) -> None:
    back = trajectory_from_spk(kernels.all, "-999", BEGIN, END, 40.0, frame="IAU_MOON")
    wanted = slice(40, 40 + 60 * 40 + 1)
    np.testing.assert_array_equal(back.time_s, np.arange(2401) / 40.0)
    # An epoch of 8e8 s is rounded to 1e-7 s, in which the lander flies 0.2 mm.
    assert greatest(back.position_m - flown.position_m[wanted]) < 1e-3
    assert greatest(back.velocity_m_per_s - flown.velocity_m_per_s[wanted]) < 1e-3
    off = back.specific_force_m_per_s2 - flown.specific_force_m_per_s2[wanted]
    assert greatest(off) < 1e-3
    assert np.isnan(back.mass_kg).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target": "NOBODY"}, "'NOBODY'"),
        ({"target": "-998"}, "check the times and that the kernels cover them"),
        ({"begin_utc": "yesterday"}, "check the times"),
        ({"end_utc": "2027-01-01"}, "between 3 and 1999999 are wanted"),
        ({"end_utc": BEGIN}, "makes 0 steps"),
        ({"end_utc": "2026-01-02T03:15:05"}, "kernels cover"),
        ({"frame": "J2000"}, "frame 'J2000' does not turn with the Moon"),
        ({"frame": "MOON_ME"}, "MOON_ME"),
        ({"step_s": 0.0}, "step_s"),
        ({"step_s": float("nan")}, "step_s"),
        ({"paths": ["absent.bsp"]}, "absent.bsp: no such file"),
    ],
)
def test_what_spice_cannot_give_is_refused_and_its_kernels_unloaded(
    kernels: SimpleNamespace, changes: dict[str, Any], told: str
) -> None:
    asked = {"paths": kernels.all, "target": "-999", "begin_utc": BEGIN, "end_utc": END}
    asked = {**asked, "frame": "IAU_MOON", **changes}
    kernels.spice.furnsh(kernels.text[0])
    try:
        assert told in refusal(lambda: trajectory_from_spk(**asked))
        # The one that the caller had loaded stays.
        assert kernels.spice.ktotal("ALL") == 1
    finally:
        kernels.spice.unload(kernels.text[0])


def test_a_file_that_is_no_kernel_is_refused(kernels: SimpleNamespace, tmp_path: Path) -> None:
    broken = tmp_path / "broken.bsp"
    broken.write_bytes(b"DAF/SPK " + bytes(2000))
    text = refusal(lambda: trajectory_from_spk([broken], "-999", BEGIN, END))
    assert text.startswith(str(broken))
    assert kernels.spice.ktotal("ALL") == 0


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spiceypy", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lunar-trn\[spice\]'"):
        trajectory_from_spk([], "-999", BEGIN, END)
