"""How far a face differs from itself at rest, once it is aligned rigidly."""

from dataclasses import dataclass

from drivers.camera import FrameSet
from firmware.liveness.limits import Limits
from firmware.vision.face import Face


@dataclass(frozen=True, slots=True)
class Deformation:
    """One frame's face against the same face at rest.

    Attributes:
        lower_mm: RMS deformation of the lower face, noise taken off.
        upper_mm: the same of the part that does not move: what the alignment itself leaves in this frame.
        sigma_mm: uncertainty of `lower_mm`.
        turned_deg: rotation between this frame and the reference.
        excess: `lower_mm` over what rigid things reach at this distance.
        passive_excess: the same over what counts without a prompt.
    """

    lower_mm: float
    upper_mm: float
    sigma_mm: float
    turned_deg: float
    excess: float
    passive_excess: float


class Motion:
    """Follows one face."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.another = False

    def follow(self, frames: FrameSet, face: Face) -> Deformation | None:
        """Measure a frame; None while the reference is gathered, or where it cannot be measured."""
        _ = frames, face
        return None

    def settle(self) -> None:
        """Take the newest frames as the face at rest."""

    def reset(self) -> None:
        """Forget the face."""
