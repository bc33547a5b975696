"""Trajectories flown elsewhere: read from a CSV file or from SPICE kernels, and sampled evenly.

Both give rows of time, position and perhaps velocity, which one function turns into a Trajectory.

With velocities, the curve is a quintic on each interval that takes position, velocity and
acceleration at both ends (Hermite). Rows are reproduced to rounding, and the acceleration is
continuous, which a cubic through the same rows would not give. The acceleration at the rows is the
slope of the cubic spline of the velocities: fourth order in the step where rows are evenly spaced,
and unhurt by rounded positions, whose second differences would be noise. Without velocities it is
the quintic spline of the positions (cubic below six rows).
"""

from __future__ import annotations

import csv
import importlib
import io
import math
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PPoly, make_interp_spline

from trn.errors import InputError, MissingExtraError, quoted
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.gravity import ROTATION_RATE_RAD_PER_S, apparent_acceleration
from trn.simulate.descent import Trajectory

Array = NDArray[np.float64]

MOST_FILE_BYTES = 64 * 1024 * 1024
MOST_ROWS = 2_000_000
FEWEST_ROWS = 4
MOST_SAMPLES = 5_000_000
LEAST_RADIUS_M = 1_730_000.0 - 10_000.0
MOST_RADIUS_M = REFERENCE_RADIUS_M + 1_000_000.0
MOST_SPEED_M_PER_S = 5_000.0
MOST_SPECIFIC_FORCE_M_PER_S2 = 100.0
"""Ten times standard gravity: beyond it the rows are wrong in units, frame or digits."""
SHORTEST_STEP_S = 1e-6
LONGEST_STEP_S = 300.0
"""Lets a low orbit (two hours round) through to 1e-4 m/s^2."""

GIVEN = "given"

_PLACE = ("time_s", "x_m", "y_m", "z_m")
_VELOCITY = ("vx_m_per_s", "vy_m_per_s", "vz_m_per_s")
_MASS = "mass_kg"


def trajectory_from_csv(path: str | Path, rate_hz: float = 100.0) -> Trajectory:
    """The trajectory of a CSV file, sampled evenly from its first row, whose time becomes 0.

    The file is UTF-8 with a header line; lines that begin with # are comments. Columns, in any
    order: time_s, x_m, y_m, z_m (MOON_ME), and if known vx_m_per_s, vy_m_per_s, vz_m_per_s (over
    ground, MOON_ME axes) and mass_kg. Times rise from row to row. At 100 rows a second write
    positions to a micrometre: rounding shows in the acceleration between rows, divided by the
    square of the step. How the rows are joined: see the module. mass_kg is joined linearly, NaN
    without its column; thrust_n is NaN; the phase is "given" throughout.

    Raises InputError, naming file, line or column, for anything that is not such a file.
    """
    source = str(path)
    columns, table, lines = _read_table(path, source)

    def chosen(names: Sequence[str]) -> Array:
        return table[:, [columns.index(name) for name in names]]

    velocity = chosen(_VELOCITY) if _VELOCITY[0] in columns else None
    mass = table[:, columns.index(_MASS)] if _MASS in columns else None
    if mass is not None and not (mass > 0.0).all():
        line = lines[int(np.argmax(mass <= 0.0))]
        raise InputError(f"{source}: line {line}: {_MASS} must be positive")
    return _trajectory(
        source,
        lambda row: f"line {lines[row]}",
        chosen(_PLACE[:1])[:, 0],
        chosen(_PLACE[1:]),
        velocity,
        mass,
        rate_hz,
    )


