"""Faults of sensors and aids: what is reported wrongly of a descent whose truth stays as it is.

Faults combine. Whatever order they are given in, they act in the order of `ORDER`, each on what
the ones before it left; two of one kind act by onset, then duration, then size. The randomness of
a kind depends on the seed and the kind alone, so that adding a fault leaves the others' draws as
they were. A fault is active from its onset until just before onset + duration, by true time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.errors import InputError, quoted

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Image = NDArray[np.uint8] | NDArray[np.uint16]

_INF = float("inf")

MAX_TEXT = 200
"""Characters that the text of one fault may have."""

SPIKE_SHARE = 0.05
"""Share of samples that lrf-spikes turns into outliers."""

# Apart from the small numbers by which sensors part a seed: extra noise drawn from a sensor's own
# stream would repeat the sensor's noise.
_FIRST_STREAM = 100

# Of a sample or a second; smaller differences are the rounding of time stamps.
_INDEX_DIGITS = 9


@dataclass(frozen=True)
class FaultKind:
    """What a fault of one name does, and the sizes it may have.

    unit: of the size, "1" for a plain number. least_size and most_size are allowed themselves.
    default_onset_s: None where the scenario says when faults begin.
    """

    name: str
    summary: str
    unit: str
    default_size: float
    default_duration_s: float
    least_size: float
    most_size: float
    default_onset_s: float | None = None


# A kind's place decides its random stream: new kinds go to the end. After the summary: unit,
# default size, default duration, least size, most size, default onset.
_KINDS = (
    FaultKind(
        "lrf-stuck",
        "The altimeter repeats its last valid range from before the onset, as valid.",
        *("1", 0.0, 30.0, 0.0, 0.0),
    ),
    FaultKind(
        "lrf-bias",
        "The altimeter reports ranges too long by a constant.",
        *("m", 50.0, _INF, -10e3, 10e3),
    ),
    FaultKind(
        "lrf-scale",
        "The altimeter reports ranges too long by a constant share of the range.",
        *("1", 0.05, _INF, -0.9, 10.0),
    ),
    FaultKind(
        "lrf-noise",
        "The altimeter's ranges have additional white noise of this standard deviation.",
        *("m", 20.0, _INF, 0.0, 10e3),
    ),
    FaultKind(
        "lrf-dropout",
        "The altimeter loses this share of its samples, at random.",
        *("1", 1.0, 30.0, 0.0, 1.0),
    ),
    FaultKind(
        "lrf-late-acquisition",
        "The altimeter has no valid data before its range first falls below the size.",
        *("m", 2000.0, _INF, 0.0, 1e6, 0.0),
    ),
    FaultKind(
        "lrf-spikes",
        "One altimeter sample in twenty is an outlier of this size, long or short at random.",
        *("m", 500.0, _INF, 0.0, 100e3),
    ),
    FaultKind(
        "lrf-latency",
        "The altimeter's ranges are older than their time stamps.",
        *("s", 0.2, _INF, 0.0, 10.0),
    ),
    FaultKind(
        "camera-blackout",
        "The camera's image keeps only this share of its signal.",
        *("1", 0.02, 20.0, 0.0, 1.0),
    ),
    FaultKind(
        "camera-overexposed",
        "The camera's image is brighter by this gain and clipped at full scale.",
        *("1", 8.0, 20.0, 1.0, 1e3),
    ),
    FaultKind(
        "camera-smear",
        "The camera's image is smeared over this length along one direction.",
        *("px", 12.0, 20.0, 0.0, 200.0),
    ),
    FaultKind(
        "imu-bias-step",
        "The bias of one accelerometer axis steps; the gyroscopes stay as they are.",
        *("m/s^2", 0.02, _INF, -10.0, 10.0),
    ),
    FaultKind(
        "star-tracker-offset",
        "The star tracker's attitude is turned by a constant angle about one vehicle axis.",
        *("deg", 0.5, _INF, 0.0, 180.0),
    ),
    FaultKind(
        "state-position-jump",
        "The position handed to the navigation jumps in one horizontal direction.",
        *("m", 500.0, _INF, 0.0, 100e3),
    ),
    FaultKind(
        "map-shift",
        "The map handed to the estimator is shifted in one horizontal direction.",
        *("m", 200.0, _INF, 0.0, 100e3),
    ),
    FaultKind(
        "clock-offset",
        "The camera's time stamps are late by a constant.",
        *("s", 0.1, _INF, -10.0, 10.0),
    ),
)

FAULTS: Mapping[str, FaultKind] = MappingProxyType({kind.name: kind for kind in _KINDS})
"""Every kind of fault by its name."""

_STREAMS = {kind.name: _FIRST_STREAM + place for place, kind in enumerate(_KINDS)}


@dataclass(frozen=True)
class Fault:
    """One fault: its kind's name, when it begins, how large it is and how long it lasts.

    onset_s: seconds since the start of the record; None: the scenario's, see `at`. size: in the
    unit of its kind. duration_s: infinity lasts to the end.
    """

    name: str
    onset_s: float | None
    size: float
    duration_s: float

    def __post_init__(self) -> None:
        """Raises InputError naming the field that is unknown, not a number or out of bounds."""
        kind = FAULTS.get(self.name)
        if kind is None:
            raise InputError(
                f"unknown fault {quoted(self.name)}; choose one of {', '.join(FAULTS)}"
            )
        if self.onset_s is not None and not 0.0 <= self.onset_s < _INF:
            raise InputError(
                f"fault {self.name}: onset must be zero or more seconds, not {self.onset_s}"
            )
        if not kind.least_size <= self.size <= kind.most_size:
            raise InputError(
                f"fault {self.name}: size must be {kind.least_size:g} to {kind.most_size:g} "
                f"({kind.unit}), not {self.size}"
            )
        if not self.duration_s >= 0.0:
            raise InputError(
                f"fault {self.name}: duration must be zero or more seconds or inf, "
                f"not {self.duration_s}"
            )

    @property
    def kind(self) -> FaultKind:
        """What faults of this name do."""
        return FAULTS[self.name]

    def at(self, onset_s: float) -> Fault:
        """This fault with an onset: its own, else its kind's default, else the one given."""
        if self.onset_s is not None:
            return self
        default = self.kind.default_onset_s
        return replace(self, onset_s=onset_s if default is None else default)

    def active(self, time_s: Array | float) -> Mask:
        """Where the fault is active, in the shape of time_s; raises InputError without an onset."""
        onset_s = _onset(self)
        time_s = np.asarray(time_s, dtype=np.float64)
        return np.asarray((time_s >= onset_s) & (time_s < onset_s + self.duration_s))


