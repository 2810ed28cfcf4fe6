"""Every species stays within its limits, and does over time what its kind can and cannot do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.camera import CameraInfo, Emitter, FrameSet
from hil.artefacts.instrument import HOLD, ArtefactError, Attacker, Hold, Limit, Limits, Species
from hil.artefacts.sheet import portrait
from hil.artefacts.silicone_mask import passed_on
from hil.artefacts.species import SPECIES
from hil.artefacts.streams import STREAMS, Stream
from hil.artefacts.warp import animated
from hil.people import Head
from hil.people.actor import NEUTRAL, Actor, Expression
from hil.people.living import Prompt, Timeline
from hil.sensor.capture import render
from hil.sensor.material import PAPER, SILICONE
from hil.sensor.scene import Performance, Placed, Pose, Scene
from hil.sensor.surface import Surface

STILL = {"unsteady": 0.0}
SMILE_MM = 6.0


class Model(Actor):
    """A head whose mouth corners go out by `SMILE_MM` at a full smile, and whose lids dim its eyes."""

    def __init__(self, name: str, rest: Head) -> None:
        self.name = name
        self._rest = rest

    def head(self, expression: Expression) -> Head:
        vertices = self._rest.vertices_mm.copy()
        for corner in self._rest.landmarks[3:]:
            near = np.linalg.norm(vertices - corner, axis=1) < 12
            vertices[near, 0] += np.sign(corner[0]) * SMILE_MM * expression.smile
        for eye in self._rest.landmarks[:2]:
            near = np.linalg.norm(vertices - eye, axis=1) < 8
            vertices[near, 2] -= 2 * expression.blink_left
        return replace(self._rest, vertices_mm=vertices)

    def surfaces(self, expression: Expression) -> tuple[Surface, ...]:
        return (self.head(expression),)


@pytest.fixture(scope="module")
def victim(person: Head) -> Model:
    return Model("victim", person)


@pytest.fixture(scope="module")
def wearer(person: Head) -> Model:
    wider = replace(person, vertices_mm=person.vertices_mm * np.array([1.05, 1, 1], np.float32))
    return Model("wearer", replace(wider, albedo=np.full((8, 8), 0.5, np.float32)))


@pytest.fixture
def smiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever acts is at rest at 0 s and smiles and blinks in full at 1 s."""

    def at(self: Timeline, time_s: float) -> tuple[Expression, Pose]:
        return Expression(smile=time_s, blink_left=time_s, blink_right=time_s), Pose(z_mm=0)

    monkeypatch.setattr(Timeline, "at", at)


def perform(name: str, victim: Model, wearer: Model, **parameters: float) -> Performance:
    return SPECIES[name].perform(victim, Attacker(1, wearer), **parameters)


def picture(placed: tuple[Placed, ...]) -> np.ndarray:
    return render(Scene(placed), np.random.default_rng(0))[0].astype(np.float32)


def within(limit: Limit) -> st.SearchStrategy[float]:
    if limit.whole:
        return st.integers(int(limit.low), int(limit.high)).map(float)
    return st.floats(limit.low, limit.high)


@pytest.mark.parametrize("name", SPECIES)
def test_within_its_limits_an_instrument_is_always_something_a_sensor_can_see(
    name: str, victim: Model, wearer: Model
) -> None:
    @settings(max_examples=5, deadline=None, database=None, derandomize=True)
    @given(st.fixed_dictionaries({key: within(limit) for key, limit in SPECIES[name].parameters.items()}))
    def holds(parameters: dict[str, float]) -> None:
        for placed in perform(name, victim, wearer, **parameters)(0.7):
            surface = placed.surface
            count = len(surface.vertices_mm)
            assert np.isfinite(surface.vertices_mm).all()
            assert surface.faces.min() >= 0
            assert surface.faces.max() < count
            assert len(surface.normals) == len(surface.uv) == len(surface.gloss) == count
            assert surface.albedo.dtype == np.float32
            assert surface.albedo.min() >= 0
            assert surface.albedo.max() <= 0.95
            assert 0 <= surface.gloss.min() <= surface.gloss.max() <= 1
            assert placed.in_camera()[0][:, 2].min() > 60, "in front of the lens"

    holds()


@pytest.mark.parametrize("name", SPECIES)
def test_the_same_seed_makes_the_same_instrument(name: str, victim: Model, wearer: Model) -> None:
    for one, other in zip(perform(name, victim, wearer)(0.3), perform(name, victim, wearer)(0.3), strict=True):
        assert one.pose == other.pose
        assert np.array_equal(one.surface.vertices_mm, other.surface.vertices_mm)
        assert np.array_equal(one.surface.albedo, other.surface.albedo)


