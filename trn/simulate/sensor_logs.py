"""Logs of a dataset but for its frames: truth, inertial unit, star tracker and range finder.

Each is written whole; what takes long is kept as it comes, so that a killed run can go on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.files import write_whole
from trn.moon.frames import geographic_from_position
from trn.simulate import imu, range_finder, star_tracker
from trn.simulate.faults import (
    altimeter_with_faults,
    attitudes_with_faults,
    specific_force_with_faults,
)
from trn.simulate.flight import ground_height_m
from trn.simulate.progress import Progress
from trn.simulate.range_finder import true_range
from trn.simulate.recording import Recording

Array = NDArray[np.float64]

_BLOCK = 50


def write_logs(recording: Recording, out: Path, say: Progress) -> None:
    """Write what is not there yet into a dataset's folder; say is told of what takes long."""
    _write_truth(recording, out)
    _write_true_altitude(recording, out, say)
    _write_imu(recording, out)
    _write_star_tracker(recording, out)
    _write_altimeter(recording, out, say)


def _write_truth(recording: Recording, out: Path) -> None:
    flight, times = recording.flight, recording.times(recording.scenario.truth_rate_hz)
    index = np.round(times * recording.scenario.imu.rate_hz).astype(np.int64)
    index = index[index < flight.time_s.size]
    # EuRoC's: rotation from the sensor's axes to the world's, scalar first.
    to_world = Rotation.from_quat(flight.quaternion_xyzw[index]).inv().as_quat(canonical=True)
    rows = [
        f"{stamp},{p[0]:.6f},{p[1]:.6f},{p[2]:.6f},"
        f"{q[3]:.15f},{q[0]:.15f},{q[1]:.15f},{q[2]:.15f},{v[0]:.9f},{v[1]:.9f},{v[2]:.9f}"
        for stamp, p, q, v in zip(
            recording.stamps(flight.time_s[index]), flight.position_m[index], to_world,
            flight.velocity_m_per_s[index], strict=True,
        )
    ]  # fmt: skip
    header = (
        "#timestamp [ns],p_RS_R_x [m],p_RS_R_y [m],p_RS_R_z [m],"
        "q_RS_w [],q_RS_x [],q_RS_y [],q_RS_z [],"
        "v_RS_R_x [m s^-1],v_RS_R_y [m s^-1],v_RS_R_z [m s^-1]"
    )
    _csv(out, "state_groundtruth_estimate0/data.csv", header, rows)


def _write_true_altitude(recording: Recording, out: Path, say: Progress) -> None:
    """Altitude over the true ground, where the map is below; what errors are judged by."""
    name = "state_groundtruth_estimate0/altitude.csv"
    if (out / name).exists():
        return
    times = recording.times(recording.scenario.truth_rate_hz)
    rows = []
    for k, time_s in enumerate(times):
        position, _, _ = recording.flight.at(float(time_s))
        latitude, longitude, height = geographic_from_position(position)
        place = float(np.degrees(latitude)), float(np.degrees(longitude))
        if not recording.world.terrain.grid.covers(*(np.array(x) for x in place)):
            continue
        ground = ground_height_m(recording.world.terrain, *place)
        rows.append(f"{recording.stamps(np.array(time_s))},{float(height) - ground:.4f}")
        if k % _BLOCK == 0:
            say("altitude", k, times.size)
    _csv(out, name, "#timestamp [ns],altitude [m]", rows)


def _write_imu(recording: Recording, out: Path) -> None:
    flight, step = recording.flight, 1.0 / recording.scenario.imu.rate_hz
    # A sample is the average over the step that ends at its stamp.
    times = flight.time_s[1:]
    force, rate = imu.PRESETS[recording.scenario.imu.grade].measured(
        flight.specific_force_m_per_s2, flight.angular_rate_rad_per_s, step, recording.seed
    )
    force = specific_force_with_faults(times, force, recording.faults, recording.seed)
    inside = (times > recording.begin_s) & (times <= recording.end_s + 1e-9)
    rows = [
        f"{stamp},{w[0]:.12g},{w[1]:.12g},{w[2]:.12g},{a[0]:.12g},{a[1]:.12g},{a[2]:.12g}"
        for stamp, w, a in zip(
            recording.stamps(times[inside]), rate[inside], force[inside], strict=True
        )
    ]
    header = (
        "#timestamp [ns],w_RS_S_x [rad s^-1],w_RS_S_y [rad s^-1],w_RS_S_z [rad s^-1],"
        "a_RS_S_x [m s^-2],a_RS_S_y [m s^-2],a_RS_S_z [m s^-2]"
    )
    _csv(out, "imu0/data.csv", header, rows)


