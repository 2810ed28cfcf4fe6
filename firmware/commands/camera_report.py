"""What is found of a camera, against limits: who it is, how it delivers, how it does, what a flat target measures as.

Rule kept here: what there is no measure for is shown without a judgement. An empty room has no depth and no fault.
"""

from collections.abc import Sequence

import numpy as np

from drivers.camera import FAULTS, CameraInfo, FrameSet, Health
from drivers.camera.flood import measured
from drivers.camera.meter import Figures
from drivers.camera.plane import Plane
from drivers.camera.structured_light.check import Checked
from drivers.camera.structured_light.dot_size import dot_sigma_px
from firmware.commands.camera_choice import Choice
from firmware.commands.findings import Finding

MAX_DROPPED = 0.05  # share of cycles
MAX_TAIL = 2.5  # 99th percentile of the intervals, in medians
MAX_LATENCY_MS = 250.0  # half of what the profiles call stale
MIN_VALID, MAX_WILD = 0.8, 0.1
MAX_TILT_DEG = 30.0
MAX_LIGHT_OFF = 0.2  # as for a module (`structured_light.check`)
MAX_RMS = 0.005  # of the distance: 2.5 mm at 0.5 m, half the height of a nose wing


def identity(info: CameraInfo, choice: Choice) -> list[Finding]:
    """Who the camera says it is, against what is pinned: a misconfiguration check, not authentication."""
    profile = choice.profile
    needed = profile is not None and profile.require_flood
    return [
        Finding("camera", None, f"{info.serial}, firmware {info.firmware or 'unnamed'}, plug-in {choice.source}"),
        _pin("serial", info.serial, choice.serial, info.serial == choice.serial),
        _pin(
            "calibration",
            info.calibration_digest,
            choice.calibration_digest,
            info.calibration_digest.startswith(choice.calibration_digest or ""),
        ),
        Finding(
            "flood light",
            info.flood or (False if needed else None),
            "of its own"
            if info.flood
            else f"none; profile {profile.name} refuses every session without"
            if profile is not None and needed
            else "none: infrared is lit by dots and by the room",
        ),
    ]


def _pin(name: str, found: str, pinned: str | None, same: bool) -> Finding:
    if pinned is None:
        return Finding(name, None, f"{_short(found)}, not pinned")
    if same:
        return Finding(name, True, f"{_short(found)}, the pinned one (a misconfiguration check)")
    return Finding(name, False, f"{_short(found)}, but {_short(pinned)} is pinned: the wrong one, or pin this one")


def _short(text: str) -> str:
    return text if len(text) <= 20 else text[:16] + "..."


def delivery(figures: Figures) -> list[Finding]:
    """How frames came."""
    if figures.interval_ms is None or figures.jitter_ms is None or figures.rate_hz is None:
        return [Finding("frames", False if not figures.frames else None, f"{figures.frames}: nothing to measure on")]
    median, tail = figures.interval_ms
    share = figures.dropped / (figures.frames + figures.dropped)
    found = [
        Finding("frames", True, f"{figures.frames}, {figures.rate_hz:.1f} a second"),
        Finding(
            "interval",
            tail <= MAX_TAIL * median,
            f"p50 {median:.1f}, p99 {tail:.1f} ms, jitter {figures.jitter_ms:.1f} ms "
            f"(limit: p99 of {MAX_TAIL:g} medians)",
        ),
        Finding(
            "dropped",
            share <= MAX_DROPPED,
            f"{figures.dropped} cycles, {share:.1%} (limit {MAX_DROPPED:.0%})"
            + ("" if share <= MAX_DROPPED else f". {FAULTS['overrun'][1]}"),
        ),
    ]
    if figures.latency_ms is None:
        found.append(Finding("latency", None, "none to measure: these frames were not taken now"))
    else:
        median, tail = figures.latency_ms
        told = f"p50 {median:.0f}, p99 {tail:.0f} ms from mid-exposure (limit {MAX_LATENCY_MS:.0f})"
        found.append(Finding("latency", tail <= MAX_LATENCY_MS, told))
    where = f", at {figures.distance_mm:.0f} mm" if figures.distance_mm is not None else "; is anything there?"
    found.append(Finding("valid depth", None, f"{figures.valid or 0:.1%} of the middle{where}"))
    return found


