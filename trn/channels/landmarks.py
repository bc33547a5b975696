"""The landmark channel: the view predicted from the map, found again in the frame.

predict the view -> match landmarks -> consensus -> predict again from there, finer -> ...
                 -> align the whole view -> evidence
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Backend, Shares
from trn.camera import Camera
from trn.channels.frame import (
    Disagreement,
    FrameRun,
    Refused,
    Sighting,
    Trace,
    altitude_m,
    ground_sigma_m,
)
from trn.correlate.landmarks import Landmarks, choose_landmarks
from trn.correlate.match import SEARCH_SIGMAS, match_landmarks
from trn.fix import LandmarkCounts
from trn.maps.lunar_map import LunarMap
from trn.moon.pose import Pose
from trn.solve.consensus import chance_of_consensus, find_consensus
from trn.solve.evidence import Evidence, gather_evidence
from trn.solve.pose import Matches, PoseEstimate, jacobian, seen_from, solve_pose
from trn.solve.robust import GATE, LEAST_AGREEING, landmark_evidence, solve_robustly
from trn.view.footprint import Footprint, median_range_m
from trn.view.predict import Prediction, View, predict
from trn.view.terrain import LitTerrain, TerrainCache

COARSE_SIDE_PX = 220
COARSE_TEMPLATE_PX = 41
COARSE_STRIDE_PX = 18
COARSE_MOST = 80
FINE_PIXEL_OF_MAP = 1.0
"""Of the fine stage and of the alignment: finer, what image and view share by chance holds the view
where it is: at 0.57 and in fewer rounds fixes over the full maps had an NEES of 1.8, now 0.9."""
FINE_LEAST_SIDE_PX = 110
FINE_TEMPLATE_PX = 21
FINE_STRIDE_PX = 12
FINE_MOST = 5000
FINE_MARGIN_PX = 4
MODEL_FLOOR_OF_MAP = 0.1
"""Least sigma of a match, in map pixels: what the map leaves out moves every match a little."""
FINE_ROUNDS = 3

CHANCE_LIMIT = 1e-4
"""Of the first stage alone; the fine stage has to bear it out with hundreds of landmarks."""
LEAST_INLIER_SHARE = 0.25
LEAST_VIEW_SCORE = 0.15
COARSE_FLOOR_PX = 1.0
COARSE_LEAST_WINDOW_PX = 16
"""Searched even where the prior is sure of itself: agreement in a tiny window proves nothing."""
NOISE_AREA = 1.5
LEAST_GAP = 0.03
LANDMARKS_SETTLED_PX = 1.0
"""Alignment carries on from here: it reaches about half a wavelength of what view and map share."""
ALIGNMENT_ROUNDS = 4
ALIGNMENT_INFLATION = 1.25
"""How much less the whole view tells than its residuals say. This and `frame.GROUND_OF_MAP`
make the errors of odd-numbered rendered scenes likeliest, and NEES 1 (bench.integrity)."""
ALIGNMENT_SETTLED_PX = 0.05
MOST_ALIGNED_PX = 2.0
MOST_MARGIN_M = 40_000.0
MOST_SKY = 0.7
MOST_NO_DATA = 0.5
LEAST_LIT = 0.3


REVERSED = (
    "light and shade are the wrong way round: the Sun's direction in the prior does not fit the "
    "image"
)


@dataclass(frozen=True, eq=False)
class _Level:
    """The frame and its camera at one scale.

    plain: image handle of the shrunk frame; image: of its local contrast.
    """

    factor: float
    view: View
    plain: Any
    image: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.view.camera.height, self.view.camera.width


@dataclass(frozen=True, eq=False)
class _Sought:
    """Landmarks of a predicted view, where their ground is, and where they should be seen.

    points_m: (N, 3), body-fixed. place_px2: (N, 2, 2), covariance of the place. margin_px: kept
    free at the frame's border.
    """

    landmarks: Landmarks
    points_m: NDArray[np.float64]
    place_px2: NDArray[np.float64]
    margin_px: int


@dataclass(frozen=True, eq=False)
class _Settled:
    """Where landmarks lead: the last view predicted, the pose, and the matches that agree."""

    level: _Level
    predicted: Prediction
    estimate: PoseEstimate
    matches: Matches


class LandmarkChannel:
    """Finds the view that the map predicts in the frames of one camera.

    `terrain` keeps the ground of the last frame.
    """

    def __init__(
        self, moon_map: LunarMap, camera: Camera, backend: Backend, terrain: TerrainCache
    ) -> None:
        self.map = moon_map
        self.camera = camera
        self.backend = backend
        self._terrain = terrain

    def sight(
        self,
        image: NDArray[np.generic],
        believed: PoseEstimate,
        footprint: Footprint,
        sun_direction: NDArray[np.float64],
        run: FrameRun,
    ) -> Sighting:
        """What the landmarks of a frame say about its pose.

        believed: of the prior; footprint: seen from there. Raises Refused where they say nothing
        that can be trusted.
        """
        with run.timed("terrain"):
            _refuse_night(footprint, sun_direction)
            sigma_m, sigma_rad = np.sqrt(np.diag(believed.covariance)[[0, 3]])
            margin_m = SEARCH_SIGMAS * (sigma_m + sigma_rad * footprint.median_range_m)
            terrain = self._terrain.terrain(
                self.camera, footprint, min(margin_m, MOST_MARGIN_M), sun_direction
            )
        ground_pixel_m = footprint.median_range_m / min(self.camera.fx, self.camera.fy)
        map_pixel_px = terrain.detail_m / ground_pixel_m
        frame = self.backend.load_image(image)
        coarse = self._level(frame, max(1.0, self.camera.width / COARSE_SIDE_PX), terrain, run)
        predicted = self._predict(coarse, believed.pose, run)
        _refuse_unpredictable(predicted.shares)
        layout = (COARSE_TEMPLATE_PX, COARSE_STRIDE_PX, COARSE_MOST, 0)
        sought = self._sought(coarse, predicted, believed, layout, run)
        try:
            estimate, support = self._first_stage(
                coarse, predicted, sought, believed, map_pixel_px, run
            )
            reversed_matches, reversed_support = self._reversed(
                coarse, predicted, sought, believed, map_pixel_px, run
            )
            factor = self._fine_factor(estimate.pose, terrain)
            fine = self._level(frame, factor, terrain, run)
            settled = self._settle(fine, believed, estimate, map_pixel_px, run)
            if reversed_support > support and (
                self._settled_reversed_support(
                    coarse, fine, reversed_matches, believed, map_pixel_px, run
                )
                > settled.matches.score.sum()
            ):
                raise Refused(REVERSED)
            factor = self._fine_factor(settled.estimate.pose, terrain)
            finest = fine if factor == fine.factor else self._level(frame, factor, terrain, run)
            evidence = self._align(finest, believed, settled, run)
            self._refuse_other_view(settled, run)
        except Disagreement as disagreement:
            _, reversed_support = self._reversed(
                coarse, predicted, sought, believed, map_pixel_px, run
            )
            if reversed_support > 0.0:
                raise Refused(REVERSED) from disagreement
            raise
        if run.trace is not None:
            run.trace = replace(run.trace, evidence=evidence, landmarks=settled.estimate)
        camera = settled.level.view.camera
        return Sighting(evidence, settled.matches, camera, settled.level.factor)

    def _fine_factor(self, pose: Pose, terrain: LitTerrain) -> float:
        """Image pixels a pixel of a fine stage, on a ladder of quarter powers of two.

        Taken from an earlier stage's pose, so that it does not depend on the prior's error.
        """
        range_m = median_range_m(self.camera, pose, self.map.height_range_m[0])
        if range_m is None or range_m <= 0.0:
            raise Refused("the matches lead to a pose that does not look at the Moon")
        ground_pixel_m = range_m / min(self.camera.fx, self.camera.fy)
        wanted = FINE_PIXEL_OF_MAP * terrain.detail_m / ground_pixel_m
        ladder = 2.0 ** (np.round(4.0 * np.log2(wanted)) / 4.0)
        return float(np.clip(ladder, 1.0, max(1.0, self.camera.width / FINE_LEAST_SIDE_PX)))

    def _level(self, frame: Any, factor: float, terrain: LitTerrain, run: FrameRun) -> _Level:
        """The frame and the view at a scale, `factor` image pixels a pixel."""
        with run.timed("level"):
            camera = self.camera.scaled(factor)
            shrunk = self.backend.shrink(frame, camera.width, camera.height)
            return _Level(
                factor, View(self.backend, camera, terrain), shrunk, self.backend.contrast(shrunk)
            )

    def _predict(self, level: _Level, pose: Pose, run: FrameRun) -> Prediction:
        with run.timed("predict"):
            prediction = predict(level.view, pose)
            return replace(prediction, radiance=self.backend.contrast(prediction.radiance))

    def _first_stage(
        self,
        level: _Level,
        predicted: Prediction,
        sought: _Sought,
        believed: PoseEstimate,
        map_pixel_px: float,
        run: FrameRun,
    ) -> tuple[PoseEstimate, float]:
        """The pose to about a coarse pixel and the summed NCC of the matches that agree."""
        matches, agrees, chance, searched = self._consensus(
            level, sought, predicted.radiance, believed, map_pixel_px, run
        )
        run.landmarks = LandmarkCounts(searched, len(matches), int(agrees.sum()))
        run.trace = _trace(level, predicted, matches, agrees, believed.pose, self.camera)
        support = _support(matches, agrees, chance)
        if support == 0.0:
            raise Disagreement(
                f"the image does not match the map near the prior: of {searched} landmarks "
                f"searched {len(matches)} gave a match and {int(agrees.sum())} agree, which "
                "chance can do (another region, another light, or a prior worse than it says)"
            )
        return _coarse_pose(level, believed, matches.chosen(agrees), run), support

    def _reversed(
        self,
        level: _Level,
        predicted: Prediction,
        sought: _Sought,
        believed: PoseEstimate,
        map_pixel_px: float,
        run: FrameRun,
    ) -> tuple[Matches, float]:
        """What agrees with the negative of the predicted view, and its summed NCC; 0 if by chance.

        On gentle slopes a Sun on the other side turns the shading's sign round. Even then light
        sides match light sides, shifted by about a crater: agreement alone is not enough, it has
        to be better than that of the negative.
        """
        negative = self.backend.negative(predicted.radiance)
        matches, agrees, chance, _ = self._consensus(
            level, sought, negative, believed, map_pixel_px, run
        )
        return matches.chosen(agrees), _support(matches, agrees, chance)

    def _settled_reversed_support(
        self,
        coarse: _Level,
        fine: _Level,
        matches: Matches,
        believed: PoseEstimate,
        map_pixel_px: float,
        run: FrameRun,
    ) -> float:
        """Summed NCC of what agrees with the negative in the fine stage, from where matches lead.

        0 where they lead nowhere. A gentle mare under a high Sun gives the first stage little,
        and the negative may have more of it by chance; hundreds of landmarks decide.
        """
        aside = FrameRun(run.latency_ms)
        estimate = _coarse_pose(coarse, believed, matches, aside)
        try:
            settled = self._settle(fine, believed, estimate, map_pixel_px, aside, negative=True)
        except Disagreement:
            return 0.0
        return float(settled.matches.score.sum())

    def _consensus(
        self,
        level: _Level,
        sought: _Sought,
        template: Any,
        believed: PoseEstimate,
        map_pixel_px: float,
        run: FrameRun,
    ) -> tuple[Matches, NDArray[np.bool_], float, int]:
        """First-stage matches, which of them agree, how likely by chance, landmarks searched."""
        matches, probability = self._match(level, sought, template, map_pixel_px, run)
        with run.timed("solve"):
            agrees = find_consensus(
                level.view.camera, believed, matches, gate=GATE, floor_px=COARSE_FLOOR_PX
            )
            chance = chance_of_consensus(len(matches), int(agrees.sum()), probability)
        return matches, agrees, chance, len(sought.landmarks)

    def _sought(
        self,
        level: _Level,
        predicted: Prediction,
        estimate: PoseEstimate,
        layout: tuple[int, int, int, int],
        run: FrameRun,
    ) -> _Sought:
        """The landmarks of a predicted view: size, stride, most and margin as in the layout."""
        with run.timed("landmarks"):
            landmarks = choose_landmarks(self.backend, predicted.radiance, level.shape, *layout)
            if len(landmarks) < LEAST_AGREEING:
                raise Refused("the predicted view has too little texture under this light")
            points = predicted.points_m(landmarks.grid, landmarks.cells)
            design = jacobian(level.view.camera, estimate.pose, points)
            place = design @ estimate.covariance @ np.swapaxes(design, 1, 2)
        return _Sought(landmarks, points, place, layout[-1])

    def _match(
        self,
        level: _Level,
        sought: _Sought,
        template: Any,
        map_pixel_px: float,
        run: FrameRun,
    ) -> tuple[Matches, float]:
        """The matches accepted, and the chance of one agreeing at random."""
        whole = sought.margin_px > 0
        with run.timed("correlate"):
            found = match_landmarks(
                self.backend,
                level.image,
                level.shape,
                template,
                sought.landmarks,
                sought.place_px2,
                noise_area_px2=max(1.0, NOISE_AREA * (map_pixel_px / level.factor) ** 2),
                least_gap=LEAST_GAP,
                whole_windows=whole,
                least_window_px=3 if whole else COARSE_LEAST_WINDOW_PX,
            )
            chosen = found.landmark[found.accepted]
            centres = np.stack(sought.landmarks.centres(), axis=-1)[chosen]
            matches = Matches(
                sought.points_m[chosen],
                centres + found.offset_px[found.accepted],
                found.covariance_px2[found.accepted]
                + (MODEL_FLOOR_OF_MAP * map_pixel_px / level.factor) ** 2 * np.eye(2),
                found.score[found.accepted],
            )
        area = np.pi * GATE * (COARSE_FLOOR_PX**2 + 0.1)
        placements = float(np.median(found.placements)) if found.placements.size else 1.0
        return matches, min(1.0, area / placements)

    def _settle(
        self,
        level: _Level,
        believed: PoseEstimate,
        estimate: PoseEstimate,
        map_pixel_px: float,
        run: FrameRun,
        *,
        negative: bool = False,
    ) -> _Settled:
        """Predict and match from the last estimate until it stays where it is.

        negative: match the negative of the predicted view.
        """
        camera = level.view.camera
        layout = (FINE_TEMPLATE_PX, FINE_STRIDE_PX, FINE_MOST, FINE_MARGIN_PX)
        for _ in range(FINE_ROUNDS):
            predicted = self._predict(level, estimate.pose, run)
            sought = self._sought(level, predicted, estimate, layout, run)
            template = predicted.radiance
            if negative:
                template = self.backend.negative(template)
            matches, _ = self._match(level, sought, template, map_pixel_px, run)
            searched = len(sought.landmarks)
            with run.timed("solve"):
                solution, agrees = solve_robustly(camera, believed, matches, estimate.pose)
            run.landmarks = LandmarkCounts(searched, len(matches), int(agrees.sum()))
            run.trace = _trace(level, predicted, matches, agrees, estimate.pose, self.camera)
            if agrees.sum() < max(LEAST_AGREEING, LEAST_INLIER_SHARE * searched):
                raise Disagreement(
                    f"too few landmarks agree: {int(agrees.sum())} of {searched} searched"
                )
            moved_px = _moved_px(camera, estimate.pose, solution.pose, matches.points_m[agrees])
            estimate = solution
            if moved_px < LANDMARKS_SETTLED_PX:
                break
        return _Settled(level, predicted, estimate, matches.chosen(agrees))

    def _align(
        self, level: _Level, believed: PoseEstimate, settled: _Settled, run: FrameRun
    ) -> Evidence:
        """What the whole view says about the pose, from one that landmarks support.

        Where the view is too small to tell its coherence, or would have to move further than the
        linear step reaches, the landmarks' pose stays.
        """
        camera = level.view.camera
        aligned = settled.estimate.pose
        for _ in range(ALIGNMENT_ROUNDS):
            with run.timed("predict"):
                predicted = predict(level.view, aligned)
            with run.timed("align"):
                found = self.backend.align(level.plain, predicted.seen.shaded)
                if found is None:
                    return self._landmarks_alone(believed, settled)
                points = predicted.points_m(found.grid, found.cells)
                evidence = gather_evidence(
                    camera,
                    believed,
                    aligned,
                    points,
                    found.information / ALIGNMENT_INFLATION,
                    found.pull / ALIGNMENT_INFLATION,
                )
                turned = evidence.solution().pose
                moved_px = _moved_px(camera, aligned, turned, points)
                if moved_px > MOST_ALIGNED_PX:
                    return self._landmarks_alone(believed, settled)
                aligned = turned
            if moved_px < ALIGNMENT_SETTLED_PX:
                break
        ground_sigma_m = self._ground_sigma_m(evidence.start)
        return replace(evidence, ground_sigma_m=ground_sigma_m, aligned=True)

    def _refuse_other_view(self, settled: _Settled, run: FrameRun) -> None:
        """Refuse where the whole view says otherwise."""
        with run.timed("accept"):
            resemblance = self.backend.resemblance(settled.level.image, settled.predicted.radiance)
        if resemblance < LEAST_VIEW_SCORE:
            raise Disagreement(
                f"the predicted view resembles the image too little: NCC {resemblance:.2f}"
            )

    def _landmarks_alone(self, believed: PoseEstimate, settled: _Settled) -> Evidence:
        camera, pose = settled.level.view.camera, settled.estimate.pose
        return landmark_evidence(
            camera, believed, settled.matches, pose, self._ground_sigma_m(pose)
        )

    def _ground_sigma_m(self, pose: Pose) -> float:
        return ground_sigma_m(
            self.camera, altitude_m(self.map, pose.position_m), self.map.resolution_m
        )


def _refuse_night(footprint: Footprint, sun: NDArray[np.float64]) -> None:
    """Refuse where the Sun stands below the horizon of the whole view."""
    half_side = 0.5 * max(
        footprint.bounds[1] - footprint.bounds[0], footprint.bounds[3] - footprint.bounds[2]
    )
    elevation = np.arcsin(np.clip(sun @ footprint.centre, -1.0, 1.0))
    if elevation < -half_side or elevation < np.deg2rad(-1.0):
        raise Refused(
            f"night: the Sun stands {-np.rad2deg(elevation):.0f} deg below the horizon there"
        )


def _refuse_unpredictable(shares: Shares) -> None:
    """Refuse a view of which too little can be predicted."""
    if shares.sky > MOST_SKY:
        raise Refused(f"{100 * shares.sky:.0f} % of the view is sky")
    if shares.no_data > MOST_NO_DATA:
        raise Refused(f"the map has no data under {100 * shares.no_data:.0f} % of the view")
    if shares.lit < LEAST_LIT:
        raise Refused(f"night: only {100 * shares.lit:.0f} % of the terrain in view is sunlit")


def _moved_px(camera: Camera, before: Pose, after: Pose, points_m: NDArray[np.float64]) -> float:
    """The furthest that terrain points move in the image between two poses."""
    moved = seen_from(camera, after, points_m) - seen_from(camera, before, points_m)
    return float(np.nanmax(np.abs(moved)))


def _coarse_pose(
    level: _Level, believed: PoseEstimate, agreeing: Matches, run: FrameRun
) -> PoseEstimate:
    """Where first-stage matches that agree lead."""
    with run.timed("solve"):
        widened = agreeing.widened(COARSE_FLOOR_PX)
        return solve_pose(level.view.camera, believed, widened, believed.pose)


def _support(matches: Matches, agrees: NDArray[np.bool_], chance: float) -> float:
    """Summed NCC of the matches that agree; 0 where chance could have made the agreement."""
    if agrees.sum() < LEAST_AGREEING or chance > CHANCE_LIMIT:
        return 0.0
    return float(matches.score[agrees].sum())


def _trace(
    level: _Level,
    predicted: Prediction,
    matches: Matches,
    agrees: NDArray[np.bool_],
    pose: Pose,
    full: Camera,
) -> Trace:
    """The record of one stage, in full image pixels."""
    camera = level.view.camera
    scale = np.array([full.width / camera.width, full.height / camera.height])
    place = camera.project(pose.to_camera(matches.points_m))
    return Trace(
        level.view.backend,
        predicted.radiance,
        level.factor,
        (place + 0.5) * scale - 0.5,
        (matches.pixels_px + 0.5) * scale - 0.5,
        agrees,
        matches.score,
    )