def parse_fault(text: str) -> Fault:
    """The fault of a text such as "lrf-bias" or "lrf-bias:onset=120,size=50,duration=30".

    Size and duration that are left out are the kind's defaults, an onset that is left out is None.
    Raises InputError with one line that names the field and the remedy.
    """
    if len(text) > MAX_TEXT:
        raise InputError(f"fault: the text has {len(text)} characters; write at most {MAX_TEXT}")
    name, colon, rest = (part.strip() for part in text.partition(":"))
    kind = FAULTS.get(name)
    if kind is None:
        raise InputError(f"unknown fault {quoted(name)}; choose one of {', '.join(FAULTS)}")
    values: dict[str, float] = {}
    for item in rest.split(",") if colon else []:
        field, _, number = (part.strip() for part in item.partition("="))
        if field not in ("onset", "size", "duration"):
            raise InputError(
                f"fault {name}: unknown field {quoted(field)}; write onset=, size= or duration="
            )
        if field in values:
            raise InputError(f"fault {name}: {field} is given twice; give it once")
        try:
            values[field] = float(number)
        except ValueError:
            raise InputError(
                f"fault {name}: {field} must be a number, not {quoted(number)}"
            ) from None
    return Fault(
        name,
        values.get("onset"),
        values.get("size", kind.default_size),
        values.get("duration", kind.default_duration_s),
    )


def fault_text(fault: Fault) -> str:
    """The text that `parse_fault` reads as this fault; equal faults have the same text."""
    fields = {"onset": fault.onset_s, "size": fault.size, "duration": fault.duration_s}
    given = (f"{field}={_number(value)}" for field, value in fields.items() if value is not None)
    return f"{fault.name}:{','.join(given)}"


def _number(value: float) -> str:
    """The shortest text of the same float; adding zero drops the sign of a negative zero."""
    return repr(float(value) + 0.0).removesuffix(".0")