def trajectory_from_spk(
    paths: Sequence[str | Path],
    target: str,
    begin_utc: str,
    end_utc: str,
    rate_hz: float = 100.0,
    *,
    frame: str = "MOON_ME",
    step_s: float = 1.0,
) -> Trajectory:
    """The trajectory of a SPICE target relative to the Moon, sampled evenly from begin_utc.

    paths: the SPK and the kernels it needs: leap seconds, and for the frame its definition and
    orientation. target: name or number. frame: one that turns with the Moon; the states are taken
    to be in MOON_ME, so IAU_MOON puts them up to about 150 m off. step_s: between the states asked
    of SPICE (geometric, without aberration), which are then joined as the rows of a CSV with
    velocities are; at most this, so that the last stands at end_utc. mass_kg and thrust_n are NaN.

    The kernels are unloaded again, whatever happens; others that the caller loaded stay. SPICE
    itself is not safe to use from several threads.

    Raises MissingExtraError without spiceypy, and InputError for what SPICE refuses.
    """
    try:
        # By name: the package has no types for a checker that runs without the extra.
        spice = importlib.import_module("spiceypy")
    except ImportError as error:
        raise MissingExtraError(
            "reading SPICE kernels needs spiceypy: pip install 'lunar-trn[spice]'"
        ) from error
    if not SHORTEST_STEP_S <= step_s <= LONGEST_STEP_S:
        raise InputError(
            f"step_s must lie between {SHORTEST_STEP_S:g} and {LONGEST_STEP_S:g} s, "
            f"not {quoted(step_s)}"
        )
    source = f"SPICE target {quoted(target)}"
    loaded: list[str] = []
    try:
        for path in paths:
            if not Path(path).is_file():
                raise InputError(f"{path}: no such file; give the path of a SPICE kernel")
            source = str(path)
            spice.furnsh(source)
            loaded.append(source)
        source = f"SPICE target {quoted(target)}"
        begin, end = float(spice.str2et(begin_utc)), float(spice.str2et(end_utc))
        epochs = _epochs(source, begin, end, step_s)
        _check_turns_with_moon(spice, frame, begin)
        states = 1e3 * np.asarray(spice.spkezr(target, epochs, frame, "NONE", "MOON")[0])
    except spice.utils.exceptions.SpiceyError as error:
        said = " ".join(f"{error.short} {error.long or error.explain}".split())
        raise InputError(
            f"{source}: {said[:300]}; check the times and that the kernels cover them"
        ) from error
    finally:
        for name in reversed(loaded):
            spice.unload(name)
    # Differences of epochs are exact, so the rounding of an epoch does not part it from its state.
    time_s = epochs - begin
    return _trajectory(
        source,
        lambda row: f"{time_s[row]:.3f} s after begin_utc",
        time_s,
        states[:, :3],
        states[:, 3:],
        None,
        rate_hz,
    )


def _epochs(source: str, begin: float, end: float, step_s: float) -> Array:
    """Evenly spaced epochs from begin to end, at most step_s apart."""
    steps = math.ceil((end - begin) / step_s)
    if not FEWEST_ROWS - 1 <= steps < MOST_ROWS:
        raise InputError(
            f"{source}: from begin_utc to end_utc are {end - begin:.3f} s, which makes {steps} "
            f"steps of step_s; between {FEWEST_ROWS - 1} and {MOST_ROWS - 1} are wanted"
        )
    return np.linspace(begin, end, steps + 1)


def _check_turns_with_moon(spice: Any, frame: str, epoch: float) -> None:
    """Raise InputError unless the frame turns as MOON_ME does, within a hundredth."""
    rotation, rate = spice.xf2rav(spice.sxform("J2000", frame, epoch))
    off = rotation @ rate - np.array([0.0, 0.0, ROTATION_RATE_RAD_PER_S])
    if not np.linalg.norm(off) < 0.01 * ROTATION_RATE_RAD_PER_S:
        raise InputError(f"frame {quoted(frame)} does not turn with the Moon; give MOON_ME")


