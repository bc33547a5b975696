"""log.mcap: what a run said and when, for Foxglove and other readers of MCAP."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from mcap.writer import Writer

from trn import __version__

_NUMBER = {"type": ["number", "null"]}
_NUMBERS = {"type": ["array", "null"], "items": {"type": "number"}}
_TEXT, _FLAG, _WHOLE, _TABLE = (
    {"type": kind} for kind in ("string", "boolean", "integer", "object")
)

_CHANNELS: Mapping[str, Mapping[str, Any]] = {
    "fix": {
        "status": _TEXT,
        "reason": _TEXT,
        "position_moon_me_m": _NUMBERS,
        "covariance_m2": {"type": ["array", "null"], "items": _NUMBERS},
        "latitude_deg": _NUMBER,
        "longitude_east_deg": _NUMBER,
        "height_m": _NUMBER,
        "altitude_m": _NUMBER,
        "quaternion_body_to_camera_xyzw": _NUMBERS,
        "protection_level_m": _TABLE,
        "landmarks": _TABLE,
        "craters": _TABLE,
        "residual_rms_px": _NUMBER,
        "channel_separation": _NUMBER,
        "light_turn_deg": _NUMBER,
        "backend": _TEXT,
        "latency_ms": _TABLE,
        "used": _FLAG,
        "note": _TEXT,
    },
    "displacement": {
        "since_ns": _WHOLE,
        "offset_moon_me_m": _NUMBERS,
        "covariance_m2": {"type": ["array", "null"], "items": _NUMBERS},
        "begin_moon_me_m": _NUMBERS,
        "corners": _WHOLE,
        "used": _FLAG,
    },
    "crosscheck": {
        "time_ns": _WHOLE,
        "range_m": _NUMBER,
        "valid": _FLAG,
        "beam": _WHOLE,
        "expected_range_m": _NUMBER,
        "expected_sigma_m": _NUMBER,
        "verdict": _TEXT,
        "probability_consistent": _NUMBER,
        "probability_altimeter": _NUMBER,
        "probability_navigation": _NUMBER,
        "probability_map": _NUMBER,
        "probability_undecided": _NUMBER,
        "used": _FLAG,
        "kind": _TEXT,
        "sentence": _TEXT,
        "altitude_m": _NUMBER,
        "altitude_sigma_m": _NUMBER,
        "protection_level_m": _NUMBER,
        "baseline_altitude_m": _NUMBER,
        "baseline_locked_out": _FLAG,
    },
    "state": {
        "position_moon_me_m": _NUMBERS,
        "velocity_moon_me_m_per_s": _NUMBERS,
        "quaternion_body_to_vehicle_xyzw": _NUMBERS,
        "variances": _NUMBERS,
    },
    "alarm": {"kind": _TEXT, "text": _TEXT},
}


class Log:
    """An MCAP file in the making: JSON messages on /fix, /crosscheck, /state and /alarm."""

    def __init__(self, stream: IO[bytes], dataset: str) -> None:
        self._writer = Writer(stream)
        self._writer.start(profile="", library=f"trn {__version__}")
        self._writer.add_metadata("run", {"dataset": dataset})
        self._channels = {}
        for name, fields in _CHANNELS.items():
            schema = {"type": "object", "title": f"trn.{name}", "properties": fields}
            number = self._writer.register_schema(
                f"trn.{name}", "jsonschema", json.dumps(schema).encode()
            )
            self._channels[name] = self._writer.register_channel(f"/{name}", "json", number)

    def add(self, channel: str, time_ns: int, message: Mapping[str, Any]) -> None:
        """Log a message at a stamp, nanoseconds."""
        data = json.dumps(plain(message), allow_nan=False).encode()
        self._writer.add_message(
            self._channels[channel], log_time=int(time_ns), publish_time=int(time_ns), data=data
        )

    def finish(self) -> None:
        """Write what makes the file whole; the stream is the caller's to close."""
        self._writer.finish()  # type: ignore[no-untyped-call]


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NumPy's as Python's, and what is not finite as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