def fault_table(faults: Sequence[Fault], seed: int) -> list[dict[str, object]]:
    """What dataset.toml records of the faults, in the order in which they act.

    Each has name, onset_s, size, duration_s and unit; state-position-jump and map-shift, which no
    sensor's record shows and a replay applies, also direction_east_north, a unit vector of two
    floats. Raises InputError for a fault without an onset.
    """
    rows: list[dict[str, object]] = []
    for fault in _ordered(faults, ORDER):
        row: dict[str, object] = {
            "name": fault.name,
            "onset_s": float(_onset(fault)),
            "size": float(fault.size),
            "duration_s": float(fault.duration_s),
            "unit": fault.kind.unit,
        }
        if fault.name in _REPLAYED:
            azimuth = _generator(seed, fault).uniform(0.0, 2.0 * np.pi)
            row["direction_east_north"] = [float(np.sin(azimuth)), float(np.cos(azimuth))]
        rows.append(row)
    return rows


@dataclass(frozen=True, eq=False)
class AltimeterRecord:
    """Readings of an altimeter: time_s (N,) ascending, range_m (N,), valid (N,) bool.

    What range_m holds where valid is False is the maker's convention.
    """

    time_s: Array
    range_m: Array
    valid: Mask

    def __post_init__(self) -> None:
        """Raises InputError for unequal shapes, times that do not ascend or ranges not finite."""
        shapes = (self.time_s.shape, self.range_m.shape, self.valid.shape)
        if self.time_s.ndim != 1 or len(set(shapes)) != 1 or self.valid.dtype != np.bool_:
            raise InputError(
                "altimeter: time_s, range_m and valid (of bool) must have one shape (N,), "
                f"not {shapes}"
            )
        if not np.isfinite(self.time_s).all() or not (np.diff(self.time_s) > 0.0).all():
            raise InputError("altimeter: time_s must be finite and ascend; sort the readings")
        if not np.isfinite(self.range_m[self.valid]).all():
            raise InputError("altimeter: range_m must be finite wherever valid is True")


def altimeter_with_faults(
    record: AltimeterRecord, faults: Sequence[Fault], seed: int
) -> AltimeterRecord:
    """What the altimeter reports of a record under the lrf- faults among those given.

    Ranges that a fault changes are kept at zero or more. Where a reading is or becomes invalid,
    its range stays what it was. Raises InputError for a fault without an onset.
    """
    for fault in _ordered(faults, tuple(_ALTIMETER)):
        active = fault.active(record.time_s)
        if active.any():
            change = _ALTIMETER[fault.name]
            record = change(record, active, fault.size, _generator(seed, fault))
    return record


def specific_force_with_faults(
    time_s: Array, specific_force: Array, faults: Sequence[Fault], seed: int
) -> Array:
    """What the accelerometers report, (N, 3) m/s^2, under imu-bias-step; time_s is (N,).

    The step is on one axis, x, y or z, that the seed draws. Raises InputError for other shapes
    and for a fault without an onset.
    """
    _check_rows("specific force", time_s, specific_force, 3)
    reported = specific_force.copy()
    for fault in _ordered(faults, ("imu-bias-step",)):
        axis = _generator(seed, fault).integers(3)
        reported[fault.active(time_s), axis] += fault.size
    return reported


def attitudes_with_faults(
    time_s: Array, quaternions_xyzw: Array, faults: Sequence[Fault], seed: int
) -> Array:
    """Attitudes that the star tracker reports, (N, 4), under star-tracker-offset; time_s is (N,).

    The offset turns about a vehicle axis, drawn by the seed, after the rotation from body-fixed to
    vehicle axes; the scalar part of a changed attitude is not negative. Raises InputError for
    other shapes and for a fault without an onset.
    """
    _check_rows("attitudes", time_s, quaternions_xyzw, 4)
    reported = quaternions_xyzw.copy()
    for fault in _ordered(faults, ("star-tracker-offset",)):
        active = fault.active(time_s)
        if active.any():
            axis = _generator(seed, fault).normal(size=3)
            error = Rotation.from_rotvec(np.deg2rad(fault.size) * axis / np.linalg.norm(axis))
            turned = error * Rotation.from_quat(reported[active])
            reported[active] = turned.as_quat(canonical=True)
    return reported


