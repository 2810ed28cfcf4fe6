"""Structured light: a sensor's exposures dark, flood and dots, and one module's calibration, to FrameSets."""

from drivers.camera.structured_light.calibration import Calibration, CalibrationError
from drivers.camera.structured_light.camera import StructuredLightCamera
from drivers.camera.structured_light.decoder import Decoder
from drivers.camera.structured_light.exposures import Exposure, ExposureSource
from drivers.camera.structured_light.module_file import Lens, Module, load_lens, load_module, save_module
from drivers.camera.structured_light.plugin import list_cameras, open_camera, open_exposures

__all__ = [
    "Calibration",
    "CalibrationError",
    "Decoder",
    "Exposure",
    "ExposureSource",
    "Lens",
    "Module",
    "StructuredLightCamera",
    "list_cameras",
    "load_lens",
    "load_module",
    "open_camera",
    "open_exposures",
    "save_module",
]
