"""Data sheets of the sensors aboard, as a dataset holds them: sensor.yaml in the form of EuRoC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from trn.files import write_whole
from trn.simulate import imu, star_tracker
from trn.simulate.recording import Recording


def write_sensor_sheets(recording: Recording, out: Path) -> None:
    """sensor.yaml of each sensor, and the camera's also as ROS camera_info.

    Errors are 1 sigma, as on a data sheet: an estimator may know them, the draws it may not.
    """
    scenario = recording.scenario
    unit = imu.PRESETS[scenario.imu.grade]
    camera = recording.camera
    documents: dict[str, dict[str, Any]] = {
        "cam0": {
            "sensor_type": "camera",
            "T_BS": _pose_in_vehicle(recording.to_camera),
            "rate_hz": scenario.camera.rate_hz,
            "resolution": [camera.width, camera.height],
            "camera_model": "pinhole",
            "intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy],
            "distortion_model": "radial-tangential",
            "distortion_coefficients": list(camera.distortion[:4]),
            "bits": scenario.camera.bits,
        },
        "imu0": {
            "sensor_type": "imu",
            "T_BS": _pose_in_vehicle(Rotation.identity()),
            "rate_hz": scenario.imu.rate_hz,
            "gyroscope_noise_density": float(unit.gyroscope.noise),
            "gyroscope_random_walk": float(unit.gyroscope.bias_walk),
            "gyroscope_bias_sigma": float(unit.gyroscope.bias),
            "gyroscope_scale": float(unit.gyroscope.scale),
            "gyroscope_misalignment_rad": float(unit.gyroscope.misalignment_rad),
            "accelerometer_noise_density": float(unit.accelerometer.noise),
            "accelerometer_random_walk": float(unit.accelerometer.bias_walk),
            "accelerometer_bias_sigma": float(unit.accelerometer.bias),
            "accelerometer_scale": float(unit.accelerometer.scale),
            "accelerometer_misalignment_rad": float(unit.accelerometer.misalignment_rad),
        },
        "altimeter0": {
            "sensor_type": "altimeter",
            "T_BS": _pose_in_vehicle(recording.to_beams[0]),
            "beams": [_pose_in_vehicle(beam) for beam in recording.to_beams],
            "rate_hz": scenario.altimeter.rate_hz,
            **{name: value for name, value in vars(recording.finder).items() if name != "rings"},
        },
        "startracker0": {
            "sensor_type": "star-tracker",
            "T_BS": _pose_in_vehicle(Rotation.identity()),
            "rate_hz": scenario.star_tracker.rate_hz,
            "sigma_rad": star_tracker.TYPICAL.sigma_rad,
            "across_rad": float(star_tracker.TYPICAL.across_rad),
            "roll_rad": float(star_tracker.TYPICAL.roll_rad),
            "mounting_rad": float(star_tracker.TYPICAL.mounting_rad),
        },
    }
    for name, document in documents.items():
        text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None)
        write_whole(out / name / "sensor.yaml", text)
    camera.save(out / "cam0" / "camera.yaml")


def _pose_in_vehicle(to_sensor: Rotation) -> dict[str, Any]:
    """EuRoC's T_BS: takes points from a sensor's axes into the vehicle's (row by row)."""
    matrix = np.eye(4)
    matrix[:3, :3] = to_sensor.inv().as_matrix()
    return {"cols": 4, "rows": 4, "data": [float(x) for x in matrix.ravel()]}
