"""What a D4xx is set to for faces at 0.30-1.0 m: data, in the order in which it is set.

Rules kept here:
- A visual preset rewrites other settings, so it comes first; HDR refuses alternation, so it goes off before.
- What is `needed` must be taken and read back, or the camera is not opened. The rest is reported where it is lacking.
"""

from dataclasses import dataclass

UNIT_M = 100e-6
NEAREST_FACE_MM = 300.0
_DISPARITIES = 126  # that a D4xx searches


@dataclass(frozen=True, slots=True)
class Setting:
    """One option of the depth sensor.

    Attributes:
        option: its name in `rs.option`.
        value: what it is set to.
        why: the reason, for 0.30-1.0 m.
        source: where that is written.
        needed: whether the camera is of no use without.
    """

    option: str
    value: float
    why: str
    source: str
    needed: bool = False


_ALWAYS = (
    Setting("visual_preset", 3, "High Accuracy: a hole rather than a wrong depth", "librealsense wiki, Visual Presets"),
    Setting("depth_units", UNIT_M, "100 um: the factory's 1 mm is too coarse; reaches 6.5 m", "D400 datasheet", True),
    Setting("disparity_shift", 0, "a shift would end the depth nearer than 1 m", "librealsense, tuning guide"),
    Setting("enable_auto_exposure", 1, "skin at 0.3 m is eleven times as bright as at 1 m", "inverse square"),
    Setting("laser_power", 150, "factory value; more saturates skin at 0.3 m, less fails in sun", "D400 datasheet"),
    Setting("hdr_enabled", 0, "alternation is refused while it is on", "librealsense, HDR documentation"),
    Setting("emitter_enabled", 1, "the dots that depth is measured by", "librealsense, rs_option.h", True),
    Setting("emitter_always_on", 0, "light only while a frame is exposed", "librealsense, rs_option.h"),
    Setting("global_time_enabled", 0, "the driver lays times onto its own clock", "librealsense, rs_option.h"),
)
_ALTERNATE = Setting("emitter_on_off", 1, "every second frame without dots; firmware 5.12.0", "librealsense", True)
_STEADY = Setting("emitter_on_off", 0, "dots in every frame", "librealsense, rs_option.h")
_STROBE = Setting("inter_cam_sync_mode", 1, "master: a strobe for the flood board", "D400 external sync paper", True)


def settings(alternate: bool, flood_board: bool) -> tuple[Setting, ...]:
    """Return what to set, in order. `flood_board`: our board listens to the strobe."""
    return (*_ALWAYS, _ALTERNATE if alternate else _STEADY, *((_STROBE,) if flood_board else ()))


def nearest_mm(focal_px: float, baseline_mm: float) -> float:
    """Nearest distance a D4xx measures at this focal length (librealsense tuning guide: f B / 126, no shift)."""
    return focal_px * baseline_mm / _DISPARITIES
