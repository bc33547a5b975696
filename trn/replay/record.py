"""Writes the folder of a run as the run goes on.

Rows go to partial files, whose names begin with a dot, each row whole in one write. Only when the
run is finished do they get their names, so that an earlier run stands until a whole one replaces
it. Fixes, which are dear, outlive a killed run: `read_known_fixes` finds them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from trn.channels.ground_flow import Displacement
from trn.errors import InputError, WorkError
from trn.files import remove_leftovers, write_whole
from trn.fix import PositionFix
from trn.replay.fix_rows import (
    COLUMNS,
    FIXES_FILE,
    KNOWN_FIXES,
    PARTIAL_FIXES,
    KnownFix,
    fingerprint_line,
    fix_row,
    is_fixes_file,
    number_text,
    one_line,
    read_known_fixes,
)
from trn.replay.log import Log, plain

__all__ = ["CrosscheckRow", "KnownFix", "Recorder", "read_known_fixes"]

Array = NDArray[np.float64]

SUMMARY_FILE, REPORT_FILE, STORY_FILE = "summary.json", "report.html", "story.svg"
CROSSCHECK_FILE, TRAJECTORY_FILE, LOG_FILE = "crosscheck.csv", "trajectory.tum", "log.mcap"
DISPLACEMENTS_FILE = "displacements.csv"
_DISPLACEMENT_COLUMNS = (
    "time_ns", "since_ns", "x_m", "y_m", "z_m", "covariance_xx_m2", "covariance_xy_m2",
    "covariance_xz_m2", "covariance_yy_m2", "covariance_yz_m2", "covariance_zz_m2", "from_x_m",
    "from_y_m", "from_z_m", "corners", "used",
)  # fmt: skip

_ERRORS = dict.fromkeys(("p50", "p95", "max"))
_SUMMARY: Mapping[str, Any] = {
    **dict.fromkeys(
        ("dataset", "scenario", "seed", "backend", "duration_s", "real_time_factor")
    ),
    "frames": dict.fromkeys(("total", "fixes", "refused", "wrong")),
    "position_error_m": _ERRORS,
    "altitude_error_m": {**_ERRORS, "at_end": None},
    "crosscheck": {
        **dict.fromkeys(
            ("measurements", "healthy", "rejected_healthy", "longest_rejection_of_healthy")
        ),
        "verdicts": dict.fromkeys(("consistent", "altimeter", "navigation", "map", "undecided")),
        "alarms": None,
    },
    "baseline": dict.fromkeys(
        ("locked_out", "lockout_time_s", "true_altitude_when_estimate_is_zero_m")
    ),
}  # fmt: skip


@dataclass(frozen=True)
class CrosscheckRow:
    """What was made of one altimeter reading: a row of crosscheck.csv, columns in this order.

    expected_range_m, expected_sigma_m: of the range before the reading. verdict: the party to
    blame, or "consistent" or "undecided". kind: of the fault, empty without one. altitude_m and
    its sigma and protection level: the estimate after the reading, above the map's terrain.
    """

    time_ns: int
    range_m: float
    valid: bool
    beam: int
    expected_range_m: float | None
    expected_sigma_m: float | None
    verdict: str
    probability_consistent: float
    probability_altimeter: float
    probability_navigation: float
    probability_map: float
    probability_undecided: float
    used: bool
    kind: str
    sentence: str
    altitude_m: float | None
    altitude_sigma_m: float | None
    protection_level_m: float | None
    baseline_altitude_m: float | None
    baseline_locked_out: bool


_CROSSCHECK_COLUMNS = tuple(field.name for field in fields(CrosscheckRow))


class Recorder:
    """One run in the making; a context manager that closes its files.

    fingerprint: text that decides the fixes (dataset, map, backend, version). Raises InputError
    where the folder holds something that is no run; every method raises WorkError where a file
    cannot be written.
    """

    def __init__(self, out: Path, dataset: str, fingerprint: str) -> None:
        self.out = out
        _check_folder(out)
        with self._working():
            out.mkdir(parents=True, exist_ok=True)
            remove_leftovers(out)
            self._keep_known_fixes(fingerprint)
            self._fixes = (out / PARTIAL_FIXES).open("w", encoding="utf-8", buffering=1, newline="")
            self._fixes.write(fingerprint_line(fingerprint) + "\n")
            self._crosscheck = _partial(out, CROSSCHECK_FILE).open(
                "w", encoding="utf-8", buffering=1, newline=""
            )
            self._displacements = _partial(out, DISPLACEMENTS_FILE).open(
                "w", encoding="utf-8", buffering=1, newline=""
            )
            self._trajectory = _partial(out, TRAJECTORY_FILE).open(
                "w", encoding="utf-8", buffering=1, newline=""
            )
            self._stream = _partial(out, LOG_FILE).open("wb")
            self._log = Log(self._stream, dataset)
            self._fixes.write(_row_text(COLUMNS))
            self._crosscheck.write(_row_text(_CROSSCHECK_COLUMNS))
            self._displacements.write(_row_text(_DISPLACEMENT_COLUMNS))
            self._trajectory.write("# timestamp_s tx ty tz qx qy qz qw\n")

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add_fix(self, time_ns: int, fix: PositionFix, used: bool, note: str = "") -> None:
        """Record the answer to a frame, whether the navigation used it, and why not."""
        with self._working():
            self._fixes.write(_row_text(fix_row(time_ns, fix, used, note)))
            self._log.add("fix", time_ns, {**fix.to_dict(), "used": used, "note": note})

    def add_displacement(self, time_ns: int, since_ns: int, seen: Displacement, used: bool) -> None:
        """Record a movement between two exposures, and whether the navigation used it."""
        triangle = seen.covariance_m2[np.triu_indices(3)]
        row = [time_ns, since_ns, *seen.offset_m, *triangle, *seen.begin_m, seen.corners, used]
        with self._working():
            self._displacements.write(_row_text([_field(value) for value in row]))
            self._log.add(
                "displacement",
                time_ns,
                {
                    "since_ns": since_ns,
                    "offset_moon_me_m": seen.offset_m,
                    "covariance_m2": seen.covariance_m2,
                    "begin_moon_me_m": seen.begin_m,
                    "corners": seen.corners,
                    "used": used,
                },
            )

    def add_crosscheck(self, row: CrosscheckRow) -> None:
        """Record what was made of an altimeter reading."""
        held = {name: getattr(row, name) for name in _CROSSCHECK_COLUMNS}
        with self._working():
            self._crosscheck.write(_row_text([_field(value) for value in held.values()]))
            self._log.add("crosscheck", row.time_ns, held)

    def add_state(
        self,
        time_ns: int,
        position_m: Array,
        velocity_m_per_s: Array,
        quaternion_xyzw: Array,
        variances: Array,
    ) -> None:
        """Record the navigation state.

        position_m, velocity_m_per_s: (3,), MOON_ME. quaternion_xyzw: (4,), body-fixed to vehicle;
        trajectory.tum holds its inverse, as TUM's form has it. variances: the covariance's
        diagonal, in the filter's order.
        """
        x, y, z, w = (float(value) for value in quaternion_xyzw)
        pose = (*(float(value) for value in position_m), -x, -y, -z, w)
        # From the whole number: a float holds no nanoseconds of today.
        seconds, rest = divmod(int(time_ns), 10**9)
        with self._working():
            self._trajectory.write(
                f"{seconds}.{rest:09d} {' '.join(number_text(value + 0.0) for value in pose)}\n"
            )
            self._log.add(
                "state",
                time_ns,
                {
                    "position_moon_me_m": position_m,
                    "velocity_moon_me_m_per_s": velocity_m_per_s,
                    "quaternion_body_to_vehicle_xyzw": quaternion_xyzw,
                    "variances": variances,
                },
            )

    def add_alarm(self, time_ns: int, kind: str, text: str) -> None:
        """Log an alarm."""
        with self._working():
            self._log.add("alarm", time_ns, {"kind": kind, "text": text})

    def finish(
        self, summary: Mapping[str, Any], report: str | None = None, story: str | None = None
    ) -> None:
        """Make the run whole: files get their names, summary.json last.

        summary: the keys that docs/replay.md names, and more at will; what is not finite becomes
        null. report, story: the texts of report.html and story.svg. Raises ValueError naming a key
        that is missing.
        """
        _check_summary(summary, _SUMMARY, "")
        text = json.dumps(plain(summary), indent=1, allow_nan=False) + "\n"
        out = self.out
        with self._working():
            self._log.finish()
            for stream in self._streams():
                stream.flush()
            self.close()
            rows = (out / PARTIAL_FIXES).read_text(encoding="utf-8").split("\n", 1)[1]
            # Without its summary a folder is no whole run, whenever this is cut short.
            (out / SUMMARY_FILE).unlink(missing_ok=True)
            write_whole(out / FIXES_FILE, rows)
            for name in (CROSSCHECK_FILE, DISPLACEMENTS_FILE, TRAJECTORY_FILE, LOG_FILE):
                _partial(out, name).replace(out / name)
            for name, page in ((REPORT_FILE, report), (STORY_FILE, story)):
                if page is None:
                    (out / name).unlink(missing_ok=True)
                else:
                    write_whole(out / name, page)
            write_whole(out / SUMMARY_FILE, text)
            for name in (PARTIAL_FIXES, KNOWN_FIXES):
                (out / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files; what is not finished stays partial.

        Raises nothing: a full disk was said when a row was written.
        """
        for stream in self._streams():
            with suppress(OSError):
                stream.close()

    def _streams(self) -> tuple[IO[Any], ...]:
        return (
            self._fixes,
            self._crosscheck,
            self._displacements,
            self._trajectory,
            self._stream,
        )

    def _keep_known_fixes(self, fingerprint: str) -> None:
        """Put the fixes of killed runs aside before the partial file begins anew."""
        known = read_known_fixes(self.out, fingerprint)
        if not known:
            (self.out / KNOWN_FIXES).unlink(missing_ok=True)
            return
        rows = (
            _row_text(fix_row(entry.time_ns, entry.fix, entry.used, entry.note))
            for entry in known.values()
        )
        write_whole(self.out / KNOWN_FIXES, f"{fingerprint_line(fingerprint)}\n{''.join(rows)}")

    @contextmanager
    def _working(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorkError(
                f"{self.out}: cannot be written ({error.strerror or error}); free some space and "
                "run the same command again: fixes already made are kept"
            ) from error


def _partial(out: Path, name: str) -> Path:
    return out / f".{name}"


def _check_folder(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out}: is no folder; choose another --out")
    held = {path.name for path in out.iterdir()}
    ours = {FIXES_FILE, PARTIAL_FIXES, KNOWN_FIXES} & held
    if held and not (ours and all(is_fixes_file(out / name) for name in ours)):
        raise InputError(f"{out}: holds something that is no run; choose another --out")


def _check_summary(found: Any, wanted: Mapping[str, Any], place: str) -> None:
    for name, inner in wanted.items():
        if not isinstance(found, Mapping) or name not in found:
            raise ValueError(f"summary lacks {place}{name}")
        # Without truth a whole table of errors may be null.
        if inner is not None and found[name] is not None:
            _check_summary(found[name], inner, f"{place}{name}.")


def _row_text(row: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()


def _field(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    return number_text(value)
