"""Whether whoever stands there has their eyes open and looks towards the terminal: consent, not life.

A photograph looks at the camera for ever and holes in a mask have living eyes: this gate speaks against neither. It
keeps a sleeper's face, and one that is held up from aside, from paying.

Rules kept here:
- Over the last second most frames must show an open eye that looks here, and the newest must be one of them.
- One eye is enough: some people cannot open the other.
- A blink, a glance aside or eyes that could not be read are waited for, and never pass. After half a second of that the
  reason says what to do; it is nobody's attack.
"""

import math
from collections import deque
from typing import Final

import numpy as np

from drivers.camera import FrameSet
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.limits import Limits
from firmware.vision.eyes import Eyes

WINDOW_NS: Final = 1_000_000_000
LEAST_FRAMES: Final = 3
"""In the window before anything is said."""
REMEMBERED: Final = 128
"""Frames, at most: a second of any camera of the class."""
SHARE: Final = 0.5
"""Of the frames in the window. A blink lasts a fifth to a third of a second (hil/people/living.toml)."""


class Attention:
    """The last second of one capture's eyes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen: deque[tuple[int, bool]] = deque(maxlen=REMEMBERED)

    def reset(self) -> None:
        """Begin anew: another capture, or another face."""
        self._seen.clear()

    def check(self, frames: FrameSet, eyes: Eyes) -> Gate:
        """Take one frame. `value`: share of the last second's frames with an open eye that looks here, 0..1."""
        now = frames.timestamp_ns
        if self._seen and not 0 < now - self._seen[-1][0] <= WINDOW_NS:
            self.reset()
        attentive = looks_here(eyes, self._limits)
        self._seen.append((now, attentive))
        while now - self._seen[0][0] > WINDOW_NS:
            self._seen.popleft()
        share = sum(open_here for _, open_here in self._seen) / len(self._seen)
        enough = len(self._seen) >= LEAST_FRAMES and share > SHARE
        passed = attentive and enough
        reason = "" if passed else "not_attentive" if self.missed else PENDING
        return Gate("attentive", share, f"> {SHARE:g} of the last second", passed, reason)

    @property
    def missed(self) -> bool:
        """Whether nothing attentive was seen for half a second, longer than a blink: time to ask for it."""
        if not self._seen:
            return False
        since = max((time for time, attentive in self._seen if attentive), default=self._seen[0][0])
        return len(self._seen) >= LEAST_FRAMES and self._seen[-1][0] - since >= WINDOW_NS // 2


def looks_here(eyes: Eyes, limits: Limits) -> bool:
    """Whether at least one eye is open, has an iris, and looks towards the terminal."""
    known = np.isfinite(eyes.open) & np.isfinite(eyes.contrast)
    is_open = known & (eyes.open >= limits.eye_open_min) & (eyes.contrast >= limits.iris_contrast_min)
    if not is_open.any():
        return False
    # both eyes look at one thing: their mean scatters less
    yaw, pitch = (float(np.mean(angle[is_open])) for angle in (eyes.yaw_deg, eyes.pitch_deg))
    return math.hypot(yaw, pitch) <= limits.gaze_max_deg
