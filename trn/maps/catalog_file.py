"""Crater catalogues as files: read in the columns of their authors, written in ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError, quoted
from trn.files import write_whole
from trn.maps.catalog import CraterCatalog
from trn.maps.catalog_units import implausible_units
from trn.moon.frames import wrap_longitude_deg

Array = NDArray[np.float64]

MOST_BYTES = 1 << 29
MOST_ROWS = 4_000_000
MOST_HEADER_CHARACTERS = 65_536
MOST_ID_CHARACTERS = 64
MOST_NAMED = 50
"""Skipped rows that are named one by one; all are counted."""

LEAST_DIAMETER_KM = 1e-3
MOST_DIAMETER_KM = 2600.0
"""South Pole-Aitken, the largest, is given as 2400 to 2500 km."""

MOST_SLIPS = 2
MOST_SLIPS_SHARE = 0.1
"""Diameters beyond the largest, and their share, taken for slips; more, or half, is another unit.
"""

CHUNK_ROWS = 20_000


@dataclass(frozen=True)
class Columns:
    """Names, in lower case, of what a kind of catalogue calls each value; "" for what it lacks.

    All in degrees and kilometres; the angle of the major axis is from east towards north.
    """

    latitude: str
    longitude: str
    diameter: str
    id: str = ""
    major: str = ""
    minor: str = ""
    angle: str = ""
    ellipse_latitude: str = ""
    ellipse_longitude: str = ""


# First the most telling names. Robbins gives the angle in [0, 180) with 90 for an axis that runs
# north to south. Head et al. and Povilaitis et al. are handed on under two sets of names each.
KINDS = {
    "trn": Columns(
        "latitude_deg", "longitude_east_deg", "diameter_km", "id", "major_km", "minor_km",
        "angle_deg",
    ),
    "Robbins (2018)": Columns(
        "lat_circ_img", "lon_circ_img", "diam_circ_img", "crater_id", "diam_elli_major_img",
        "diam_elli_minor_img", "diam_elli_angle_img", "lat_elli_img", "lon_elli_img",
    ),
    "Head et al. (2010)": Columns("lat", "lon", "diam_km"),
    "Povilaitis et al. (2018)": Columns("lat", "long", "diameter (km)"),
    "Head et al. (2010) or Povilaitis et al. (2018), GIS export": Columns(
        "y_coord", "x_coord", "diam_km"
    ),
}  # fmt: skip
NAMES = (
    "latitude", "longitude", "diameter", "major", "minor", "angle", "ellipse_latitude",
    "ellipse_longitude",
)  # fmt: skip

LIMITS = {
    "latitude": (-90.0, 90.0),
    "longitude": (-360.0, 360.0),
    "diameter": (LEAST_DIAMETER_KM, MOST_DIAMETER_KM),
}
ELLIPSE_LIMITS = {
    "major": (LEAST_DIAMETER_KM, 2.0 * MOST_DIAMETER_KM),
    "minor": (LEAST_DIAMETER_KM, 2.0 * MOST_DIAMETER_KM),
    "angle": (-360.0, 360.0),
    "ellipse_latitude": (-90.0, 90.0),
    "ellipse_longitude": (-360.0, 360.0),
}


@dataclass(frozen=True)
class SkippedRow:
    """A row that is no crater: its line in the file, and what is wrong with it."""

    line: int
    reason: str


@dataclass(frozen=True, eq=False)
class CatalogFile:
    """A catalogue as read, and what of the file was left out.

    kind: whose columns these are. rows: all that are not blank. skipped_count: rows left out;
    skipped: the first MOST_NAMED of them.
    """

    catalog: CraterCatalog
    kind: str
    rows: int
    skipped_count: int
    skipped: tuple[SkippedRow, ...]

    def summary(self) -> str:
        """One line about the rows left out; empty where there are none."""
        if not self.skipped_count:
            return ""
        named = "; ".join(f"line {row.line}: {row.reason}" for row in self.skipped[:3])
        more = "; ..." if self.skipped_count > 3 else ""
        return f"{self.skipped_count} of {self.rows} rows skipped ({named}{more})"


@dataclass(frozen=True, eq=False)
class _Rows:
    """What stands in the file: lines (N,), ids, numbers by name (N,), NaN where there is none."""

    lines: NDArray[np.int64]
    ids: list[str]
    numbers: dict[str, Array]
    texts: dict[tuple[int, str], str]


def read_catalog(path: str | Path) -> CatalogFile:
    """Read a crater catalogue, recognised by its column names, largest crater first.

    Takes this project's columns, Robbins (2018), Head et al. (2010) and Povilaitis et al. (2018),
    with commas, semicolons or tabs. Rows that hold no possible crater are skipped, counted and
    named. Where an ellipse is not given the rim is a circle. Rows without an id, or whose id
    stands above already, get one that tells their line.

    Raises InputError for a file that cannot be read, is too large, has no known columns or no
    usable row, or whose numbers cannot be degrees and kilometres.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: larger than {MOST_BYTES} bytes; cut it to the region needed")
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            kind, rows = _read_rows(path, stream)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from error
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV text file ({error}); give a catalogue") from error
    columns = KINDS[kind]
    wrong = _faults(rows, columns)
    usable = np.array([not reason for reason in wrong], dtype=bool)
    _refuse_other_units(path, rows, usable)
    if not usable.any():
        first = f"; line {rows.lines[0]}: {wrong[0]}" if wrong else ""
        raise InputError(f"{path}: no usable crater in {len(wrong)} rows{first}; correct the file")
    left_out = np.flatnonzero(~usable)
    skipped = tuple(SkippedRow(int(rows.lines[k]), wrong[k]) for k in left_out[:MOST_NAMED])
    catalog = _catalog(rows, np.flatnonzero(usable))
    return CatalogFile(catalog, kind, len(wrong), len(left_out), skipped)


