"""Structured light: depth from one dot exposure, one reference image and one calibration."""

from drivers.camera.structured_light.calibration import Calibration, CalibrationError
from drivers.camera.structured_light.decoder import Decoder

__all__ = ["Calibration", "CalibrationError", "Decoder"]