def health_of(health: Health) -> list[Finding]:
    """What the camera says of itself."""
    told = []
    if health.dropped:
        told.append(Finding("lost cycles", None, f"{health.dropped} by its own count"))
    if health.row_drift_px is not None:
        told.append(Finding("row drift", None, f"{health.row_drift_px:+.2f} px against the calibration"))
    if health.dot_contrast is not None:
        told.append(Finding("dot contrast", None, f"{health.dot_contrast:.0%} of that in the calibration"))
    if health.advice:
        told.append(Finding("advice", None, health.advice))
    return told


def module(checked: Checked) -> list[Finding]:
    """Whether a structured-light module still is as it was calibrated."""
    dots = f", dots at {checked.dots:.0%} of their light" if checked.dots is not None else ""
    told = f"rows {checked.rows_px:+.2f} px from the reference{dots}"
    flood = f"{checked.flood:.0%} of its light when calibrated" if checked.flood is not None else "cannot be measured"
    return [
        Finding("module", not checked.refusals, "; ".join([told, *checked.refusals])),
        Finding("module flood", None, flood),
    ]


def light(frames: Sequence[FrameSet], reflectance: float) -> list[Finding]:
    """What flood and dots look like on a flat target of `reflectance`: the two constants that liveness needs."""
    info = frames[-1].camera if frames else None
    if info is None or not (info.flood or any(one.dots is not None for one in frames)):
        return []
    responses = [found for one in frames if (found := measured(one, reflectance)) is not None]
    response = float(np.median(responses)) if len(responses) > len(frames) // 2 else None
    dots = [one.dots for one in frames if one.dots is not None]
    # the mean of all: nothing moves, and noise would make dots look smaller or larger
    sigma_px = dot_sigma_px(np.rint(np.mean(dots, axis=0)).astype(dots[0].dtype)) if dots else None
    on = f"on a target that returns {reflectance:.0%}"
    return [
        _constant("flood_response", response, info.flood_response, on, "is there a dark exposure, and light of ours?"),
        _constant("dot_sigma_px", sigma_px, info.dot_sigma_px, "there", "no single dots are made out"),
    ]


def _constant(name: str, found: float | None, known: float | None, where: str, why_not: str) -> Finding:
    if found is None:
        return Finding(name, None, f"cannot be measured: {why_not}")
    if known is None:
        return Finding(name, None, f"{found:.4g} {where}; the camera has none")
    off = found / known - 1
    told = f"{found:.4g} {where}; the camera has {known:.4g}, {off:+.0%} off (limit {MAX_LIGHT_OFF:.0%})"
    return Finding(name, abs(off) <= MAX_LIGHT_OFF, told)


def flatness(planes: Sequence[Plane | None]) -> list[Finding]:
    """What a flat target in the middle measures as: the median over frames."""
    fitted = [plane for plane in planes if plane is not None]
    if len(fitted) <= len(planes) // 2:
        return [Finding("plane", False, "no depth in the middle: put a flat, light, matt target there, square to it")]
    distance, tilt, rms, wild, valid = np.median(
        [(p.distance_mm, p.tilt_deg, p.rms_mm, p.wild, p.valid) for p in fitted], axis=0
    )
    if tilt > MAX_TILT_DEG:
        return [Finding("plane", False, f"nothing flat faces the camera at {distance:.0f} mm: put a flat target there")]
    return [
        Finding(
            "plane",
            bool(rms <= MAX_RMS * distance and wild <= MAX_WILD),
            f"RMS {rms:.2f} mm at {distance:.0f} mm, tilted {tilt:.1f} degrees (limit {MAX_RMS * distance:.2f} mm); "
            f"{wild:.1%} far off it (limit {MAX_WILD:.0%}: not flat, or it does not fill the middle)",
        ),
        Finding("plane depth", bool(valid >= MIN_VALID), f"{valid:.1%} of the middle (limit {MIN_VALID:.0%})"),
    ]
