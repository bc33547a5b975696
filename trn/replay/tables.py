"""CSV files of stamped rows: fast where the file is clean, row by row where it is not.

Both ways read a clean file alike. Only rows that are whole, finite and in time order are kept;
what is dropped is counted by its reason and named with the line of the first.
"""

from __future__ import annotations

import math
import warnings
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError

MOST_BYTES = 1_000_000_000
MOST_ROWS = 20_000_000
MOST_LINE_BYTES = 4096
MOST_STAMP_NS = 2**63 - 1
_CHUNK = 1 << 24

CUT_OFF = "cut off at the end of the file"
WRONG_COUNT = "with a wrong number of fields"
NO_STAMP = "whose stamp is no whole number of nanoseconds"
NOT_FINITE = "with a field that is no finite number"
OUT_OF_ORDER = "out of time order"
NO_NAME = "without a file name"


class Tally:
    """Counts what happened to the rows of one file, by reason, with the first line of each."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, reason: str, line: int, count: int = 1, outcome: str = "dropped") -> None:
        """Count rows of which the first stands in a line (from 1)."""
        before, first = self._seen.get((reason, outcome), (0, line))
        self._seen[reason, outcome] = before + count, first

    def sentences(self) -> tuple[str, ...]:
        """One line for each reason, in the order in which they were met."""
        return tuple(
            f"{self._name}: {count} row{'s' * (count > 1)} {reason}: {outcome} "
            f"(line {line}{' the first' * (count > 1)})"
            for (reason, outcome), (count, line) in self._seen.items()
        )


@dataclass(frozen=True, eq=False)
class Table:
    """Rows kept of a file. time_ns: (N,), ascending. values: (N, width - 1), finite.

    line: (N,), where each row stands in the file, from 1. tally: of the rows dropped, and open for
    what a reader finds wrong with the values.
    """

    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    line: NDArray[np.int64]
    tally: Tally


def read_table(path: Path, name: str, widths: Collection[int]) -> Table:
    """Read a CSV of a stamp in whole nanoseconds and numbers.

    name: of the file in what is said of its rows. widths: numbers of fields a row may have; the
    first row that has one of them sets the file's. Of rows out of time order as few as possible are
    dropped, and of equal stamps all but the first. Lines that begin with # and blank lines are
    passed over. Raises InputError where the file cannot be read or is too large.
    """
    clean = _check_size(path)
    table = _read_clean(path, name, widths) if clean else None
    return table if table is not None else _read_carefully(path, name, widths)


def read_listing(path: Path, name: str) -> tuple[list[tuple[int, str, int]], Tally]:
    """Read a CSV of stamps and file names: (stamp, name, line) of each row kept.

    Raises InputError where the file cannot be read or is too large.
    """
    _check_size(path)
    tally = Tally(name)
    rows: list[tuple[int, str, int]] = []
    for line, fields in _rows(path, tally):
        stamp = _stamp(fields[0])
        text = fields[1].strip() if len(fields) == 2 else ""
        if len(fields) != 2:
            tally.add(WRONG_COUNT, line)
        elif stamp is None:
            tally.add(NO_STAMP, line)
        elif not text:
            tally.add(NO_NAME, line)
        else:
            rows.append((stamp, text, line))
    kept = _in_order([stamp for stamp, _, _ in rows], [line for _, _, line in rows], tally)
    return [rows[k] for k in kept], tally


def _check_size(path: Path) -> bool:
    """Whether every line ends in a plain line feed; raises InputError where a file is too large."""
    lines, last, plain = 0, b"\n", True
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: over {MOST_BYTES / 1e9:g} GB; split the dataset")
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                lines += chunk.count(b"\n")
                plain = plain and b"\r" not in chunk
                last = chunk[-1:]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    if lines > MOST_ROWS:
        raise InputError(f"{path}: over {MOST_ROWS / 1e6:g} million rows; split the dataset")
    return plain and last == b"\n"


def _read_clean(path: Path, name: str, widths: Collection[int]) -> Table | None:
    """A file without any flaw, read by NumPy; None where there may be one."""
    with path.open("rb") as stream:
        header = 0
        line = stream.readline(MOST_LINE_BYTES)
        while line.startswith(b"#") and line.endswith(b"\n"):
            header += 1
            line = stream.readline(MOST_LINE_BYTES)
    width = line.count(b",") + 1
    if width not in widths or not line.strip():
        return None
    # Structured, so that stamps are parsed as integers and never pass through a float.
    dtype = np.dtype([("stamp", np.int64), ("values", np.float64, (width - 1,))])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows = np.loadtxt(
                path, dtype, comments=None, delimiter=",", skiprows=header, ndmin=1,
                encoding="ascii",
            )  # fmt: skip
    except (ValueError, OverflowError, Warning):
        return None
    stamps, values = np.ascontiguousarray(rows["stamp"]), np.ascontiguousarray(rows["values"])
    if stamps[0] < 0 or not (np.diff(stamps) > 0).all() or not np.isfinite(values).all():
        return None
    line_numbers = np.arange(header + 1, header + 1 + stamps.size)
    return Table(stamps, values, line_numbers, Tally(name))


def _read_carefully(path: Path, name: str, widths: Collection[int]) -> Table:
    tally = Tally(name)
    width = 0
    # Arrays, not lists: a file at its bound has 20 million rows.
    stamps, lines, values = array("q"), array("q"), array("d")
    for line, fields in _rows(path, tally):
        if not width and len(fields) in widths:
            width = len(fields)
        if len(fields) != width:
            tally.add(WRONG_COUNT, line)
            continue
        stamp = _stamp(fields[0])
        if stamp is None:
            tally.add(NO_STAMP, line)
            continue
        numbers = _numbers(fields[1:])
        if numbers is None:
            tally.add(NOT_FINITE, line)
        else:
            stamps.append(stamp)
            values.extend(numbers)
            lines.append(line)
    columns = (width or min(widths)) - 1
    kept = np.array(_in_order(stamps, lines, tally), dtype=np.int64)
    return Table(
        np.array(stamps, dtype=np.int64)[kept],
        np.array(values, dtype=np.float64).reshape(-1, columns)[kept],
        np.array(lines, dtype=np.int64)[kept],
        tally,
    )


def _in_order(stamps: Sequence[int], lines: Sequence[int], tally: Tally) -> Sequence[int]:
    """Indices of the most rows whose stamps ascend; of equal stamps the first.

    One stamp far ahead thus costs its own row and not all rows after it. Patience sorting
    (Fredman 1975, Discrete Mathematics 11(1)).
    """
    least, last, before = array("q"), array("q"), array("q")
    for k, stamp in enumerate(stamps):
        length = bisect_left(least, stamp)
        before.append(last[length - 1] if length else -1)
        if length == len(least):
            least.append(stamp)
            last.append(k)
        elif stamp < least[length]:
            least[length], last[length] = stamp, k
    kept = array("q")
    k = last[-1] if last else -1
    while k >= 0:
        kept.append(k)
        k = before[k]
    kept.reverse()
    place = 0
    for k, line in enumerate(lines):
        if place < len(kept) and kept[place] == k:
            place += 1
        else:
            tally.add(OUT_OF_ORDER, line)
    return kept


def _rows(path: Path, tally: Tally) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each whole line that is neither blank nor a comment."""
    with path.open("rb") as stream:
        line = 0
        while raw := stream.readline(MOST_LINE_BYTES):
            line += 1
            too_long = False
            while not raw.endswith(b"\n") and len(raw) == MOST_LINE_BYTES:
                too_long = True
                raw = stream.readline(MOST_LINE_BYTES)
            if not raw.endswith(b"\n"):
                tally.add(CUT_OFF, line)
            elif too_long:
                tally.add(WRONG_COUNT, line)
            elif raw.strip() and not raw.startswith(b"#"):
                yield line, raw.decode("utf-8", errors="replace").rstrip("\r\n").split(",")


def _stamp(text: str) -> int | None:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        return None
    stamp = int(digits)
    return stamp if stamp <= MOST_STAMP_NS else None


def _numbers(fields: list[str]) -> list[float] | None:
    """Finite numbers of all fields; None where one is not (Python's 1_000 is none either)."""
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        return None
    plain = all(field.isascii() and "_" not in field for field in fields)
    return numbers if plain and all(map(math.isfinite, numbers)) else None