def _read_table(path: str | Path, source: str) -> tuple[list[str], Array, array[int]]:
    """Column names, values (rows, columns), all finite, and the line number of each row."""
    try:
        with open(path, "rb") as file:
            # One byte more than is allowed tells a file that is too long, of any kind.
            content = file.read(MOST_FILE_BYTES + 1)
        if len(content) > MOST_FILE_BYTES:
            raise InputError(f"{source}: larger than 64 MiB; give fewer rows or digits")
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not UTF-8; save the CSV as UTF-8") from error
    except ValueError as error:
        raise InputError(f"{source!r}: not a path; give that of a CSV file") from error
    # A comment becomes an empty line, so that the reader's line numbers stay those of the file.
    reader = csv.reader(
        "\n" if line.lstrip().startswith("#") else line for line in io.StringIO(text, newline=None)
    )
    columns: list[str] = []
    values, lines = array("d"), array("q")
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{source}: line {reader.line_num}"
            if not columns:
                columns = _checked_columns([cell.strip() for cell in row], where)
                continue
            if len(row) != len(columns):
                raise InputError(f"{where}: {len(row)} values; give {len(columns)} as the header")
            if len(lines) == MOST_ROWS:
                raise InputError(f"{where}: more than {MOST_ROWS} rows; give fewer")
            for name, cell in zip(columns, row):
                values.append(_number(cell, name, where))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(
            f"{source}: line {reader.line_num}: not CSV ({error}); give numbers divided by commas"
        ) from error
    if not columns:
        raise InputError(f"{source}: no header line; begin with {','.join(_PLACE)}")
    return columns, np.array(values, dtype=np.float64).reshape(-1, len(columns)), lines


def _checked_columns(columns: list[str], where: str) -> list[str]:
    """The names of a header line, which hold each column that is needed once."""
    known = (*_PLACE, *_VELOCITY, _MASS)
    for name in columns:
        # Also guards against a misspelt velocity, which would otherwise go unused.
        if name not in known:
            raise InputError(
                f"{where}: column {quoted(name)} is not known; the columns are {', '.join(known)}"
            )
        if columns.count(name) > 1:
            raise InputError(f"{where}: column {name} comes twice; give it once")
    velocity = _VELOCITY if any(name in columns for name in _VELOCITY) else ()
    for name in (*_PLACE, *velocity):
        if name not in columns:
            raise InputError(f"{where}: column {name} is missing; add it to header and rows")
    return columns


def _number(cell: str, name: str, where: str) -> float:
    """The finite number of a cell."""
    try:
        value = float(cell)
    except ValueError as error:
        raise InputError(
            f"{where}: {name} is {quoted(cell)}, which is no number; give one"
        ) from error
    if not math.isfinite(value):
        raise InputError(f"{where}: {name} is {quoted(cell)}; give a finite number")
    return value


def _trajectory(
    source: str,
    place: Callable[[int], str],
    time_s: Array,
    position_m: Array,
    velocity_m_per_s: Array | None,
    mass_kg: Array | None,
    rate_hz: float,
) -> Trajectory:
    """The rows of a trajectory, joined and sampled evenly.

    source, place: what an error names, and where it says that a row is. time_s, mass_kg: (N,).
    position_m, velocity_m_per_s: (N, 3), MOON_ME, over ground. All finite.
    Raises InputError where the rows cannot be the motion of a lander near the Moon.
    """
    # Values of any size come here; what overflows fails the comparisons below.
    with np.errstate(all="ignore"):
        _check_rows(source, place, time_s, position_m, velocity_m_per_s)
        since = time_s - time_s[0]
        samples = _sample_times(source, float(since[-1]), rate_hz)
        try:
            curve = _curve(since, position_m, velocity_m_per_s)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise InputError(
                f"{source}: the rows stand too unevenly in time to be joined; space them evenly"
            ) from error
        position, velocity = curve(samples), curve.derivative(1)(samples)
        force = curve.derivative(2)(samples) - apparent_acceleration(position, velocity)
        possible = np.linalg.norm(velocity, axis=1) < MOST_SPEED_M_PER_S
        possible &= np.linalg.norm(force, axis=1) < MOST_SPECIFIC_FORCE_M_PER_S2
    if not possible.all():
        row = int(np.searchsorted(since, samples[int(np.argmin(possible))], side="right")) - 1
        raise InputError(
            f"{source}: {place(row)}: the motion from here on would need more than "
            f"{MOST_SPECIFIC_FORCE_M_PER_S2:g} m/s2; check units and frame, that velocities fit "
            "the positions, and that positions have digits enough for their step"
        )
    mass = np.full(samples.size, np.nan)
    if mass_kg is not None:
        mass = np.interp(samples, since, mass_kg)
    phase = np.full(samples.size, GIVEN)
    return Trajectory(samples, position, velocity, force, mass, phase, math.nan)