def _write_star_tracker(recording: Recording, out: Path) -> None:
    unit = star_tracker.TYPICAL
    times = recording.times(recording.scenario.star_tracker.rate_hz)
    index = np.round(times * recording.scenario.imu.rate_hz).astype(np.int64)
    index = index[index < recording.flight.time_s.size]
    seen = unit.measured(recording.flight.quaternion_xyzw[index], recording.seed)
    seen = attitudes_with_faults(
        recording.flight.time_s[index], seen, recording.faults, recording.seed
    )
    rows = [
        f"{stamp},{q[0]:.12f},{q[1]:.12f},{q[2]:.12f},{q[3]:.12f},{unit.sigma_rad:.9f}"
        for stamp, q in zip(recording.stamps(recording.flight.time_s[index]), seen, strict=True)
    ]
    header = (
        "#timestamp [ns],q_body_to_vehicle_x [],q_body_to_vehicle_y [],"
        "q_body_to_vehicle_z [],q_body_to_vehicle_w [],sigma [rad]"
    )
    _csv(out, "startracker0/data.csv", header, rows)


def _write_altimeter(recording: Recording, out: Path, say: Progress) -> None:
    path = out / "altimeter0" / "data.csv"
    if path.exists():
        return
    times = recording.times(recording.scenario.altimeter.rate_hz)
    # Noise-free readings are kept as they come, so that a killed run need not cast them again.
    partial = out / "altimeter0" / ".noise_free.csv"
    known = _whole_rows(partial)[: times.size]
    write_whole(partial, "".join(f"{r!r},{s!r}\n" for r, s in known))
    with partial.open("a", encoding="utf-8") as stream:
        for k in range(len(known), times.size):
            known.append(_true_range(recording, float(times[k])))
            stream.write(f"{known[-1][0]!r},{known[-1][1]!r}\n")
            if k % _BLOCK == 0:
                stream.flush()
                say("altimeter", k, times.size)
    say("altimeter", times.size, times.size)
    ranges = np.array(known).reshape(-1, 2)
    record = range_finder.measured(
        recording.finder, times, ranges[:, 0], ranges[:, 1], recording.seed
    )
    record = altimeter_with_faults(record, recording.faults, recording.seed)
    rows = [
        f"{stamp},{r if ok else 0.0:.3f},{int(ok)},{_beam(recording, float(t))}"
        for stamp, t, r, ok in zip(
            recording.stamps(times), times, record.range_m, record.valid, strict=True
        )
    ]
    _csv(out, "altimeter0/data.csv", "#timestamp [ns],range_m [m],valid [],beam []", rows)
    partial.unlink()


def _beam(recording: Recording, time_s: float) -> int:
    """Index of the beam that is read: the one nearest to nadir."""
    position, _, attitude = recording.flight.at(time_s)
    up = attitude.apply(position)
    return int(np.argmin([beam.apply(up)[2] for beam in recording.to_beams]))


def _true_range(recording: Recording, time_s: float) -> tuple[float, float]:
    """Noise-free range and spread of the reading that is stamped with a time."""
    taken_s = time_s - recording.finder.latency_s
    if taken_s < 0.0:
        return math.nan, math.nan
    position, _, attitude = recording.flight.at(taken_s)
    to_beam = recording.to_beams[_beam(recording, time_s)] * attitude
    return true_range(recording.world.terrain, recording.finder, position, to_beam)


def _csv(out: Path, name: str, header: str, rows: Sequence[str]) -> None:
    write_whole(out / name, "\n".join([header, *rows]) + "\n")


def _whole_rows(path: Path) -> list[tuple[float, float]]:
    """Rows of two numbers that were written whole before a process was killed."""
    rows: list[tuple[float, float]] = []
    if not path.exists():
        return rows
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    # What follows the last line feed was cut off.
    for line in lines[:-1]:
        try:
            first, second = (float(field) for field in line.split(","))
        except ValueError:
            break
        rows.append((first, second))
    return rows
