"""Cue `eyes`: how much darker the eyes are than the cheeks, with shape and level divided out.

    value = log reflectance of the darkest tenth of the eye regions - median log reflectance of the cheeks

In the near infrared a pupil reflects almost nothing and an iris half of what skin does; lashes and lid edges are dark
too. A head of one colour has no such darkness, whatever its relief; one painted on is told only where it is too weak;
holes cut around living eyes are darker than eyes alone, for their shadows.
Sources: pupil and iris in the near infrared, Daugman 2004; reflectance of skin, docs/sensor.md.
"""

import math

import numpy as np

from firmware.liveness.cues.ground import Ground

EYE_MM = (13.0, 6.0)  # half width and height of an eye region: the opening of the lids and a little more
DARKEST = 10.0  # percentile
CHEEK_MM = 12.0
LEAST_CELLS = 8


def eyes(ground: Ground) -> float:
    """Mean over both eyes, in nats, below 0 if darker; one eye where only one is known; NaN without cheeks or eyes."""
    reflectance = ground.reflectance
    known = np.isfinite(reflectance)
    cheeks, sockets = [], []
    for eye, corner in zip(ground.eyes_px, ground.mouth_px, strict=True):
        across, down = ground.about((eye + corner) / 2)
        cheeks.append(reflectance[known & (np.hypot(across, down) < CHEEK_MM)])
        across, down = ground.about(eye)
        socket = reflectance[known & (np.abs(across) < EYE_MM[0]) & (np.abs(down) < EYE_MM[1])]
        if len(socket) >= LEAST_CELLS:
            sockets.append(float(np.percentile(socket, DARKEST)))
    cheek = np.concatenate(cheeks)
    if len(cheek) < LEAST_CELLS or not sockets:
        return math.nan
    return float(np.mean(sockets) - np.median(cheek))