def image_with_faults(
    image: Image, time_s: float, full_scale: int, faults: Sequence[Fault], seed: int
) -> Image:
    """The image that the camera reports, (H, W) of the same type, under the camera- faults.

    time_s: true time of the exposure. full_scale: the largest count of the sensor. Light is lost
    first, then smeared, then amplified and clipped, and rounded to counts once. Raises InputError
    for another type or shape, an impossible full scale and a fault without an onset.
    """
    if image.dtype not in (np.uint8, np.uint16) or image.ndim != 2:
        raise InputError(
            f"image: must be (H, W) of uint8 or uint16, not {image.shape} of {image.dtype}"
        )
    if not 0 < full_scale <= np.iinfo(image.dtype).max:
        raise InputError(
            f"image: full scale must be 1 to {np.iinfo(image.dtype).max}, not {full_scale}"
        )
    acting = [fault for fault in _ordered(faults, _CAMERA) if fault.active(time_s)]
    if not acting:
        return image.copy()
    signal = image.astype(np.float64)
    for fault in acting:
        if fault.name == "camera-smear":
            azimuth = _generator(seed, fault).uniform(0.0, np.pi)
            kernel = _line(fault.size, azimuth)
            border = cv2.BORDER_REFLECT_101
            signal = np.asarray(cv2.filter2D(signal, cv2.CV_64F, kernel, borderType=border), float)
        else:
            signal = fault.size * signal
    counts = np.clip(np.round(signal), 0, full_scale)
    if image.dtype == np.uint8:
        return np.asarray(counts, dtype=np.uint8)
    return np.asarray(counts, dtype=np.uint16)


def camera_time_with_faults(time_s: Array, faults: Sequence[Fault]) -> Array:
    """Time stamps that the camera gives images of the true times time_s, under clock-offset.

    Stamps need not ascend where an offset begins or ends. Raises InputError for a fault without
    an onset.
    """
    reported = time_s.copy()
    for fault in _ordered(faults, ("clock-offset",)):
        reported[fault.active(time_s)] += fault.size
    return reported


def _generator(seed: int, fault: Fault) -> np.random.Generator:
    """The random numbers of a fault's kind, the same whatever other faults there are."""
    return np.random.default_rng([seed, _STREAMS[fault.name]])


def _onset(fault: Fault) -> float:
    """The onset of a fault, seconds; raises InputError where it has none yet."""
    if fault.onset_s is None:
        raise InputError(f"fault {fault.name}: has no onset; give onset= in seconds")
    return fault.onset_s


def _ordered(faults: Sequence[Fault], names: Sequence[str]) -> list[Fault]:
    """The faults of these names in the order in which they act."""
    return sorted(
        (fault for fault in faults if fault.name in names),
        key=lambda fault: (ORDER.index(fault.name), _onset(fault), fault.duration_s, fault.size),
    )


def _check_rows(what: str, time_s: Array, rows: Array, width: int) -> None:
    """Raises InputError unless time_s is (N,) and rows are (N, width)."""
    if time_s.ndim != 1 or rows.shape != (len(time_s), width):
        raise InputError(
            f"{what}: must have the shape (N, {width}) for times (N,), "
            f"not {rows.shape} for {time_s.shape}"
        )


def _line(length_px: float, azimuth_rad: float) -> Array:
    """A kernel of sum 1 that spreads a pixel evenly over a line about its centre."""
    half = int(np.ceil(length_px / 2.0)) + 1
    count = max(1, int(np.ceil(8.0 * length_px)))
    along = ((np.arange(count) + 0.5) / count - 0.5) * length_px
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    column, row = half + along * np.cos(azimuth_rad), half + along * np.sin(azimuth_rad)
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    right_share, low_share = column - left, row - top
    # Each point is shared among the four pixels around it.
    np.add.at(kernel, (top, left), (1.0 - low_share) * (1.0 - right_share))
    np.add.at(kernel, (top, left + 1), (1.0 - low_share) * right_share)
    np.add.at(kernel, (top + 1, left), low_share * (1.0 - right_share))
    np.add.at(kernel, (top + 1, left + 1), low_share * right_share)
    return kernel / count