@pytest.mark.parametrize("name", SPECIES)
def test_what_is_physically_impossible_is_refused(name: str, victim: Model, wearer: Model) -> None:
    for key, limit in SPECIES[name].parameters.items():
        for value in (limit.low - 0.01, limit.high + 0.01, float("nan")):
            with pytest.raises(ArtefactError, match=key):
                perform(name, victim, wearer, **{key: value})
    with pytest.raises(ArtefactError, match="no parameter magic"):
        perform(name, victim, wearer, magic=1)


@pytest.mark.parametrize("name", SPECIES)
def test_every_species_says_what_it_takes_and_what_is_not_modelled(name: str) -> None:
    species = SPECIES[name]
    assert species.name == name
    assert species.access
    assert species.not_modelled
    assert 0 <= species.cost_eur[0] < species.cost_eur[1]
    assert species.kind == ("partial" if name in ("cutout_print", "rigid_mask") else "complete")
    assert species.parameters.keys() >= HOLD.keys()


@pytest.mark.parametrize("name", [name for name, species in SPECIES.items() if species.worn])
def test_a_worn_instrument_needs_a_wearer(name: str, victim: Model) -> None:
    with pytest.raises(ArtefactError, match="wearer"):
        SPECIES[name].perform(victim, 1)


def test_a_face_in_toner_stays_and_a_face_in_dye_vanishes(victim: Model, wearer: Model) -> None:
    contrast = {}
    for name in ("flat_print_toner", "flat_print_dye"):
        face = picture(perform(name, victim, wearer, **STILL)(0))[200:330, 270:370]
        contrast[name] = face.std() / face.mean()
    assert contrast["flat_print_toner"] > 4 * contrast["flat_print_dye"]
    assert contrast["flat_print_dye"] < 0.06


@pytest.mark.parametrize("name", ["flat_print_toner", "bent_print", "animated_photo"])
def test_a_print_shows_the_face_where_the_victim_has_it(name: str, victim: Model, wearer: Model) -> None:
    """Life size at the same place: the print's picture and the living face's fit best unmoved."""
    flat = {"radius_mm": 200.0} if name == "bent_print" else {}
    own = picture((Placed(victim.head(NEUTRAL), Pose()),))[200:320, 265:375].ravel()
    shown = picture(perform(name, victim, wearer, **STILL, **flat)(0))
    fits = {
        (down, right): np.corrcoef(own, shown[200 + down : 320 + down, 265 + right : 375 + right].ravel())[0, 1]
        for down in (-5, 0, 5)
        for right in (-5, 0, 5)
    }
    assert max(fits, key=lambda shift: fits[shift]) == (0, 0)


@pytest.mark.usefixtures("smiling")
@pytest.mark.parametrize(
    "name",
    [
        "flat_print_toner", "flat_print_dye", "bent_print", "folded_print", "touched_print", "glossy_print",
        "lcd_replay", "oled_replay", "mannequin", "printed_head_painted", "printed_head_bare",
        "printed_head_translucent",
    ],
)  # fmt: skip
def test_a_rigid_thing_does_not_deform_when_a_smile_is_asked_for(name: str, victim: Model, wearer: Model) -> None:
    show = perform(name, victim, wearer, **STILL)
    for before, after in zip(show(0), show(1), strict=True):
        assert np.array_equal(before.surface.vertices_mm, after.surface.vertices_mm)
        assert np.array_equal(before.surface.albedo, after.surface.albedo)


@pytest.mark.usefixtures("smiling")
@pytest.mark.parametrize("name", ["cutout_print", "rigid_mask"])
def test_a_worn_mask_has_living_eyes_and_a_dead_mouth(name: str, victim: Model, wearer: Model) -> None:
    show = perform(name, victim, wearer, **STILL)
    (mask, behind), (later, moved) = show(0), show(1)
    assert mask.surface is later.surface
    eyes = np.min(
        [np.linalg.norm(behind.surface.vertices_mm - eye, axis=1) for eye in wearer.head(NEUTRAL).landmarks[:2]], axis=0
    )
    motion = np.linalg.norm(moved.surface.vertices_mm - behind.surface.vertices_mm, axis=1)
    assert motion[eyes < 6].max() > 1
    difference = np.abs(picture(show(1)) - picture(show(0)))
    assert difference[325:345, 300:340].mean() < 3, "noise only: the wearer's smile is behind the mask"


