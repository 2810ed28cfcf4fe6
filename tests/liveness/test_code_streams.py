"""Streams fed past the sensor, as recordings, against the emitter code: what is refused, and what is not.

The victim was filmed under another draw; the attacker stands before the camera now. Simulated.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.camera import Emitter, FrameSet
from drivers.camera.recording import Code, RecordingCamera, RecordingWriter, read_session
from firmware.liveness.code import CodeReader
from firmware.liveness.evidence import Gate
from firmware.liveness.patch import patch
from firmware.vision.detect import Detector
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.instrument import Attacker
from hil.artefacts.streams import STREAMS
from hil.evaluate.recorded_code import RecordedCode
from hil.people.names import find
from hil.rig.render import code_of, film, living
from hil.sensor.presets import preset

FRAMES, FPS = 20, 15.0
DOOR, PAYMENT = 12, 24
PAST, LIVE = 12, 11  # seeds

Recorded = Callable[[str, dict[str, float]], list[FrameSet]]


@pytest.fixture(scope="module")
def detector(models_dir: Path) -> Detector:
    return Detector(load_network(DETECTOR, models_dir=models_dir))


@pytest.fixture(scope="module")
def taken() -> tuple[list[FrameSet], list[FrameSet]]:
    """The victim then, and the attacker now."""
    sensor = preset("structured-light")
    past, live = (
        list(film(living(find(who), Attacker(seed)).performance, sensor, seed, code_of(seed, FRAMES), FPS))
        for who, seed in (("makehuman-3", PAST), ("makehuman-4", LIVE))
    )
    return past, live


@pytest.fixture
def recorded(taken: tuple[list[FrameSet], list[FrameSet]], tmp_path: Path) -> Recorded:
    """What core receives while a stream is injected, through a file, with the code that was drawn now."""

    def injected(name: str, parameters: dict[str, float]) -> list[FrameSet]:
        path = tmp_path / f"{name}{parameters}.mcap"
        with RecordingWriter(path, "simulated people") as writer:
            writer.event("clock", 0, unix_ns=0)
            writer.event("code", 0, levels=code_of(LIVE, FRAMES))
            past, live = taken
            for frame in STREAMS[name].inject(past, live, **parameters) if name in STREAMS else live:
                writer.write(frame)
        (code,) = (event for event in read_session(path) if isinstance(event, Code))
        assert code.levels == code_of(LIVE, FRAMES) != code_of(PAST, FRAMES)
        camera = RecordingCamera(path)
        camera.start()
        frames = list(camera.frames())
        camera.close()
        return frames

    return injected


def answers(detector: Detector, frames: Iterable[FrameSet], bits: int) -> list[Gate]:
    reader, gates = CodeReader(RecordedCode(code_of(LIVE, FRAMES)), bits), []
    for frame in frames:
        face = detector.find(frame)
        assert isinstance(face, Face)
        gates.append(reader.read(frame, patch(frame, face)))
    return gates


def refused(gates: list[Gate]) -> bool:
    """As a session would: plainly wrong three times before it had passed."""
    first = next((place for place, gate in enumerate(gates) if gate.passed), len(gates))
    return [gate.reason for gate in gates[:first]].count("code_wrong") >= 3


def test_a_living_face_before_the_camera_answers(detector: Detector, recorded: Recorded) -> None:
    frames = recorded("none", {})
    for bits, least, most in ((DOOR, 6, 8), (PAYMENT, 12, 15)):
        passed = [gate.passed for gate in answers(detector, frames, bits)]
        assert least <= passed.index(True) <= most
        assert all(passed[most:])


@pytest.mark.parametrize("start", [0, 3])
def test_a_replayed_session_is_refused(detector: Detector, recorded: Recorded, start: float) -> None:
    assert refused(answers(detector, recorded("replayed_session", {"start": start}), DOOR))


def test_another_camera_under_this_ones_serial_is_refused_whatever_it_claims_of_the_light(
    detector: Detector, recorded: Recorded
) -> None:
    frames = recorded("cloned_serial", {})
    assert tuple(frame.emitter.flood for frame in frames) == code_of(LIVE, FRAMES), "it claims to be lit as commanded"
    assert refused(answers(detector, frames, DOOR))


@pytest.mark.parametrize("turns", [1, 2, 4])
def test_life_of_one_and_the_face_of_another_in_turns_do_not_pass(
    detector: Detector, recorded: Recorded, turns: float
) -> None:
    gates = answers(detector, recorded("spliced", {"turns": turns}), PAYMENT)
    assert not any(gate.passed for gate in gates)
    assert any(gate.reason == "code_wrong" for gate in gates)


def test_an_accomplice_who_stays_long_enough_answers_until_the_face_is_changed(
    detector: Detector, recorded: Recorded
) -> None:
    """The code says that frames are live, not whose face it is: who must be the same in the very frames that count."""
    gates = answers(detector, recorded("spliced", {"turns": 1}), DOOR)
    assert gates[FRAMES // 2 - 1].passed
    assert not any(gate.passed for gate in gates[FRAMES // 2 + 1 :])


@pytest.mark.parametrize("delay", [1, 2])
def test_a_recording_relit_late_is_refused(detector: Detector, recorded: Recorded, delay: float) -> None:
    assert refused(answers(detector, recorded("relit", {"delay_frames": delay}), DOOR))


def test_a_recording_relit_at_once_passes(detector: Detector, recorded: Recorded) -> None:
    """The limit of the code, reported as it is: who sees the light and relights within the frame answers it."""
    assert answers(detector, recorded("relit", {"delay_frames": 0}), PAYMENT)[-1].passed


def test_a_recording_relit_late_and_numbered_as_late_passes(detector: Detector, recorded: Recorded) -> None:
    """The other limit: numbers and times are the injector's to write, and its delay looks like a slower camera's."""
    frames = recorded("relit", {"delay_frames": 0})
    late = [replace(old, timestamp_ns=due.timestamp_ns) for old, due in zip(frames[:-2], frames[2:], strict=True)]
    assert answers(detector, late, PAYMENT)[-1].passed


def test_a_recording_relit_by_its_claimed_exposure_alone_passes(detector: Detector, recorded: Recorded) -> None:
    """As relit at once, without touching a pixel: light is measured per millisecond, which the injector writes too."""
    frames = recorded("cloned_serial", {})
    theirs = code_of(PAST, FRAMES)
    relit = [
        replace(frame, exposure_us=round(frame.exposure_us * was / frame.emitter.flood))
        for frame, was in zip(frames, theirs, strict=True)
    ]
    assert answers(detector, relit, PAYMENT)[-1].passed


def test_what_a_camera_claims_of_the_light_changes_nothing(detector: Detector, recorded: Recorded) -> None:
    frames = recorded("none", {})
    lies = [replace(frame, emitter=Emitter(0.1, 0.0, 63)) for frame in frames]
    assert answers(detector, lies, PAYMENT) == answers(detector, frames, PAYMENT)