def _with_ranges(record: AltimeterRecord, where: Mask, range_m: Array) -> AltimeterRecord:
    """The record with other ranges, at least zero, at the valid readings among those given."""
    changed = where & record.valid
    return replace(record, range_m=np.where(changed, np.maximum(range_m, 0.0), record.range_m))


def _latency(
    record: AltimeterRecord, active: Mask, size: float, rng: np.random.Generator
) -> AltimeterRecord:
    count = len(record.time_s)
    older_s = record.time_s - size
    position = np.round(np.interp(older_s, record.time_s, np.arange(count)), _INDEX_DIGITS)
    before, after = np.floor(position).astype(int), np.ceil(position).astype(int)
    known = older_s >= record.time_s[0] - 10.0**-_INDEX_DIGITS
    known &= record.valid[before] & record.valid[after]
    used = active & known
    share = (position - before)[used]
    range_m = record.range_m.copy()
    range_m[used] = (1.0 - share) * record.range_m[before[used]]
    range_m[used] += share * record.range_m[after[used]]
    return replace(record, range_m=range_m, valid=np.where(active, known, record.valid))


def _scale(
    record: AltimeterRecord, active: Mask, size: float, rng: np.random.Generator
) -> AltimeterRecord:
    return _with_ranges(record, active, (1.0 + size) * record.range_m)


def _bias(
    record: AltimeterRecord, active: Mask, size: float, rng: np.random.Generator
) -> AltimeterRecord:
    return _with_ranges(record, active, record.range_m + size)


def _noise(
    record: AltimeterRecord, active: Mask, size: float, rng: np.random.Generator
) -> AltimeterRecord:
    # Drawn for every reading, so that the window does not change a reading's draw.
    return _with_ranges(record, active, record.range_m + rng.normal(0.0, size, len(active)))


def _late_acquisition(
    record: AltimeterRecord, active: Mask, size: float, rng: np.random.Generator
) -> AltimeterRecord:
    acquired = np.logical_or.accumulate(active & record.valid & (record.range_m < size))
    return replace(record, valid=record.valid & (acquired | ~active))


def _spikes(
    record: AltimeterRecord, active: Mask, size: float, rng: np.random.Generator
) -> AltimeterRecord:
    hit = rng.random(len(active)) < SPIKE_SHARE
    sign = rng.choice([-1.0, 1.0], len(active))
    return _with_ranges(record, active & hit, record.range_m + size * sign)


def _stuck(
    record: AltimeterRecord, active: Mask, size: float, rng: np.random.Generator
) -> AltimeterRecord:
    """Holds the last valid range before the window, or the window's first where none was before.

    The readings held are valid, whether or not the instrument still sees the ground.
    """
    first = int(np.argmax(active))
    earlier = np.flatnonzero(record.valid[:first])
    inside = np.flatnonzero(active & record.valid)
    if earlier.size:
        held = earlier[-1]
    elif inside.size:
        held = inside[0]
    else:
        return record
    stuck = active & (np.arange(len(active)) >= held)
    return replace(
        record,
        range_m=np.where(stuck, record.range_m[held], record.range_m),
        valid=record.valid | stuck,
    )


def _dropout(
    record: AltimeterRecord, active: Mask, size: float, rng: np.random.Generator
) -> AltimeterRecord:
    lost = rng.random(len(active)) < size
    return replace(record, valid=record.valid & ~(active & lost))


# From the ground to the record: what the beam measures, then what the instrument makes of it.
_ALTIMETER: dict[
    str, Callable[[AltimeterRecord, Mask, float, np.random.Generator], AltimeterRecord]
] = {
    "lrf-latency": _latency,
    "lrf-scale": _scale,
    "lrf-bias": _bias,
    "lrf-noise": _noise,
    "lrf-late-acquisition": _late_acquisition,
    "lrf-spikes": _spikes,
    "lrf-stuck": _stuck,
    "lrf-dropout": _dropout,
}

_CAMERA = ("camera-blackout", "camera-smear", "camera-overexposed")

_REPLAYED = ("state-position-jump", "map-shift")

ORDER: tuple[str, ...] = (
    *_ALTIMETER,
    *_CAMERA,
    "clock-offset",
    "imu-bias-step",
    "star-tracker-offset",
    *_REPLAYED,
)
"""The names of all faults in the order in which they act."""