@pytest.mark.parametrize("name", ["cutout_print", "rigid_mask"])
def test_nothing_of_the_wearer_pierces_a_worn_mask(name: str, victim: Model, wearer: Model) -> None:
    shown = picture(perform(name, victim, wearer, **STILL)(0))
    alone = picture(perform(name, victim, wearer, **STILL)(0)[:1])
    mouth_and_cheeks = (slice(275, 335), slice(285, 355))
    assert np.abs(shown - alone)[mouth_and_cheeks].mean() < 6


@pytest.mark.usefixtures("smiling")
@pytest.mark.parametrize("transfer", [0.0, 0.35, 0.9])
def test_silicone_passes_on_the_share_of_motion_it_says(transfer: float, victim: Model, wearer: Model) -> None:
    show = perform("silicone_mask", victim, wearer, transfer=transfer, scale=1.0, **STILL)
    (before,), (after,) = show(0), show(1)
    assert before.surface.material is SILICONE
    corner = np.linalg.norm(victim.head(NEUTRAL).vertices_mm - victim.head(NEUTRAL).landmarks[4], axis=1) < 5
    motion = np.abs((after.surface.vertices_mm - before.surface.vertices_mm)[corner, 0])
    assert motion.max() == pytest.approx(transfer * SMILE_MM, abs=1e-3)


def test_a_head_turned_on_request_turns_as_far_on_a_tripod_as_in_an_unsteady_hand() -> None:
    seed = next(s for s in range(50) if not Timeline(s, (Prompt("turn_left", 0.0),)).answers[0].refused)
    attacker = Attacker(seed, None, (Prompt("turn_left", 0.0),))
    answer = Timeline(seed, attacker.prompts).answers[0]
    turned = answer.begins_s + answer.onset_s
    yaw = attacker.act(Hold(unsteady=0), turned)[1].yaw_deg - attacker.act(Hold(unsteady=0), 0)[1].yaw_deg
    assert yaw == pytest.approx(answer.amount)
    swaying = Attacker(seed).act(Hold(unsteady=3), turned)[1].yaw_deg
    assert attacker.act(Hold(unsteady=3), turned)[1].yaw_deg == pytest.approx(swaying + answer.amount)


def test_lids_and_gaze_behind_silicone_are_living() -> None:
    living = Expression(smile=1, blink_left=1, gaze_yaw_deg=5)
    assert passed_on(living, 0.5) == Expression(smile=0.5, blink_left=1, gaze_yaw_deg=5)


@pytest.mark.usefixtures("smiling")
def test_an_animated_photo_moves_in_the_picture_and_not_in_space(victim: Model, wearer: Model) -> None:
    show = perform("animated_photo", victim, wearer, **STILL)
    (before,), (after,) = show(0), show(1)
    assert np.array_equal(before.surface.vertices_mm, after.surface.vertices_mm)
    assert np.abs(before.surface.albedo - after.surface.albedo).max() > 0.05
    assert before.surface.material is PAPER


def test_an_ordinary_screen_shows_nothing_of_an_animated_photo_in_the_near_infrared(
    victim: Model, wearer: Model
) -> None:
    (placed,) = perform("animated_photo", victim, wearer, contrast=0.0)(0)
    assert np.ptp(placed.surface.albedo) == 0


def test_a_photo_at_rest_is_the_photo(victim: Model) -> None:
    photo = portrait(victim, np.random.default_rng(0))
    points = np.array([[350, 420], [500, 420], [430, 480], [380, 560], [480, 560]], np.float32)
    np.testing.assert_allclose(animated(photo, points, NEUTRAL), photo, atol=1e-6)


def test_a_closed_lid_and_an_open_mouth_change_the_photo_there_only() -> None:
    photo = np.random.default_rng(0).random((300, 240), dtype=np.float32)
    points = np.array([[80, 100], [160, 100], [120, 140], [95, 180], [145, 180]], np.float32)
    blink = np.abs(animated(photo, points, Expression(blink_right=1)) - photo)
    assert blink[95:105, 70:90].mean() > 0.1
    assert blink[:, 120:].max() < 1e-5
    mouth = animated(photo, points, Expression(mouth_open=1))
    assert mouth[185:195, 115:125].max() < 0.06
    assert np.abs(mouth - photo)[:150].max() < 1e-5


def lit(frames: list[FrameSet], levels: list[float], serial: str) -> list[FrameSet]:
    """`frames` as taken at these flood levels by the camera `serial`."""
    taken = []
    for frame, level in zip(frames, levels, strict=True):
        assert frame.ambient is not None
        ir = np.clip(frame.ambient + level * (frame.ir.astype(np.float32) - frame.ambient), 0, 255).astype(np.uint8)
        emitter = Emitter(flood=level, dots=1.0, code_index=frame.sequence)
        taken.append(replace(frame, ir=ir, emitter=emitter, camera=CameraInfo(serial, "1", "x", True)))
    return taken


