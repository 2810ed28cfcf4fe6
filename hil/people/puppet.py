"""An actor made of one mesh: the face at rest, what each movement adds to it, eyes that turn, and things worn.

Only what moves is touched, and normals come from a compiled loop, so an expression costs a few milliseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hil.people.actor import NEUTRAL, Actor, Expression
from hil.people.atlas import Atlas
from hil.people.head import NECK_PIVOT_MM, Head
from hil.people.units import Offsets
from hil.sensor.jit import compiled
from hil.sensor.rasteriser import fill
from hil.sensor.scene import Pose
from hil.sensor.surface import F32, I32, Surface


@dataclass(frozen=True, eq=False)
class Mesh:
    """What all people of one generator share.

    Attributes:
        faces: (F, 3) int32 over the mesh's vertices (V).
        layout: the same mesh with texture, some vertices doubled.
        movements: what each movement adds.
        eyes: vertices of the right and of the left eyeball; empty for a scan, whose eyes are one with its skin.
        lids: vertices of each eye's lids, kept in front of the eyeball.
        landmarks: (5,) int32 vertices.
        web: (F,) bool, triangles that join the lips of a scan, left out while the mouth is open; or None.
    """

    faces: I32
    layout: Atlas
    movements: dict[str, Offsets]
    eyes: tuple[I32, ...]
    lids: tuple[I32, ...]
    landmarks: I32
    web: np.typing.NDArray[np.bool_] | None = None


BLINKS = ("blink_right", "blink_left")
CLOSING = tuple(float(amount) for amount in np.arange(0.4, 1.61, 0.05))
SHUT = 0.03  # of the open eye's area may still show, in its corner
NEAR_EYE_MM = 26.0
OPEN = 0.05  # of `mouth_open` or `lips_round`: from here on the lips are apart


@dataclass(frozen=True, eq=False)
class Body:
    """One person on a `Mesh`.

    Attributes:
        rest: (V, 3) float32 mm, origin between the eyes.
        albedo: (T, T) float32 texture.
        gloss: (V,) float32.
        size: of the movements, 1 for an adult.
    """

    rest: F32
    albedo: F32
    gloss: F32
    size: float


class Worn:
    """Something on a head: a surface at rest, and the vertices of the head that carry each of its own.

    Args:
        surface: in the head's coordinates.
        carriers: (V, k) int32 vertices of the head whose mean motion moves each vertex, or None if nothing does.
    """

    def __init__(self, surface: Surface, carriers: I32 | None = None) -> None:
        self.surface = surface
        self.carriers = carriers

    def carried(self, motion: F32) -> Surface:
        """The surface after the head's vertices moved by `motion` (V, 3) mm."""
        if self.carriers is None:
            return self.surface
        vertices = self.surface.vertices_mm + motion[self.carriers].mean(axis=1)
        return replace(self.surface, vertices_mm=vertices, normals=fast_normals(vertices, self.surface.faces))


