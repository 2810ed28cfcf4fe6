"""What is kept of an enrolled person: up to three unit vectors of each modality, in one array of fixed layout.

    (2, 3, 128) float32:  [modality, view, component]
    modality 0 infrared, 1 depth;  view 0 front, 1 left, 2 right;  a missing template is all zeros

Of the five guided poses, `front`, `up` and `down` make one template, the mean of their unit vectors: a nod hides
nothing of a face from the camera and the mean is steadier than one picture. `left` and `right` each make one of their
own: a turned face shows a side that the others do not, in infrared and still more in depth, where the far side is a
hole. A probe is compared with all three and the best counts; calibrations are made by the same rule.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from firmware.vision.embed import EMBEDDING_SIZE, MODALITIES, Embedded

VIEWS = {"front": ("front", "up", "down"), "left": ("left",), "right": ("right",)}
"""View: the poses that make it."""
TEMPLATE_SHAPE = (len(MODALITIES), len(VIEWS), EMBEDDING_SIZE)
UNIT_TOLERANCE = 1e-3

Templates = NDArray[np.float32]


class TemplateError(Exception):
    """What should be templates is not."""


def make_templates(poses: Mapping[str, Embedded]) -> Templates:
    """(2, 3, 128) float32 templates of what was seen in each pose, by name. Raises TemplateError."""
    made = np.zeros(TEMPLATE_SHAPE, np.float32)
    for i, modality in enumerate(MODALITIES):
        for j, names in enumerate(VIEWS.values()):
            seen = [vector for name in names if name in poses and (vector := poses[name].of(modality)) is not None]
            if seen:
                made[i, j] = unit(np.mean([unit(vector) for vector in seen], axis=0))
    return checked(made)


def checked(templates: Templates) -> Templates:
    """The same array. Raises TemplateError unless it has the layout above and holds at least one template."""
    if templates.shape != TEMPLATE_SHAPE or templates.dtype != np.float32:
        raise TemplateError(f"templates are {TEMPLATE_SHAPE} float32, not {templates.shape} {templates.dtype}")
    lengths = np.linalg.norm(templates, axis=2)
    if not (np.abs(lengths - 1) < UNIT_TOLERANCE)[lengths != 0].all():  # NaN is neither
        raise TemplateError("a template is neither of unit length nor missing")
    if not lengths.any():
        raise TemplateError("no template at all")
    return templates


def to_bytes(templates: Templates) -> bytes:
    """Little-endian, in the order of the layout. Raises TemplateError."""
    return checked(templates).astype("<f4").tobytes()


def from_bytes(raw: bytes) -> Templates:
    """A writable array, so that it can be zeroed. Raises TemplateError."""
    if len(raw) != int(np.prod(TEMPLATE_SHAPE)) * 4:
        raise TemplateError(f"{len(raw)} bytes are no templates")
    return checked(np.frombuffer(raw, "<f4").reshape(TEMPLATE_SHAPE).astype(np.float32))


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The (128,) float32 unit vector in the direction of `vector`. Raises TemplateError where it has none."""
    length = float(np.linalg.norm(vector))
    if vector.shape != (EMBEDDING_SIZE,) or not np.isfinite(length) or length < 1e-6:
        raise TemplateError(f"embedding of shape {vector.shape} and length {length} cannot be compared")
    return (vector / np.float32(length)).astype(np.float32)
