"""Soft cues: what speaks for or against life without proving either, one file a cue.

Rules kept here:
- A cue gives one number a frame, NaN where it cannot be measured; what a number is worth stands in `cues.toml`.
- None of them may let a failed gate pass, and none decides alone.
- Nothing is compared with absolute brightness: the emitter's level and the exposure drop out.
"""

from drivers.camera import FrameSet
from drivers.npu.interface import Network
from firmware.liveness.cues.calibration import CueCalibration, CueError, Table, load_cues, parse
from firmware.liveness.cues.dot_halo import dot_halo
from firmware.liveness.cues.eyes import eyes
from firmware.liveness.cues.ground import ground
from firmware.liveness.cues.mask_edges import mask_edges
from firmware.liveness.cues.network import liveness_network
from firmware.liveness.cues.photometric import photometric
from firmware.liveness.patch import Patch
from firmware.liveness.policy import CueName
from firmware.vision.face import Face

__all__ = ["CueCalibration", "CueError", "Table", "load_cues", "measure", "parse"]


def measure(
    frames: FrameSet, face: Face, patch: Patch | None, level: float | None, network: Network | None = None
) -> dict[CueName, float]:
    """Every cue of one frame; empty where there is no patch.

    Args:
        frames: the frame.
        face: found in it.
        patch: its face region, `firmware.liveness.patch.patch`.
        level: of the flood as commanded. Every cue compares light with light of the same exposure, so none needs it.
        network: of cue `network`; without it that cue is not measured, and costs nothing.

    Raises:
        NetworkError: the network failed.
    """
    del level
    if patch is None:
        return {}
    on = ground(frames, face, patch)
    values: dict[CueName, float] = {
        "photometric": photometric(on),
        "dot_halo": dot_halo(frames, on),
        "eyes": eyes(on),
        "mask_edges": mask_edges(on),
    }
    return values if network is None else values | {"network": liveness_network(frames, face, patch, network)}
