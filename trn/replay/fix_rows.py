"""A position fix as one row of fixes.csv, and back, bit for bit.

While a run is written its fixes stand in a partial file whose first line is the fingerprint of
what they were computed from; a run that is started again after it was killed finds them there.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trn.fix import CraterCounts, LandmarkCounts, PositionFix, ProtectionLevel

Array = NDArray[np.float64]

FIXES_FILE = "fixes.csv"
PARTIAL_FIXES = ".fixes.csv"
KNOWN_FIXES = ".known.csv"
"""Fixes of earlier runs that were killed, until the run that makes use of them is whole."""

_MARK = "# trn fixes of "
_TRIANGLE = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_AXES = ("xx", "xy", "xz", "yy", "yz", "zz")

COLUMNS = (
    "time_ns", "status", "reason", "x_m", "y_m", "z_m",
    *(f"covariance_{axes}_m2" for axes in _AXES),
    "qx", "qy", "qz", "qw",
    *(f"attitude_covariance_{axes}_rad2" for axes in _AXES),
    "altitude_m", "protection_horizontal_m", "protection_vertical_m", "integrity_risk",
    "landmarks_searched", "landmarks_matched", "landmarks_inliers",
    "craters_detected", "craters_identified", "craters_inliers",
    "residual_rms_px", "channel_separation", "backend", "latency_total_ms", "used", "note",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class KnownFix:
    """A fix that an earlier run computed; of the latencies only the total is known."""

    time_ns: int
    fix: PositionFix
    used: bool
    note: str


def number_text(value: float | None) -> str:
    """Text that reads back as the same float; empty for None."""
    return "" if value is None else repr(float(value))


def one_line(text: str) -> str:
    """Text without line feeds, so that a line of a file is a row."""
    return " ".join(text.split())


def fix_row(time_ns: int, fix: PositionFix, used: bool, note: str) -> list[str]:
    """The fields of a fix, in the order of COLUMNS; what a refusal has not is empty."""
    level = fix.protection_level
    counts = (
        fix.landmarks.searched, fix.landmarks.matched, fix.landmarks.inliers,
        fix.craters.detected, fix.craters.identified, fix.craters.inliers,
    )  # fmt: skip
    return [
        str(int(time_ns)),
        fix.status,
        one_line(fix.reason),
        *_vector_fields(fix.position_m, 3),
        *_matrix_fields(fix.covariance_m2),
        *_vector_fields(fix.quaternion_xyzw, 4),
        *_matrix_fields(fix.attitude_covariance_rad2),
        number_text(fix.altitude_m),
        number_text(level.horizontal_m if level else None),
        number_text(level.vertical_m if level else None),
        number_text(level.integrity_risk if level else None),
        *(str(int(count)) for count in counts),
        number_text(fix.residual_rms_px),
        number_text(fix.channel_separation),
        one_line(fix.backend),
        number_text(fix.latency_ms.get("total")),
        str(int(used)),
        one_line(note),
    ]


def known_fix(fields: Sequence[str]) -> KnownFix:
    """The fix of a row; raises ValueError where it is none."""
    if len(fields) != len(COLUMNS):
        raise ValueError(f"{len(fields)} fields")
    row = dict(zip(COLUMNS, fields, strict=True))
    if row["status"] not in ("fix", "no_fix") or row["used"] not in ("0", "1"):
        raise ValueError("no fix")
    horizontal, vertical, risk = (
        _number(row[name])
        for name in ("protection_horizontal_m", "protection_vertical_m", "integrity_risk")
    )
    level = None
    if horizontal is not None and vertical is not None and risk is not None:
        level = ProtectionLevel(horizontal, vertical, risk)
    latency = _number(row["latency_total_ms"])
    fix = PositionFix(
        status=row["status"],
        reason=row["reason"],
        position_m=_vector([row[name] for name in ("x_m", "y_m", "z_m")]),
        covariance_m2=_matrix([row[f"covariance_{axes}_m2"] for axes in _AXES]),
        quaternion_xyzw=_vector([row[name] for name in ("qx", "qy", "qz", "qw")]),
        attitude_covariance_rad2=_matrix(
            [row[f"attitude_covariance_{axes}_rad2"] for axes in _AXES]
        ),
        altitude_m=_number(row["altitude_m"]),
        protection_level=level,
        landmarks=LandmarkCounts(
            *(int(row[f"landmarks_{name}"]) for name in ("searched", "matched", "inliers"))
        ),
        craters=CraterCounts(
            *(int(row[f"craters_{name}"]) for name in ("detected", "identified", "inliers"))
        ),
        residual_rms_px=_number(row["residual_rms_px"]),
        channel_separation=_number(row["channel_separation"]),
        backend=row["backend"],
        latency_ms={} if latency is None else {"total": latency},
    )
    if (fix.status == "fix") != (fix.position_m is not None and fix.covariance_m2 is not None):
        raise ValueError("a fix has a position, a refusal none")
    return KnownFix(int(row["time_ns"]), fix, row["used"] == "1", row["note"])


def fingerprint_line(fingerprint: str) -> str:
    """The first line of a partial file, without its line feed."""
    return _MARK + one_line(fingerprint)


def is_fixes_file(path: Path) -> bool:
    """Whether a file begins as a finished or partial file of fixes does."""
    try:
        with path.open(encoding="utf-8") as stream:
            first = stream.readline(4096)
    except (OSError, UnicodeDecodeError):
        return False
    # A run that was killed at once may have left less than a line.
    return not first or first.startswith(_MARK) or first == ",".join(COLUMNS) + "\n"


def read_known_fixes(out: Path, fingerprint: str) -> dict[int, KnownFix]:
    """Fixes, by stamp, that killed runs into a folder left behind under this fingerprint.

    Fixes under another fingerprint are not told, and rows that were cut off are passed over.
    """
    known: dict[int, KnownFix] = {}
    for name in (KNOWN_FIXES, PARTIAL_FIXES):
        for line in _whole_lines(out / name, fingerprint):
            try:
                fix = known_fix(next(csv.reader([line])))
            except (ValueError, csv.Error, StopIteration):
                continue
            known[fix.time_ns] = fix
    return known


def _whole_lines(path: Path, fingerprint: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # What follows the last line feed was cut off.
    lines = text.split("\n")[:-1]
    return lines[1:] if lines and lines[0] == fingerprint_line(fingerprint) else []


def _number(text: str) -> float | None:
    return float(text) if text else None


def _vector_fields(values: Array | None, count: int) -> list[str]:
    return [""] * count if values is None else [number_text(value) for value in values]


def _matrix_fields(values: Array | None) -> list[str]:
    if values is None:
        return [""] * len(_TRIANGLE)
    return [number_text(values[place]) for place in _TRIANGLE]


def _vector(fields: Sequence[str]) -> Array | None:
    if not any(fields):
        return None
    values = [float(field) for field in fields]
    if not all(map(math.isfinite, values)):
        raise ValueError("not finite")
    return np.array(values)


def _matrix(fields: Sequence[str]) -> Array | None:
    values = _vector(fields)
    if values is None:
        return None
    matrix = np.empty((3, 3))
    for (row, column), value in zip(_TRIANGLE, values, strict=True):
        matrix[row, column] = matrix[column, row] = value
    return matrix