def _check_rows(
    source: str,
    place: Callable[[int], str],
    time_s: Array,
    position_m: Array,
    velocity_m_per_s: Array | None,
) -> None:
    """Raise InputError, naming the first row that is wrong, unless the rows can be a descent."""
    if time_s.size < FEWEST_ROWS:
        raise InputError(f"{source}: {time_s.size} rows; give {FEWEST_ROWS} or more")
    step = np.diff(time_s)
    radius = np.linalg.norm(position_m, axis=1)
    between = np.linalg.norm(np.diff(position_m, axis=0), axis=1) / step
    # Each: what is wrong with which rows, where row 0 of a step is the row at its end.
    tests = [
        (
            1,
            step >= SHORTEST_STEP_S,
            "time_s does not rise by a microsecond or more; sort the rows",
        ),
        (
            1,
            step <= LONGEST_STEP_S,
            f"time_s is more than {LONGEST_STEP_S:g} s after the row before; give rows between",
        ),
        (
            0,
            (radius >= LEAST_RADIUS_M) & (radius <= MOST_RADIUS_M),
            f"x_m, y_m, z_m is not {LEAST_RADIUS_M:.0f} to {MOST_RADIUS_M:.0f} m from the Moon's "
            "centre; give metres in MOON_ME",
        ),
        (
            1,
            between < MOST_SPEED_M_PER_S,
            f"the way from the row before is flown at {MOST_SPEED_M_PER_S:.0f} m/s or more; "
            "give time_s in seconds and x_m, y_m, z_m in metres",
        ),
    ]
    if velocity_m_per_s is not None:
        speed = np.linalg.norm(velocity_m_per_s, axis=1)
        fault = f"the speed is {MOST_SPEED_M_PER_S:.0f} m/s or more; give metres a second"
        tests.append((0, speed < MOST_SPEED_M_PER_S, fault))
    for first, good, fault in tests:
        if not good.all():
            raise InputError(f"{source}: {place(first + int(np.argmin(good)))}: {fault}")


def _sample_times(source: str, duration_s: float, rate_hz: float) -> Array:
    """Times from 0 to the duration, evenly spaced."""
    if not (math.isfinite(rate_hz) and rate_hz > 0.0):
        raise InputError(f"rate_hz must be a positive number, not {quoted(rate_hz)}")
    # A millionth of a step keeps the last row, whose time may be rounded down.
    steps = duration_s * rate_hz + 1e-6
    if not 1.0 <= steps < MOST_SAMPLES:
        raise InputError(
            f"{source}: {duration_s:g} s at {rate_hz:g} Hz are not 2 to {MOST_SAMPLES} samples; "
            f"give {'a higher' if steps < 1.0 else 'a lower'} rate_hz"
        )
    return np.minimum(np.arange(int(steps) + 1) / rate_hz, duration_s)


def _curve(time_s: Array, position_m: Array, velocity_m_per_s: Array | None) -> Any:
    """The twice differentiable curve through the rows: a scipy spline, as the module tells."""
    if velocity_m_per_s is None:
        degree = 5 if time_s.size >= 6 else 3
        return make_interp_spline(time_s, position_m, k=degree)
    acceleration = CubicSpline(time_s, velocity_m_per_s)(time_s, 1)
    step = np.diff(time_s)[:, None]
    begin, velocity, half = position_m[:-1], velocity_m_per_s[:-1], 0.5 * acceleration[:-1]
    # What the quadratic from a row misses at the next: position, velocity, acceleration, each
    # times the power of the step that makes it a length.
    place = np.diff(position_m, axis=0) - (velocity + half * step) * step
    slope = (np.diff(velocity_m_per_s, axis=0) - 2.0 * half * step) * step
    bend = 0.5 * np.diff(acceleration, axis=0) * step**2
    cubic = (10.0 * place - 4.0 * slope + bend) / step**3
    quartic = (-15.0 * place + 7.0 * slope - 2.0 * bend) / step**4
    quintic = (6.0 * place - 3.0 * slope + bend) / step**5
    return PPoly(np.stack([quintic, quartic, cubic, half, velocity, begin]), time_s)
