"""Three Apollo 15 frames with their camera, a map under them, and priors."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tables import data_folder
from trn.camera import Camera
from trn.images import load_image
from trn.localizer import Localizer
from trn.maps import LunarMap, build_map
from trn.moon.pose import Pose
from trn.prior import Prior

NEAR_SIGMA_M = 500.0


@dataclass(frozen=True, eq=False)
class Frame:
    """A photograph and what is listed of it: `values` as in frames.json."""

    number: int
    name: str
    image: NDArray[Any]
    values: dict[str, Any]

    def prior(self, sigma_m: float, seed: int) -> Prior:
        """A prior drawn about the listed pose, 1 degree an axis."""
        rng = np.random.default_rng([int(sigma_m), self.number, seed])
        pose = Pose(
            np.array(self.values["position_moon_me_m"]),
            np.array(self.values["quaternion_body_to_camera_xyzw"]),
        ).moved(rng.normal(0, sigma_m, 3), rng.normal(0, np.deg2rad(1.0), 3))
        return Prior(
            pose.position_m,
            sigma_m,
            pose.quaternion_xyzw,
            float(np.deg2rad(1.0)),
            np.array(self.values["sun_direction_moon_me"]),
        )


@dataclass(frozen=True, eq=False)
class Apollo:
    """The frames, their camera, the map under them, and a localizer on it."""

    frames: list[Frame]
    camera: Camera
    moon_map: LunarMap
    localizer: Localizer

    def fixed(self, frame: Frame) -> Pose:
        """Where a frame's landmarks put it, from half a kilometre off."""
        fix = self.localizer.locate(frame.image, frame.prior(NEAR_SIGMA_M, 0))
        if fix.position_m is None or fix.quaternion_xyzw is None:
            raise SystemExit(f"{frame.name}: {fix.reason}")
        return Pose(fix.position_m, fix.quaternion_xyzw)


@contextmanager
def apollo_15() -> Iterator[Apollo]:
    """The three frames; the map is gone after the block."""
    data = data_folder()
    listed = json.loads((data / "apollo15/frames.json").read_text())["frames"]
    frames = [
        Frame(number, values["image"], load_image(data / "apollo15" / values["image"]), values)
        for number, values in enumerate(listed)
    ]
    camera = Camera.load(data / "apollo15/camera.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        moon_map = build_map([data / "maps/apollo15_rev16_64ppd.tif"], Path(scratch) / "apollo.map")
        yield Apollo(frames, camera, moon_map, Localizer(moon_map, camera, "cpu"))
