"""Rendered recordings play, say that they are simulated, and carry code, prompts and ground truth."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from drivers.camera import FrameSet
from drivers.camera.recording import RecordingCamera, RecordingReader, Truth, read_session, read_truth
from drivers.camera.recording.session import Code, Note, Prompt
from firmware.liveness.code import LEVELS, SYMBOLS
from hil.artefacts.finish import skin_tone
from hil.people import Head, PeopleError, virtual_person
from hil.people.actor import NEUTRAL, Expression
from hil.people.names import find
from hil.people.scan import SKIN_ALBEDO
from hil.rig.commands import rig
from hil.rig.mesh import load_scan, read_obj
from hil.rig.render import code_of, render
from hil.rig.scenario import take_of

SHORT = {"person": "makehuman-3", "seconds": 0.2, "fps": 15.0, "seed": 5}


def made(path: Path, **values: object) -> tuple[list[FrameSet], dict[int, Truth]]:
    take = take_of(out=path.name, **{**SHORT, **values})
    assert list(render(take, path)) == list(range(1, take.frames + 1))
    camera = RecordingCamera(path)
    camera.start()
    frames = list(camera.frames())
    camera.close()
    return frames, read_truth(path)


def test_a_bona_fide_recording_plays_and_says_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    frames, truth = made(path, prompts=[{"kind": "smile", "at_s": 0.1}])
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert frames[0].camera.firmware == "simulated"
    assert all(frame.ambient is not None and frame.dots is not None for frame in frames)
    events = read_session(path)
    (note,) = [event for event in events if isinstance(event, Note)]
    assert note.text.startswith("SIMULATED")
    (code,) = [event for event in events if isinstance(event, Code)]
    assert code.levels == code_of(5, 3) == tuple(frame.emitter.flood for frame in frames)
    assert set(code.levels) <= set(LEVELS)
    (prompt,) = [event for event in events if isinstance(event, Prompt)]
    assert (prompt.prompt, prompt.at_ns) == ("smile", frames[0].timestamp_ns + 100_000_000)
    assert truth[1].artefact is None
    assert truth[1].person == "makehuman-3"
    assert truth[1].seed == 5


def test_landmarks_of_the_ground_truth_lie_on_the_measured_face(tmp_path: Path) -> None:
    frames, truth = made(tmp_path / "a.mcap", parameters={"yaw_deg": 10.0})
    for frame in frames:
        x, y, z = truth[frame.sequence].landmarks_mm["nose_tip"]
        k = frame.intrinsics
        column, row = round(k.fx * x / z + k.cx), round(k.fy * y / z + k.cy)
        measured = np.nanmedian(frame.depth_mm[row - 3 : row + 4, column - 3 : column + 4])
        assert measured == pytest.approx(z, abs=5)


def test_code_of_a_long_take_is_one_draw_after_the_other() -> None:
    levels = code_of(5, 3 * SYMBOLS)
    assert set(levels) == set(LEVELS)
    assert levels[:SYMBOLS] == code_of(5, SYMBOLS) != levels[SYMBOLS : 2 * SYMBOLS]


def test_the_same_take_gives_the_same_frames(tmp_path: Path) -> None:
    one, _ = made(tmp_path / "a.mcap", artefact="animated_photo")
    other, _ = made(tmp_path / "b.mcap", artefact="animated_photo")
    for first, second in zip(one, other, strict=True):
        assert np.array_equal(first.ir, second.ir)
        assert np.array_equal(first.depth_mm, second.depth_mm, equal_nan=True)


def test_an_artefact_is_named_with_every_parameter(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    _, truth = made(path, artefact="rigid_mask", wearer="makehuman-4", parameters={"paint": 0.5})
    assert truth[0].artefact == "rigid_mask"
    assert truth[0].parameters["paint"] == 0.5
    assert truth[0].parameters["eye_hole_mm"] == 14
    assert truth[0].parameters["wearer"] == "makehuman-4"
    assert truth[0].position_mm is not None
    assert any("not modelled" in event.text for event in read_session(path) if isinstance(event, Note))


def test_a_relit_recording_claims_the_code_and_follows_it_late(tmp_path: Path) -> None:
    frames, truth = made(tmp_path / "a.mcap", artefact="relit", seconds=0.6, parameters={"delay_frames": 1})
    levels = code_of(5, 9)
    assert tuple(frame.emitter.flood for frame in frames) == levels
    seen = [float(frame.ir[180:300, 260:380].mean()) for frame in frames]
    assert np.corrcoef(seen[1:], levels[:-1])[0, 1] > 0.95
    assert np.corrcoef(seen, levels)[0, 1] < 0.7
    assert truth[0].artefact == "relit"


def test_the_real_scan_is_named_as_one_and_moves(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSERA_DATA", str(data_dir))
    path = tmp_path / "a.mcap"
    _, truth = made(path, person="james", seconds=0.1)
    assert truth[0].person == "james"
    with closing(RecordingReader(path)) as reader:
        reader.next_frame()
        assert "BSD-3-Clause" in reader.consent
    rest, smile = (find("james").head(Expression(smile=share)).vertices_mm for share in (0.0, 1.0))
    assert np.linalg.norm(smile - rest, axis=1).max() > 5


def test_a_made_up_person_is_nobody_real(tmp_path: Path) -> None:
    made(tmp_path / "a.mcap", seconds=0.1)
    with closing(RecordingReader(tmp_path / "a.mcap")) as reader:
        reader.next_frame()
        assert reader.consent == "simulated person makehuman-3; nobody real is in it"


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(b"precious")
    result = CliRunner().invoke(rig, ["render", "--person", "makehuman-3", "--seconds", "0.1", "--out", str(path)])
    assert result.exit_code != 0
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--person", "nobody"],
        ["--person", "makehuman-3", "--artefact", "magic"],
        ["--person", "makehuman-3", "--artefact", "bent_print", "--set", "radius_mm=10"],
        ["--person", "makehuman-3", "--set", "k"],
        ["--person", "makehuman-3", "--prompt", "smile"],
        ["--scenario", "nowhere.toml"],
    ],
)
def test_the_command_refuses_what_cannot_be_and_leaves_no_file(wrong: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(rig, ["render", *wrong, "--out", str(tmp_path / "a.mcap")])
    assert result.exit_code == 2
    assert not list(tmp_path.glob("*.mcap"))


def test_a_scenario_renders_all_its_takes(tmp_path: Path) -> None:
    scenario = tmp_path / "two.toml"
    take = "[[take]]\nout = '{}.mcap'\nperson = 'makehuman-3'\nseconds = 0.1\nartefact = '{}'\n"
    scenario.write_text("about = 'two'\n" + take.format("a", "none") + take.format("b", "flat_print_dye"))
    result = CliRunner().invoke(rig, ["render", "--scenario", str(scenario), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mcap", "b.mcap"]


def test_every_species_is_listed() -> None:
    result = CliRunner().invoke(rig, ["species"], env={"COLUMNS": "300"})
    assert result.exit_code == 0
    assert "rigid_mask" in result.output
    assert "relit" in result.output


@pytest.fixture(scope="module")
def obj(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Head, float], Path]:
    def write(head: Head, unit: float) -> Path:
        path = tmp_path_factory.mktemp("scan") / "head.obj"
        points = (head.vertices_mm * np.array([1, -1, -1]) + [40, 10, 0]) * unit
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points]
        lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in head.uv]
        lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in head.faces + 1]
        path.write_text("\n".join(lines))
        grey = np.clip(head.albedo * 255, 0, 255).astype(np.uint8)
        assert cv2.imwrite(str(path.with_suffix(".png")), np.stack([grey] * 3, axis=2))
        return path

    return write


@pytest.mark.usefixtures("models_dir")
@pytest.mark.parametrize("unit", [1.0, 0.001])
def test_a_scan_is_found_turned_and_brought_to_scale(obj: Callable[[Head, float], Path], unit: float) -> None:
    person = virtual_person(3)
    path = obj(person, unit)
    head = load_scan(path, path.with_suffix(".png")).head(NEUTRAL)
    assert np.linalg.norm(head.landmarks - person.landmarks, axis=1).max() < 12, "as near as the detector comes"
    spread, own = (np.linalg.norm(np.ptp(points, axis=0)) for points in (head.vertices_mm, person.vertices_mm))
    assert spread == pytest.approx(own, rel=0.05)
    np.testing.assert_allclose(head.landmarks[:2].mean(axis=0), 0, atol=1e-3)
    nearest = head.vertices_mm[np.argmin(head.vertices_mm[:, 2])]
    assert abs(nearest[0]) < 12, "the nose is in the middle"
    assert skin_tone(head) == pytest.approx(SKIN_ALBEDO, rel=0.02)


@pytest.mark.usefixtures("models_dir")
def test_a_scan_is_recorded_under_the_consent_given_and_not_without(
    obj: Callable[[Head, float], Path], tmp_path: Path
) -> None:
    path = obj(virtual_person(3), 1.0)
    command = ["render", "--scan", str(path), "--texture", str(path.with_suffix(".png")), "--seconds", "0.1"]
    command += ["--artefact", "printed_head_painted", "--out", str(tmp_path / "a.mcap")]
    assert CliRunner().invoke(rig, command).exit_code == 2
    assert CliRunner().invoke(rig, [*command, "--consent", "J. Doe, form 12"]).exit_code == 0
    with closing(RecordingReader(tmp_path / "a.mcap")) as reader:
        reader.next_frame()
        assert reader.consent == "J. Doe, form 12"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 vertices"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9", "not there"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -9", "not there"),
        ("v 0 0 0\nv 5 0 0\nv 0 5 0\nf 1 2 3", "not a head"),
        ("v 0 0 0\nv nan 0 0\nv 0 200 0\nf 1 2 3", "finite"),
        ("v 0 x 0", "not a Wavefront"),
        ("v 0 0 0\nf 1/a", "not a Wavefront"),
        ("v 0 0\nv 200 0 0\nv 0 200 0\nf 1 2 3", "not a Wavefront"),
    ],
)
def test_a_mesh_that_is_none_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "head.obj"
    path.write_text(text)
    with pytest.raises(PeopleError, match=said):
        read_obj(path)
