"""Which of two frames has dots, and which of two others is flood-lit: by the pictures, never by metadata.

A D4xx with `emitter_on_off` throws dots in every second frame. Its metadata says which, inverted on some set-ups
(librealsense #6191, #14260, realsense-ros #3040), so nothing here reads it.

Dots are bright spots wider apart than they are wide. Passed through a band filter, the difference of two frames has
within almost every block of 16 pixels a peak much higher than its deepest hollow if the first has the dots, and the
reverse if the second has. Each block has one vote. What stands before the camera, beard and pattern included, is in
both frames and goes; what moved leaves ridges and hollows alike, and noise votes both ways. Measured on rendered
frames by `python -m hil.sensor.dots_or_off`.
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Verdict = Literal["first", "second", "both", "neither"]

BLOCK_PX = 16  # a D4xx throws some two dots into one at 640 x 480
_FINE_PX, _COARSE_PX = 1.0, 2.5  # a dot's own blur, and less than half the way to the next
_PEAK = 1.5  # times as high as the deepest hollow
_FAINT = 1.0  # grey levels: below this a block abstains
# Of two frames without dots the vote reached 0.48 and 5.8 sigma on the rendered frames this was set on; of a pair
# with dots it stayed above 0.66 and 6.8 but in full sun from 0.5 m on and with dots at a tenth.
_SHARE, _SIGMAS = 0.6, 6.0

# Grey levels by which the flood brightens the bright part of a picture. On rendered frames 7 and more, but 2 in full
# sun at 1 m; lamps that flicker made a difference of 5.5. Lamps that flicker by more can pass for a flood that is
# out: the gates then find too little light of ours.
_FLOOD_LEVELS = 6.0
_BRIGHT_PERCENTILE = 90.0
_LIT_LEVEL = 24.0  # an off frame as bright as this is lit by something; a guess


def which_has_dots(first: Image, second: Image) -> Verdict:
    """Say which of two successive (H, W) frames the dots are in; `both` or `neither` where the two look alike."""
    one, other = first.astype(np.float32), second.astype(np.float32)
    vote = _vote(one - other)
    if vote:
        return "first" if vote > 0 else "second"
    return "both" if _vote(one) > 0 and _vote(other) > 0 else "neither"


def is_flood_lit(image: Image, beside: Image) -> bool:
    """Whether (H, W) `image` has light that `beside`, the other frame without dots, has not."""
    before, after = _brightness(beside), _brightness(image)
    return float(np.percentile(after - before, _BRIGHT_PERCENTILE)) > _FLOOD_LEVELS


def is_lit(image: Image) -> bool:
    """Whether an (H, W) frame is lit at all, by whatever."""
    return float(np.percentile(_brightness(image), _BRIGHT_PERCENTILE)) > _LIT_LEVEL


def _vote(picture: NDArray[np.float32]) -> int:
    """1 where bright spots prevail in (H, W), -1 where dark ones do, 0 undecided."""
    band = cv2.GaussianBlur(picture, (0, 0), _FINE_PX) - cv2.GaussianBlur(picture, (0, 0), _COARSE_PX)
    blocks = _blocks(band)
    peak, hollow = blocks.max(2), -blocks.min(2)
    clear = np.maximum(peak, hollow) > _FAINT
    bright = int((clear & (peak > _PEAK * hollow)).sum())
    dark = int((clear & (hollow > _PEAK * peak)).sum())
    votes, lead = bright + dark, bright - dark
    if abs(lead) < _SHARE * votes or abs(lead) < _SIGMAS * votes**0.5:
        return 0
    return (lead > 0) - (lead < 0)


def _brightness(image: Image) -> NDArray[np.float32]:
    return np.asarray(_blocks(image.astype(np.float32)).mean(2))


def _blocks(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H // 16, W // 16, 256): whole blocks of (H, W), pixels last."""
    n = BLOCK_PX
    rows, columns = picture.shape[0] // n, picture.shape[1] // n
    cut = picture[: rows * n, : columns * n].reshape(rows, n, columns, n)
    return np.ascontiguousarray(cut.transpose(0, 2, 1, 3)).reshape(rows, columns, n * n)
