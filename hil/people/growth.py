"""Size and proportion of a growing head, for a generator whose data are adults only.

Interpupillary distance of boys and girls: MacLachlan and Howland, Ophthalmic Physiol Opt 2002;22:175-182, second-order
regressions over 1311 subjects of up to 19 years. The brain-case grows less after four years than the face does: head
circumference 50.5 cm at four against 56 grown (WHO and Nellhaus charts), so forehead and back of the head shrink less.
"""

import numpy as np

from hil.people.sliders import GROWN_AGE
from hil.sensor.surface import F32

CASE_AT_FOUR = 0.90


def eye_distance_mm(age_years: float, male: float) -> float:
    """Mean distance of the pupils at `age_years`, up to grown."""
    age = min(age_years, GROWN_AGE)
    boy, girl = 43.36 + 1.663 * age - 0.034 * age**2, 41.76 + 1.891 * age - 0.052 * age**2
    return float(boy * male + girl * (1 - male))


def grown_to(vertices_mm: F32, age_years: float, male: float) -> tuple[F32, float]:
    """An adult's head (V, 3), origin between the eyes, as at `age_years`; and the size of its face, 1 if grown."""
    face = eye_distance_mm(age_years, male) / eye_distance_mm(GROWN_AGE, male)
    case = float(np.interp(age_years, (4.0, GROWN_AGE), (CASE_AT_FOUR, 1.0)))
    above = np.clip((-vertices_mm[:, 1] - 10) / 70, 0, 1)
    behind = np.clip((vertices_mm[:, 2] - 40) / 70, 0, 1) * np.clip((90 - vertices_mm[:, 1]) / 60, 0, 1)
    share = np.maximum(above, behind)
    share = share * share * (3 - 2 * share)
    scale = face + (case - face) * share
    return np.asarray(vertices_mm * scale[:, None], np.float32), face
