"""The frozen limits of the gates: shipped in `limits.toml`, never configured."""

import hashlib
from importlib.resources import files

import msgspec


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number each; what it bounds stands beside the gate, where it was measured in the file."""

    depth_coverage_min: float
    relief_min_mm: float
    solid_relief_min_mm: float
    solid_relief_min_mm_at_1m: float
    plane_min_mm: float
    plane_min_mm_at_1m: float
    nose_min_mm: float
    edges_max_mm: float
    eye_distance_min_mm: float
    eye_distance_max_mm: float
    exposure_min: float
    albedo_min: float
    albedo_max: float
    speed_max_mm_s: float
    warp_max_mm: float
    warp_max_mm_at_1m: float
    stretch_max: float
    motion_min_mm: float
    motion_min_mm_at_1m: float
    motion_own_share: float
    motion_turned_deg: float
    motion_carried: float
    motion_passive_times: float
    motion_other_min_mm: float
    motion_other_min_mm_at_1m: float
    eye_open_min: float
    iris_contrast_min: float
    gaze_max_deg: float
    mask_grain_max: float
    mask_grain_of_eyes_max: float


def load_limits() -> tuple[Limits, bytes]:
    """The shipped limits and the SHA-256 of their file."""
    raw = (files("firmware.liveness") / "limits.toml").read_bytes()
    return msgspec.toml.decode(raw, type=Limits, strict=True), hashlib.sha256(raw).digest()