def write_catalog(
    path: Path, catalog: CraterCatalog, extra: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Write a catalogue in this project's columns (degrees, kilometres), further ones behind.

    extra: texts (N,) by column name. The same catalogue gives the same bytes. Raises WorkError
    where the file cannot be written.
    """
    further = dict(extra or {})
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["id", "latitude_deg", "longitude_east_deg", "diameter_km", "major_km", "minor_km",
         "angle_deg", *further]
    )  # fmt: skip
    # 1e-6 deg is 3 cm, 1e-5 km is 1 cm.
    values = [
        [f"{value:.{digits}f}" for value in column]
        for column, digits in (
            (np.degrees(catalog.latitude), 6),
            (np.degrees(catalog.longitude), 6),
            (catalog.diameter_m / 1000.0, 5),
            (catalog.major_m / 1000.0, 5),
            (catalog.minor_m / 1000.0, 5),
            (np.degrees(catalog.angle), 3),
        )
    ]
    writer.writerows(zip(catalog.id.tolist(), *values, *further.values(), strict=True))
    write_whole(path, text.getvalue())


def _read_rows(path: Path, stream: io.TextIOWrapper) -> tuple[str, _Rows]:
    """The kind of a catalogue and the columns of it that count."""
    header, before = "", 0
    while not header.strip():
        header = stream.readline(MOST_HEADER_CHARACTERS)
        if not header:
            raise InputError(f"{path}: empty; {_needed()}")
        before += 1
    delimiter = max(",;\t", key=header.count)
    titles = [title.strip().strip('"').strip().lower() for title in header.split(delimiter)]
    kind = _kind_of(path, titles)
    columns = KINDS[kind]
    names = [name for name in NAMES if getattr(columns, name) in titles]
    indices = [titles.index(getattr(columns, name)) for name in names]
    if columns.id in titles:
        names, indices = [*names, "id"], [*indices, titles.index(columns.id)]
    layout = _Layout(delimiter, tuple(names), tuple(indices), decimal_comma=delimiter == ";")
    chunks: list[_Rows] = []
    for chunk in _chunks(stream, layout, before):
        chunks.append(chunk)
        if sum(len(c.lines) for c in chunks) > MOST_ROWS:
            raise InputError(f"{path}: more than {MOST_ROWS} rows; cut it to the region needed")
    rows = _joined(chunks, names)
    absent = np.full(len(rows.lines), np.nan)
    return kind, _Rows(
        rows.lines, rows.ids, {name: rows.numbers.get(name, absent) for name in NAMES}, rows.texts
    )


def _kind_of(path: Path, titles: list[str]) -> str:
    for kind, columns in KINDS.items():
        if {columns.latitude, columns.longitude, columns.diameter} <= set(titles):
            return kind
    ours = KINDS["trn"]
    missing = [t for t in (ours.latitude, ours.longitude, ours.diameter) if t not in titles]
    raise InputError(f"{path}: column {missing[0]}: missing; {_needed()}")


def _needed() -> str:
    ours = KINDS["trn"]
    return (
        f"the columns needed are {ours.latitude}, {ours.longitude}, {ours.diameter}, or those of "
        "Robbins (2018), Head et al. (2010) or Povilaitis et al. (2018)"
    )


@dataclass(frozen=True)
class _Layout:
    """How a file is laid out: the values it has and the columns where they stand."""

    delimiter: str
    names: tuple[str, ...]
    indices: tuple[int, ...]
    decimal_comma: bool


def _chunks(stream: Iterable[str], layout: _Layout, before: int) -> Iterator[_Rows]:
    """The rows of a file, CHUNK_ROWS lines at a time, of which `before` have been read."""
    lines_of = iter(stream)
    while lines := list(islice(lines_of, CHUNK_ROWS)):
        if any('"' in line for line in lines):
            # A quoted field may hold delimiters and ends of lines: the rest is csv's.
            found = _picked(chain(lines, lines_of), layout, before)
            while chunk := list(islice(found, CHUNK_ROWS)):
                yield _parsed(chunk, layout)
            return
        plain = _plain(lines, layout, before)
        yield plain or _parsed(list(_picked(lines, layout, before)), layout)
        before += len(lines)


def _plain(lines: list[str], layout: _Layout, before: int) -> _Rows | None:
    """Lines of which all fields wanted are numbers, read fast; None where one is not."""
    if layout.decimal_comma:
        return None
    names = [name for name in layout.names if name != "id"]
    try:
        values = np.loadtxt(
            lines,
            delimiter=layout.delimiter,
            usecols=layout.indices[: len(names)],
            comments=None,
            ndmin=2,
        )
    except ValueError:
        return None
    if len(values) != len(lines) or not np.isfinite(values).all():
        return None
    ids = [""] * len(lines)
    if "id" in layout.names:
        at = layout.indices[-1]
        ids = [line.split(layout.delimiter, at + 1)[at].strip() for line in lines]
    numbers = dict(zip(names, values.T))
    return _Rows(before + 1 + np.arange(len(lines)), ids, numbers, {})


def _picked(
    lines: Iterable[str], layout: _Layout, before: int
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Rows as (line, the fields wanted), without the blank ones."""
    reader = csv.reader(lines, delimiter=layout.delimiter)
    pick, least = itemgetter(*layout.indices), max(layout.indices) + 1
    for row in reader:
        if any(field.strip() for field in row):
            yield reader.line_num + before, pick([*row, *[""] * (least - len(row))])


def _parsed(chunk: list[tuple[int, tuple[str, ...]]], layout: _Layout) -> _Rows:
    """The numbers of rows; the text of a field that should be one and is not is kept."""
    lines = np.array([line for line, _ in chunk], dtype=np.int64)
    columns = zip(*(fields for _, fields in chunk)) if chunk else ((),) * len(layout.names)
    by_name = dict(zip(layout.names, columns))
    ids = [text.strip() for text in by_name.pop("id", ("",) * len(chunk))]
    numbers: dict[str, Array] = {}
    texts: dict[tuple[int, str], str] = {}
    for name, fields in by_name.items():
        given = [f.replace(",", ".") for f in fields] if layout.decimal_comma else fields
        numbers[name] = np.array([_number(text) for text in given], dtype=np.float64)
        for k in np.flatnonzero(~np.isfinite(numbers[name])):
            if given[k].strip():
                texts[int(lines[k]), name] = given[k]
    return _Rows(lines, ids, numbers, texts)


def _joined(chunks: list[_Rows], names: list[str]) -> _Rows:
    texts: dict[tuple[int, str], str] = {}
    for chunk in chunks:
        texts.update(chunk.texts)
    none = [np.empty(0)]
    return _Rows(
        np.concatenate([c.lines for c in chunks] or [np.empty(0, dtype=np.int64)]),
        [text for chunk in chunks for text in chunk.ids],
        {
            name: np.concatenate([c.numbers[name] for c in chunks] or none)
            for name in names
            if name != "id"
        },
        texts,
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _faults(rows: _Rows, columns: Columns) -> list[str]:
    """What is wrong with each row; empty texts for those that are craters."""
    reasons = [""] * len(rows.lines)

    def note(wrong: NDArray[np.bool_], name: str, tell: str) -> None:
        for k in np.flatnonzero(wrong):
            value = rows.texts.get((int(rows.lines[k]), name), float(rows.numbers[name][k]))
            shown = "empty" if value != value else quoted(value)
            reasons[k] = reasons[k] or f"{getattr(columns, name)}: {shown} {tell}"

    given = {name for _, name in rows.texts}
    for name, (low, high) in (LIMITS | ELLIPSE_LIMITS).items():
        values = rows.numbers[name]
        wrong = ~((values >= low) & (values <= high))
        if name in ELLIPSE_LIMITS:
            # An ellipse that was not fitted is no fault; one that cannot be is.
            wrong &= ~np.isnan(values)
            if name in given:
                no_number = [(int(line), name) in rows.texts for line in rows.lines]
                wrong |= np.array(no_number, dtype=bool)
        note(wrong, name, f"is no number from {low:g} to {high:g}")
    note(rows.numbers["minor"] > rows.numbers["major"], "minor", "exceeds the major axis")
    for k, text in enumerate(rows.ids):
        if len(text) > MOST_ID_CHARACTERS or not text.isprintable():
            reasons[k] = reasons[k] or f"{columns.id}: {quoted(text)} is no id"
    return reasons


def _refuse_other_units(path: Path, rows: _Rows, usable: NDArray[np.bool_]) -> None:
    """Refuse numbers that cannot be degrees and kilometres."""
    latitude, longitude, diameter = (
        rows.numbers[name] for name in ("latitude", "longitude", "diameter")
    )
    positive = int((diameter > 0.0).sum())
    too_large = int((diameter > MOST_DIAMETER_KM).sum())
    many = too_large > MOST_SLIPS and too_large > MOST_SLIPS_SHARE * positive
    if many or 2 * too_large > positive:
        placed = np.isfinite(latitude) & np.isfinite(longitude) & (diameter > 0.0)
        other = implausible_units(latitude[placed], longitude[placed], diameter[placed] / 1000.0)
        raise InputError(
            f"{path}: diameters: {too_large} of {positive} exceed {MOST_DIAMETER_KM:g} km, more "
            "than any lunar crater; they look like metres: convert them to kilometres"
            + ("" if other is None else f"; then {other}")
        )
    problem = implausible_units(latitude[usable], longitude[usable], diameter[usable])
    if problem is not None:
        raise InputError(f"{path}: {problem}")


def _catalog(rows: _Rows, usable: NDArray[np.intp]) -> CraterCatalog:
    """The usable rows as a catalogue, largest first, equal ones as in the file."""
    order = usable[np.argsort(-rows.numbers["diameter"][usable], kind="stable")]
    n = {name: values[order] for name, values in rows.numbers.items()}
    fitted = np.isfinite(n["major"]) & np.isfinite(n["minor"])
    round_or_turned = fitted & (np.isfinite(n["angle"]) | (n["major"] == n["minor"]))
    placed = round_or_turned & np.isfinite(n["ellipse_latitude"])
    placed &= np.isfinite(n["ellipse_longitude"])
    latitude = np.where(placed, n["ellipse_latitude"], n["latitude"])
    longitude = np.where(placed, n["ellipse_longitude"], n["longitude"])
    angle = np.where(round_or_turned & np.isfinite(n["angle"]), n["angle"], 0.0)
    return CraterCatalog(
        np.array(_unique_ids(rows, order), dtype=np.str_),
        np.radians(latitude),
        np.radians(wrap_longitude_deg(longitude)),
        1000.0 * n["diameter"],
        1000.0 * np.where(round_or_turned, n["major"], n["diameter"]),
        1000.0 * np.where(round_or_turned, n["minor"], n["diameter"]),
        np.radians(90.0 - np.mod(90.0 - angle, 180.0)),
    )


def _unique_ids(rows: _Rows, order: NDArray[np.intp]) -> list[str]:
    """An id for each row: its own where it has one that no earlier line has."""
    given = [rows.ids[k] for k in order]
    if "" not in given and len(set(given)) == len(given):
        return given
    taken = {text for text in given if text}
    ids: dict[int, str] = {}
    seen: set[str] = set()
    for k in np.sort(order).tolist():
        text = rows.ids[k]
        if not text or text in seen:
            text = f"{text}@{rows.lines[k]}" if text else f"line{rows.lines[k]}"
            while text in taken:
                text += "'"
            taken.add(text)
        seen.add(text)
        ids[k] = text
    return [ids[k] for k in order.tolist()]