LIVE_LEVELS = [1.0, 0.6, 0.6, 1.0, 0.6, 1.0, 1.0, 0.6]


@pytest.fixture
def past(synthetic_frames: Callable[[int], list[FrameSet]]) -> list[FrameSet]:
    return lit(synthetic_frames(8), [1.0] * 8, "PAST")


@pytest.fixture
def live(synthetic_frames: Callable[[int], list[FrameSet]]) -> list[FrameSet]:
    later = [replace(f, sequence=f.sequence + 900, timestamp_ns=f.timestamp_ns + 10**12) for f in synthetic_frames(8)]
    return lit(later, LIVE_LEVELS, "LIVE")


@pytest.mark.parametrize("name", STREAMS)
def test_an_injected_stream_is_current_by_its_own_account(
    name: str, past: list[FrameSet], live: list[FrameSet]
) -> None:
    frames = list(STREAMS[name].inject(past, live))
    assert [f.sequence for f in frames] == [f.sequence for f in live]
    assert [f.timestamp_ns for f in frames] == [f.timestamp_ns for f in live]
    with pytest.raises(ArtefactError):
        STREAMS[name].inject(past, live, magic=1)


def test_a_replayed_session_answers_an_old_code(past: list[FrameSet], live: list[FrameSet]) -> None:
    frames = list(STREAMS["replayed_session"].inject(past, live))
    assert all(np.array_equal(f.ir, old.ir) for f, old in zip(frames, past, strict=True))
    assert [f.emitter.flood for f in frames] == [1.0] * 8


def test_a_cloned_serial_claims_the_terminal_and_its_light_and_shows_neither(
    past: list[FrameSet], live: list[FrameSet]
) -> None:
    frames = list(STREAMS["cloned_serial"].inject(past, live))
    assert {f.camera.serial for f in frames} == {"LIVE"}
    assert [f.emitter.flood for f in frames] == LIVE_LEVELS
    assert all(np.array_equal(f.ir, old.ir) for f, old in zip(frames, past, strict=True))


def test_a_splice_takes_life_from_one_and_the_face_from_another(past: list[FrameSet], live: list[FrameSet]) -> None:
    frames = list(STREAMS["spliced"].inject(past, live, live_share=0.5, turns=2))
    own = [np.array_equal(f.ir, due.ir) and f.ir is due.ir for f, due in zip(frames, live, strict=True)]
    assert own == [True, True, False, False, True, True, False, False]


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_a_relit_recording_follows_the_light_at_its_delay(
    delay: int, past: list[FrameSet], live: list[FrameSet]
) -> None:
    frames = list(STREAMS["relit"].inject(past, live, delay_frames=delay))
    levels = []
    for frame, old in zip(frames, past, strict=True):
        assert old.ambient is not None
        flood = frame.ir.astype(np.float32) - old.ambient
        full = old.ir.astype(np.float32) - old.ambient
        levels.append(round(float(flood[full > 20].mean() / full[full > 20].mean()), 1))
    assert levels == [LIVE_LEVELS[max(0, n - delay)] for n in range(8)]


def test_a_delay_between_frames_is_none(past: list[FrameSet], live: list[FrameSet]) -> None:
    with pytest.raises(ArtefactError, match="whole"):
        STREAMS["relit"].inject(past, live, delay_frames=0.5)


def line(*cells: str) -> str:
    """One of docs/artefacts.md."""
    return f"| {' | '.join(cells)} |"


def made(thing: Species | Stream, parameters: Limits) -> tuple[str, ...]:
    """The cells that species and streams share: level, access, cost, limits."""
    limits = (f"{name} {limit.low:g}-{limit.high:g} {limit.unit}".strip() for name, limit in parameters.items())
    return thing.level, thing.access, f"{thing.cost_eur[0]}-{thing.cost_eur[1]}", "; ".join(limits) or "none"


def test_the_documentation_lists_every_species_and_stream_as_it_is() -> None:
    lines = {
        species.name: line(
            f"`{species.name}`",
            f"{species.kind}{', worn' if species.worn else ''}",
            *made(species, species.shape),
            species.not_modelled,
        )
        for species in SPECIES.values()
    } | {
        stream.name: line(
            f"`{stream.name}`", stream.does, *made(stream, stream.parameters), stream.stops, stream.not_modelled
        )
        for stream in STREAMS.values()
    }
    text = (Path(__file__).parents[2] / "docs" / "artefacts.md").read_text().splitlines()
    assert not [name for name, expected in lines.items() if expected not in text]
