"""Everything that can go wrong between the light sources and a FrameSet: one closed list of causes.

Rules kept here:
- Every fault of a camera or its emitters ends in one of these; there is no "other".
- Each says what it is and what to do, for whoever stands before the terminal with a screwdriver.
- Recovery is the same for all: capture stops, the ring is zeroed, the camera is closed and opened again. What is
  mended works again without a restart.
"""

from typing import Literal, get_args

Cause = Literal[
    "absent",
    "wrong_camera",
    "calibration",
    "usb2",
    "unplugged",
    "silent",
    "hung",
    "crashed",
    "frozen",
    "partial",
    "clock",
    "row_drift",
    "weak_dots",
    "emitter_stuck_on",
    "emitter_stuck_off",
    "overrun",
    "emitter_line",
    "emitter_heartbeat",
    "emitter_current",
    "emitter_duty",
    "emitter_limits",
    "ended",
]

# cause: what it is, what to do
FAULTS: dict[Cause, tuple[str, str]] = {
    "absent": ("No such camera can be opened.", "Check cable, power, udev rules and `camera.options`."),
    "wrong_camera": ("Another camera's serial than the one pinned.", "Plug the pinned one in, or pin this one."),
    "calibration": ("The calibration is missing, damaged or not the pinned one.", "Run `tessera camera calibrate`."),
    "usb2": ("The camera is connected over USB 2, too slow for its mode.", "Use a USB 3 port and cable."),
    "unplugged": ("The camera was there and has gone.", "Check cable and power."),
    "silent": ("The camera is there and delivers nothing.", "Plug it in again; check its power."),
    "hung": ("The camera's library does not return.", "The process is killed and started again; check the cable."),
    "crashed": ("The camera process died.", "It is started again; see its log for the signal."),
    "frozen": ("The camera repeats one picture.", "Plug it in again."),
    "partial": ("Exposures arrive incomplete.", "Check the cable and what else is on its USB bus."),
    "clock": ("The camera's time stamps go back or do not move.", "Plug it in again; update its firmware."),
    "row_drift": ("Rows no longer meet those of the calibration.", "Was the module knocked? Calibrate it again."),
    "weak_dots": ("The dots are too weak for depth.", "Clean the window; check the projector's supply."),
    "emitter_stuck_on": ("Light is on where it was to be off.", "Cut the emitter's power; replace the board."),
    "emitter_stuck_off": ("Light is off where it was to be on.", "Check the emitter's supply and strobe line."),
    "overrun": ("Frames are overwritten before they are read.", "Lower `fps`; see what else uses the processor."),
    "emitter_line": ("The emitter's board does not answer.", "Check its serial line and `emitter.port`."),
    "emitter_heartbeat": ("The emitter's board heard no heartbeat and went dark.", "See what holds its owner up."),
    "emitter_current": ("The emitter draws too much current and went dark.", "Replace the board; do not look into it."),
    "emitter_duty": ("The emitter reached its duty limit and went dark.", "Lower the rate or the exposure."),
    "emitter_limits": ("The emitter's limit table is missing or not signed for it.", "Install its signed calibration."),
    "ended": ("A recording has no further frames.", "Nothing is broken."),
}

assert set(FAULTS) == set(get_args(Cause))