class Puppet(Actor):
    """A `Body` on its `Mesh`. `dress` makes what is worn, from the head at rest."""

    def __init__(self, name: str, mesh: Mesh, body: Body, dress: Callable[[Head], tuple[Worn, ...]]) -> None:
        self.name = name
        self._mesh = mesh
        self._body = body
        self._gloss = body.gloss[mesh.layout.source]
        self._apart = None if mesh.web is None else np.ascontiguousarray(mesh.layout.faces[~mesh.web])
        self._eyes = tuple(_Eye(body.rest, eye) for eye in mesh.eyes)
        self._closing = {
            blink: self._closes(blink, eye, lids)
            for blink, eye, lids in zip(BLINKS, self._eyes, mesh.lids, strict=False)
        }
        self._worn = dress(self.head(NEUTRAL))

    def head(self, expression: Expression) -> Head:
        """See `Actor.head`."""
        return self._head(self._vertices(expression), expression)

    def surfaces(self, expression: Expression) -> tuple[Surface, ...]:
        """See `Actor.surfaces`."""
        vertices = self._vertices(expression)
        motion = (vertices - self._body.rest)[self._mesh.layout.source]
        return (self._head(vertices, expression), *(piece.carried(motion) for piece in self._worn))

    def _vertices(self, expression: Expression) -> F32:
        vertices = self._body.rest.copy()
        for name, weight in expression.weights().items():
            moved, offsets = self._mesh.movements[name]
            vertices[moved] += offsets * np.float32(weight * self._body.size * self._closing.get(name, 1.0))
        if expression.gaze_yaw_deg or expression.gaze_pitch_deg:
            turn = Pose(yaw_deg=expression.gaze_yaw_deg, pitch_deg=expression.gaze_pitch_deg).rotation()
            for eye in self._eyes:
                vertices[eye.vertices] = eye.centred @ turn.T + eye.centre
        for eye, lids, blink in zip(self._eyes, self._mesh.lids, BLINKS, strict=False):
            if closed := getattr(expression, blink):
                eye.uncover(vertices, lids, closed)
        return vertices

    def _closes(self, blink: str, eye: "_Eye", lids: I32) -> float:
        """How much of the mesh's own blink it takes until nothing of this person's eyeball shows."""
        near = np.linalg.norm(self._body.rest - eye.centre, axis=1) < NEAR_EYE_MM
        faces = self._mesh.faces[near[self._mesh.faces].all(axis=1)]
        ball = np.isin(faces[:, 0], eye.vertices)
        moved, offsets = self._mesh.movements[blink]
        seen = []
        for amount in (0.0, *CLOSING):
            vertices = self._body.rest.copy()
            vertices[moved] += offsets * np.float32(amount * self._body.size)
            eye.uncover(vertices, lids, min(amount, 1.0))
            seen.append(_pixels_of(vertices - eye.centre, faces[~ball], faces[ball]))
        shut = np.array(seen[1:]) <= max(SHUT * seen[0], 1.1 * min(seen[1:]))
        return float(CLOSING[int(shut.argmax())])

    def _head(self, vertices: F32, expression: Expression) -> Head:
        layout = self._mesh.layout
        opened = expression.mouth_open > OPEN or expression.lips_round > OPEN
        return Head(
            vertices_mm=vertices[layout.source],
            normals=fast_normals(vertices, self._mesh.faces)[layout.source],
            faces=self._apart if opened and self._apart is not None else layout.faces,
            uv=layout.uv,
            albedo=self._body.albedo,
            gloss=self._gloss,
            pivot_mm=NECK_PIVOT_MM,
            landmarks=vertices[self._mesh.landmarks],
        )


LID_MM = 0.6  # a lid's inner side stays this far off the eyeball


class _Eye:
    """An eyeball: it turns about its centre, and a lid that slides over it stays outside."""

    def __init__(self, rest: F32, vertices: I32) -> None:
        self.vertices = vertices
        low, high = rest[vertices].min(axis=0), rest[vertices].max(axis=0)
        # the front bulges, so the centre is taken from the width
        self.radius = np.float32((high[0] - low[0]) / 2)
        self.centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[2] - self.radius], np.float32)
        self.centred = rest[vertices] - self.centre
        self.reach = np.float32(np.linalg.norm(self.centred, axis=1).max() + LID_MM)

    def uncover(self, vertices: F32, lids: I32, closed: float) -> None:
        """Push the `lids` out of the eyeball, in place: wholly when `closed` is 1, so that a lid moves smoothly."""
        outward = vertices[lids] - self.centre
        distance = np.linalg.norm(outward, axis=1, keepdims=True)
        inside = (distance < self.reach) & (outward[:, 2:] < 0)
        push = outward * (self.reach / np.maximum(distance, 1e-3) - 1)
        vertices[lids] += np.where(inside, push * np.float32(min(closed, 1.0)), 0)


def _pixels_of(vertices: F32, before: I32, behind: I32) -> int:
    """How many pixels of 0.5 mm the triangles `behind` show through the triangles `before`, seen from the front."""
    side = int(4 * NEAR_EYE_MM)
    image = np.stack(
        [2 * (vertices[:, 0] + NEAR_EYE_MM), 2 * (vertices[:, 1] + NEAR_EYE_MM), 500 - vertices[:, 2]], axis=1
    )
    nearest, owner = np.zeros((side, side), np.float32), np.full((side, side), -1, np.int32)
    triangle = np.empty((side, side), np.int32)
    for index, faces in enumerate((before, behind)):
        fill(image.astype(np.float32), np.ascontiguousarray(faces), index, nearest, owner, triangle)
    return int((owner == 1).sum())


def fast_normals(vertices: F32, faces: I32) -> F32:
    """As `vertex_normals`, in a compiled loop and single precision."""
    normals = np.zeros_like(vertices)
    _sum_normals(vertices, faces, normals)
    return normals


@compiled
def _sum_normals(vertices: F32, faces: I32, normals: F32) -> None:
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in range(3):
            v = faces[t, k]
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(normals.shape[0]):
        squared = normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2
        unit = np.float32(1) / max(np.sqrt(squared), np.float32(1e-9))
        normals[v, 0] *= unit
        normals[v, 1] *= unit
        normals[v, 2] *= unit
