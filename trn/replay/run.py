"""A dataset through the on-board loop, in time order, as it would run on the lander.

    inertial samples -> filters;  star tracker -> attitude;  frame -> locate -> fix
    range -> cross-check -> verdict, altitude;  everything -> recorder

The loop gets the sensors' data and the map. The truth of a dataset is read by `trn.replay.judge`
after the fact.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn import __version__
from trn.altimetry.terrain import MapRanges
from trn.channels import Trace
from trn.channels.ground_flow import Displacement, GroundFlow
from trn.errors import InputError
from trn.fix import PositionFix
from trn.images import load_image
from trn.localizer import Localizer
from trn.maps.lunar_map import LunarMap
from trn.moon.pose import Pose
from trn.moon.sun import sun_direction_at_ns
from trn.navigation.delayed import HISTORY_S
from trn.navigation.filter import NavigationFilter
from trn.navigation.state import ATTITUDE, POSITION
from trn.prior import Prior
from trn.replay.dataset import Descent, read_descent
from trn.replay.fix_rows import KnownFix, read_known_fixes
from trn.replay.injected import offset_m, shifted
from trn.replay.judge import Sample, finite_or_none, story_of, summary_of
from trn.replay.onboard import Onboard
from trn.replay.pictures import frame_pictures
from trn.replay.record import CrosscheckRow, Recorder
from trn.replay.run_report import run_report
from trn.replay.story import story_svg

Array = NDArray[np.float64]
Progress = Callable[[int, int], object]

PRIOR_SIGMAS = 3.0
LEAST_PRIOR_SIGMA_M, MOST_PRIOR_SIGMA_M = 100.0, 5000.0
LEAST_PRIOR_ATTITUDE_RAD = 2e-4
"""The prior of a fix is wider than the navigation is sure of itself: the image shall decide."""
MOST_FLOW_S = 3.0
"""Frames further apart are not compared with one another."""
GAP_STEPS = 1.5
"""Inertial samples farther apart than this, in their own steps, leave a gap."""

_STAR_TRACKER, _FAULT, _FRAME, _FIX, _RANGE = range(5)


@dataclass(frozen=True, eq=False)
class _Awaited:
    """A fix on its way, and the rotation from the map's places to believed ones at exposure.

    moved: what the frame shows of the movement since an exposure before, where it gave no fix, and
    that exposure's time.
    """

    fix: PositionFix
    turn: Array
    moved: tuple[Displacement, int] | None = None


@dataclass
class RunResult:
    """What a replay found, in time order; states: times, since the start, and navigated places."""

    samples: list[Sample] = field(default_factory=list)
    states: list[tuple[float, Array]] = field(default_factory=list)
    fixes: list[tuple[float, PositionFix, bool, str]] = field(default_factory=list)
    pictures: list[tuple[str, Any]] = field(default_factory=list)


def replay(
    dataset: Path,
    map_path: Path | None,
    out: Path,
    backend: str = "auto",
    progress: Progress | None = None,
    fix_latency_s: float = 0.0,
) -> dict[str, Any]:
    """Run the whole loop over a dataset and write the run's folder; returns its summary.

    map_path: None takes the map that comes inside a dataset of a made region. progress is called
    with events done and all of them. fix_latency_s: how much later than its exposure a frame's fix
    arrives. A run that was killed takes up the fixes it had made. Raises InputError for a dataset,
    a map, a folder or a latency that cannot be used, WorkError for a full disk.
    """
    if not 0.0 <= fix_latency_s <= HISTORY_S:
        raise InputError(
            f"fix latency {fix_latency_s} s: the navigation remembers {HISTORY_S:.0f} s; "
            f"give 0 to {HISTORY_S:.0f}"
        )
    descent = read_descent(dataset)
    moon_map = LunarMap.open(_map_path(descent, map_path))
    localizer = Localizer(moon_map, descent.camera, backend)
    fingerprint = _fingerprint(descent, moon_map, localizer.backend.name, fix_latency_s)
    known = read_known_fixes(out, fingerprint)
    with Recorder(out, descent.name, fingerprint) as recorder:
        loop = _Loop(descent, moon_map, localizer, known, recorder, fix_latency_s)
        began_s = time.perf_counter()
        result = loop.run(progress or (lambda done, total: None))
        wall_s = time.perf_counter() - began_s
        summary = summary_of(
            descent, result.samples, result.states, result.fixes, loop.onboard, localizer, wall_s
        )
        story = story_of(descent, result.samples, result.fixes, loop.onboard)
        problems = [*descent.problems, *loop.problems]
        report = run_report(story, summary, result.pictures, problems)
        recorder.finish(summary, report, story_svg(story))
    return summary


def _map_path(descent: Descent, given: Path | None) -> Path:
    if given is not None:
        return given
    inside = descent.folder / "site.map"
    if not inside.is_dir():
        raise InputError(f"{descent.folder}: holds no map of its own; give --map NAME.map")
    return inside


def _fingerprint(descent: Descent, moon_map: LunarMap, backend: str, latency_s: float) -> str:
    """What decides the fixes."""
    sums = ",".join(entry.sha256 for _, entry in sorted(moon_map.manifest.files.items()))
    made_of = f"{descent.name} {descent.scenario} {descent.seed}"
    return f"trn {__version__} {made_of} {backend} latency {latency_s} {sums}"


class _Loop:
    """One replay in the making."""

    def __init__(
        self,
        descent: Descent,
        moon_map: LunarMap,
        localizer: Localizer,
        known: dict[int, KnownFix],
        recorder: Recorder,
        fix_latency_s: float,
    ) -> None:
        self.descent = descent
        self.localizer = localizer
        self.known = known
        self.recorder = recorder
        self.fix_latency_ns = round(fix_latency_s * 1e9)
        self.problems: list[str] = []
        self.ranges = MapRanges(moon_map, localizer.backend)
        self._flow = GroundFlow(descent.camera, self.ranges.ranges_m)
        self._seen_ns: int | None = None
        self.result = RunResult()
        self._imu_index = 0
        self._unfit = 0
        self._awaited: dict[int, _Awaited] = {}
        self._alarms_written = 0
        self._most_inliers = 0
        self._now_ns, first_attitude = self._start()
        state = descent.initial_state
        started = NavigationFilter.started(
            self._seconds(self._now_ns), state.position_m, state.position_sigma_m,
            state.velocity_m_per_s, state.velocity_sigma_m_per_s, first_attitude,
            descent.imu_model, descent.star_tracker_model,
            self.ranges.below(state.position_m).sigma_m,
        )  # fmt: skip
        self.onboard = Onboard(self.ranges, descent.altimeter_model, started)

    def _seconds(self, time_ns: int) -> float:
        return (time_ns - self.descent.start_ns) * 1e-9

    def _start(self) -> tuple[int, Array]:
        """The initial state's time, and the attitude that the star tracker then had."""
        descent = self.descent
        series = descent.star_tracker
        if not series.time_ns.size:
            raise InputError(
                f"{descent.folder}: startracker0/data.csv has no reading to start from; add it"
            )
        begin_ns = descent.initial_state.time_ns
        nearest = int(np.argmin(np.abs(series.time_ns - begin_ns)))
        if abs(int(series.time_ns[nearest]) - begin_ns) > 1_000_000_000:
            raise InputError(
                f"{descent.folder}: startracker0/data.csv has no reading within a second of the "
                "initial state; give one"
            )
        return begin_ns, series.quaternion_xyzw[nearest]

    def run(self, progress: Progress) -> RunResult:
        """All events in time order."""
        events = self._events()
        self._imu_index = int(np.searchsorted(self.descent.imu.time_ns, self._now_ns, side="right"))
        for count, (time_ns, kind, index) in enumerate(events):
            self._carry(time_ns)
            if kind == _STAR_TRACKER:
                self.onboard.attitude(self.descent.star_tracker.quaternion_xyzw[index])
            elif kind == _FAULT:
                self._inject(time_ns)
            elif kind == _FRAME:
                self._frame(index)
            elif kind == _FIX:
                self._arrive(index, time_ns)
            else:
                self._range(index)
            self._write_alarms()
            progress(count + 1, len(events))
        for index, awaited in sorted(self._awaited.items()):
            self._record_fix(index, awaited.fix, False, "came after the last inertial sample")
        if self._unfit:
            self.problems.append(f"cam0: {self._unfit} frames could not be read or did not fit")
        return self.result

    def _events(self) -> list[tuple[int, int, int]]:
        descent = self.descent
        found: list[tuple[int, int, int]] = []
        for kind, stamps in (
            (_STAR_TRACKER, descent.star_tracker.time_ns),
            (_RANGE, descent.altimeter.time_ns),
        ):
            found += [(int(stamp), kind, k) for k, stamp in enumerate(stamps)]
        for k, frame in enumerate(descent.frames):
            # A frame of before the start gives no fix either.
            if frame.time_ns > self._now_ns:
                found.append((frame.time_ns, _FRAME, k))
                if self.fix_latency_ns:
                    found.append((frame.time_ns + self.fix_latency_ns, _FIX, k))
        for k, fault in enumerate(descent.injected):
            found.append((fault.onset_ns, _FAULT, k))
            if fault.end_ns is not None:
                found.append((fault.end_ns, _FAULT, k))
        last_ns = int(descent.imu.time_ns[-1]) if descent.imu.time_ns.size else self._now_ns
        return sorted(event for event in found if self._now_ns < event[0] <= last_ns)

    # --- inertial unit ---------------------------------------------------------------------------

    def _carry(self, time_ns: int) -> None:
        """Bring the filters to a time with the inertial samples up to it."""
        for first, end, step_s in self._whole_samples(time_ns):
            imu = self.descent.imu
            nominal_s = 1.0 / self.descent.imu_model.rate_hz
            if step_s > GAP_STEPS * nominal_s:
                self.onboard.bridge(
                    step_s, imu.angular_rate_rad_per_s[first], imu.specific_force_m_per_s2[first]
                )
            else:
                self.onboard.propagate(
                    imu.angular_rate_rad_per_s[first:end],
                    imu.specific_force_m_per_s2[first:end],
                    step_s,
                )
        rest_s = (time_ns - self._now_ns) * 1e-9
        if rest_s > 1e-6 and self._imu_index < self.descent.imu.time_ns.size:
            k = self._imu_index
            imu = self.descent.imu
            self.onboard.propagate(
                imu.angular_rate_rad_per_s[k : k + 1],
                imu.specific_force_m_per_s2[k : k + 1],
                rest_s,
            )
            self._now_ns = time_ns

    def _whole_samples(self, time_ns: int) -> Iterator[tuple[int, int, float]]:
        """Runs of samples of one step that end by a time: first, end, and the step in seconds."""
        stamps = self.descent.imu.time_ns
        end = int(np.searchsorted(stamps, time_ns, side="right"))
        first = self._imu_index
        if end <= first:
            return
        steps = np.diff(stamps[first:end], prepend=self._now_ns)
        # Stamps of a steady clock differ by a nanosecond of rounding.
        breaks = np.flatnonzero(np.abs(np.diff(steps)) > 1000) + 1
        for run in np.split(np.arange(end - first), breaks):
            span_ns = int(steps[run].sum())
            yield first + int(run[0]), first + int(run[-1]) + 1, span_ns * 1e-9 / len(run)
        self._imu_index, self._now_ns = end, int(stamps[end - 1])

    # --- faults that a replay applies ------------------------------------------------------------

    def _inject(self, time_ns: int) -> None:
        place = self.onboard.navigation.state.position_m
        self.ranges.placement = None
        for fault in self.descent.injected:
            active = fault.onset_ns <= time_ns and (fault.end_ns is None or time_ns < fault.end_ns)
            if not active:
                continue
            if fault.name == "map-shift":
                self.ranges.placement = shifted(
                    offset_m(fault.size, fault.direction_east_north, place), place
                )
            elif fault.onset_ns == time_ns:
                self.onboard.displace(offset_m(fault.size, fault.direction_east_north, place))

    # --- frames ----------------------------------------------------------------------------------

    def _frame(self, index: int) -> None:
        """An exposure: its fix is computed from what is known now, and arrives later."""
        time_ns = self.descent.frames[index].time_ns
        known = self.known.get(time_ns)
        try:
            image = load_image(self.descent.frames[index].path)
            fix = known.fix if known is not None else self._locate(image, time_ns)
            moved = self._moved(image, time_ns, fix)
        except InputError as error:
            self._unfit += 1
            fix = PositionFix("no_fix", str(error), backend=self.localizer.backend.name)
            moved, self._seen_ns = None, None
        self._awaited[index] = _Awaited(fix, self._from_map(), moved)
        if self.fix_latency_ns == 0:
            self._arrive(index, time_ns)

    def _arrive(self, index: int, time_ns: int) -> None:
        """The fix of a frame, told to the navigation."""
        awaited = self._awaited.pop(index)
        fix, turn = awaited.fix, awaited.turn
        exposed_ns = self.descent.frames[index].time_ns
        note = ""
        used = False
        if fix.position_m is not None and fix.covariance_m2 is not None:
            judged = self.onboard.fix(
                turn @ fix.position_m,
                turn @ fix.covariance_m2 @ turn.T,
                self._seconds(exposed_ns),
                fix.channel_separation,
            )
            used = judged.accepted or judged.reset
            note = "" if judged.accepted else f"judged: {judged.party}"
        else:
            self.onboard.no_fix(fix.reason)
            if awaited.moved is not None:
                seen, before_ns = awaited.moved
                taken = self.onboard.displacement(
                    seen, self._seconds(before_ns), self._seconds(exposed_ns)
                )
                self.recorder.add_displacement(exposed_ns, before_ns, seen, taken)
        self._record_fix(index, fix, used, note)
        self._write_state(time_ns)

    def _record_fix(self, index: int, fix: PositionFix, used: bool, note: str) -> None:
        time_ns = self.descent.frames[index].time_ns
        self.recorder.add_fix(time_ns, fix, used, note)
        self.result.fixes.append((self._seconds(time_ns), fix, used, note))

    def _from_map(self) -> Array:
        """Rotation from where the map holds places to where they are believed to be."""
        placement = self.ranges.placement
        return np.eye(3) if placement is None else np.asarray(placement.T)

    def _moved(
        self, image: NDArray[Any], time_ns: int, fix: PositionFix
    ) -> tuple[Displacement, int] | None:
        """What a frame without a fix shows of the movement since the one before it."""
        before, before_ns = self._flow.see(image), self._seen_ns
        self._seen_ns = time_ns
        if before is None or before_ns is None or fix.status == "fix":
            return None
        if not 0 < time_ns - before_ns <= MOST_FLOW_S * 1e9:
            return None
        poses = [self._camera_at(stamp_ns) for stamp_ns in (before_ns, time_ns)]
        seen = self._flow.displacement(before, *poses)
        return None if seen is None else (seen, before_ns)

    def _camera_at(self, time_ns: int) -> Pose:
        """The believed pose of the camera at a time of the last seconds."""
        state = self.onboard.navigation.state_at(self._seconds(time_ns))
        attitude = self.descent.to_camera.as_matrix() @ state.rotation
        return Pose(state.position_m, np.asarray(Rotation.from_matrix(attitude).as_quat()))

    def _locate(self, image: NDArray[Any], time_ns: int) -> PositionFix:
        """The fix of a frame from the navigated state, widened.

        Raises InputError for an image that does not belong to the camera.
        """
        state = self.onboard.navigation.state
        to_camera = self.descent.to_camera.as_matrix()
        turn = self._from_map()
        attitude = to_camera @ state.rotation @ turn
        position_sigma = math.sqrt(
            float(np.linalg.eigvalsh(state.covariance[POSITION, POSITION])[-1])
        )
        attitude_sigma = math.sqrt(float(np.trace(state.covariance[ATTITUDE, ATTITUDE])) / 3.0)
        doubt = 2.0 ** min(self.onboard.fixes_turned_away, 5)
        prior = Prior(
            turn.T @ state.position_m,
            float(
                np.clip(
                    doubt * PRIOR_SIGMAS * position_sigma, LEAST_PRIOR_SIGMA_M, MOST_PRIOR_SIGMA_M
                )
            ),
            np.asarray(Rotation.from_matrix(attitude).as_quat()),
            max(PRIOR_SIGMAS * attitude_sigma, LEAST_PRIOR_ATTITUDE_RAD),
            sun_direction_at_ns(time_ns),
        )
        fix, trace = self.localizer.locate_with_trace(image, prior)
        self._keep_picture(image, trace, fix)
        return fix

    def _keep_picture(self, image: NDArray[Any], trace: Trace | None, fix: PositionFix) -> None:
        """Pictures of the fix with the most landmarks so far."""
        if fix.status != "fix" or trace is None or image.dtype != np.uint8:
            return
        if fix.landmarks.inliers > self._most_inliers:
            self._most_inliers = fix.landmarks.inliers
            self.result.pictures = frame_pictures(image, trace)

    # --- ranges ----------------------------------------------------------------------------------

    def _range(self, index: int) -> None:
        series = self.descent.altimeter
        time_ns = int(series.time_ns[index])
        valid, beam = bool(series.valid[index]), int(series.beam[index])
        range_m = float(series.range_m[index])
        judged = self.onboard.range(range_m, valid, beam)
        altitude = self.onboard.altitude()
        baseline = self.onboard.baseline
        odds = judged.probabilities
        row = CrosscheckRow(
            time_ns=time_ns,
            range_m=range_m,
            valid=valid,
            beam=beam,
            expected_range_m=finite_or_none(judged.expected_m),
            expected_sigma_m=finite_or_none(judged.expected_sigma_m),
            verdict=judged.verdict,
            probability_consistent=odds["consistent"],
            probability_altimeter=odds["altimeter"],
            probability_navigation=odds["navigation"],
            probability_map=odds["map"],
            probability_undecided=odds["undecided"],
            used=judged.used,
            kind=judged.kind,
            sentence=judged.sentence,
            altitude_m=None if altitude is None else altitude.altitude_m,
            altitude_sigma_m=None if altitude is None else altitude.sigma_m,
            protection_level_m=None if altitude is None else altitude.protection_level_m,
            baseline_altitude_m=None if baseline is None else baseline.altitude_m,
            baseline_locked_out=baseline is not None and baseline.locked_out,
        )
        self.recorder.add_crosscheck(row)
        self._write_state(time_ns)
        self.result.samples.append(
            Sample(
                self._seconds(time_ns),
                row,
                self.onboard.full.state.position_m.copy(),
                self.onboard.level_of_position(),
                self.onboard.level(beam),
            )
        )

    def _write_state(self, time_ns: int) -> None:
        state = self.onboard.full.state
        self.result.states.append((self._seconds(time_ns), state.position_m.copy()))
        self.recorder.add_state(
            time_ns, state.position_m, state.velocity_m_per_s, state.quaternion_xyzw,
            np.diag(state.covariance),
        )  # fmt: skip

    def _write_alarms(self) -> None:
        for alarm in self.onboard.alarms[self._alarms_written :]:
            time_ns = self.descent.start_ns + round(alarm.time_s * 1e9)
            self.recorder.add_alarm(time_ns, alarm.kind, alarm.text)
        self._alarms_written = len(self.onboard.alarms)
