import logging
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader

from drivers.camera import FrameSet
from drivers.camera.recording import (
    Clock,
    Code,
    Command,
    DamagedError,
    Note,
    Prompt,
    RecordingReader,
    RecordingWriteError,
    RecordingWriter,
    TruncatedError,
    Truth,
    read_recording,
    read_session,
    read_truth,
)
from drivers.camera.recording.reader import Item
from drivers.camera.recording.session import MAX_JSON_BYTES

Make = Callable[[int], list[FrameSet]]
CONSENT = "synthetic scene: nobody is in it"

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.integers(0, 2**62)
WORDS = st.text(min_size=1, max_size=20)
EVENTS = st.one_of(
    st.builds(Clock, at_ns=TIMES, unix_ns=TIMES),
    st.builds(Code, at_ns=TIMES, levels=st.lists(st.floats(0, 1), min_size=1, max_size=16).map(tuple)),
    st.builds(Prompt, at_ns=TIMES, prompt=WORDS, text=st.text(max_size=40)),
    st.builds(Command, at_ns=TIMES, command=WORDS, value=st.none() | FLOATS | st.text(max_size=9)),
    st.builds(Note, at_ns=TIMES, text=st.text(max_size=40)),
)
POINTS = st.tuples(FLOATS, FLOATS, FLOATS)
TRUTHS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "person": st.text(max_size=9),
        "artefact": WORDS,
        "seed": st.integers(0, 2**62),
        "parameters": st.dictionaries(WORDS, st.booleans() | st.integers(-5, 5) | st.text(max_size=5), max_size=4),
        "position_mm": POINTS,
        "rotation_deg": POINTS,
        "expression": st.dictionaries(WORDS, FLOATS, max_size=4),
        "gaze_deg": st.tuples(FLOATS, FLOATS),
        "landmarks_mm": st.dictionaries(WORDS, POINTS, max_size=4),
    },
)


def play(writer: RecordingWriter, frames: list[FrameSet]) -> None:
    """A small session: what stood before, between and after three frames."""
    writer.event("clock", 10**12, unix_ns=1_700_000_000 * 10**9)
    writer.event("code", 10**12, levels=(1.0, 0.5, 0.75))
    for frame in frames:
        writer.write(frame)
        writer.truth(
            frame.sequence, {"person": "ict-3", "position_mm": (0.0, 0.0, 500.0), "expression": {"smile": 0.4}}
        )
        writer.event("prompt", frame.timestamp_ns + 1, prompt="smile", text="Please smile.")
    writer.event("command", 2 * 10**12, command="stop")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, synthetic_frames: Make) -> Path:
    path = tmp_path_factory.mktemp("session") / "whole.mcap"
    with RecordingWriter(path, CONSENT) as writer:
        play(writer, synthetic_frames(3))
    return path


def drain(reader: RecordingReader, into: list[Item]) -> None:
    while (item := reader.next_item()) is not None:
        into.append(item)


def kinds(path: Path) -> list[str]:
    return [type(item).__name__ for item in read_recording(path)]


def test_everything_comes_back_in_the_order_it_was_written(session: Path) -> None:
    assert kinds(session) == ["Clock", "Code", *["FrameSet", "Truth", "Prompt"] * 3, "Command"]
    events = read_session(session)
    assert events[:2] == [
        Clock(at_ns=10**12, unix_ns=1_700_000_000 * 10**9),
        Code(at_ns=10**12, levels=(1.0, 0.5, 0.75)),
    ]
    truth = read_truth(session)
    assert sorted(truth) == [0, 1, 2]
    assert truth[1] == Truth(sequence=1, person="ict-3", position_mm=(0.0, 0.0, 500.0), expression={"smile": 0.4})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, max_size=4), truth=TRUTHS)
def test_every_event_and_truth_comes_back(
    tmp_path: Path, synthetic_frames: Make, events: list[msgspec.Struct], truth: dict[str, Any]
) -> None:
    path = tmp_path / "any.mcap"
    path.unlink(missing_ok=True)
    frame = synthetic_frames(1)[0]
    with RecordingWriter(path, CONSENT) as writer:
        for event in events:
            values = msgspec.to_builtins(event)
            writer.event(values.pop("kind"), values.pop("at_ns"), **values)
        writer.write(frame)
        writer.truth(0, truth)
    assert read_session(path) == events
    assert read_truth(path) == {0: Truth(sequence=0, **truth)}


def test_a_plain_mcap_reader_reads_the_events_as_json(session: Path) -> None:
    with session.open("rb") as file:
        found = [
            (msgspec.json.decode(message.data)["kind"], message.log_time)
            for _, _, message in make_reader(file).iter_messages(topics=["/session"])
        ]
    assert found[0] == ("clock", 10**12)
    assert found[-1] == ("command", 2 * 10**12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_session_cut_anywhere_gives_a_beginning_of_itself_and_one_warning(
    tmp_path: Path, session: Path, data: st.DataObject
) -> None:
    whole, expected = session.read_bytes(), kinds(session)
    size = data.draw(st.integers(0, len(whole) - 1))
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole[:size])
    found: list[Item] = []
    try:
        reader = RecordingReader(cut)
    except (TruncatedError, DamagedError):
        return  # cut in the first few bytes
    with pytest.raises(TruncatedError) as caught:
        drain(reader, found)
    reader.close()
    assert [type(item).__name__ for item in found] == expected[: len(found)]
    assert str(caught.value).endswith(f"truncated after {sum(isinstance(i, FrameSet) for i in found)} whole frames")


def test_a_truncated_file_yields_its_whole_frames_and_one_warning(
    tmp_path: Path, session: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut = tmp_path / "cut.mcap"
    whole = session.read_bytes()
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    with caplog.at_level(logging.WARNING):
        frames = [item for item in read_recording(cut) if isinstance(item, FrameSet)]
    assert 0 < len(frames) < 3
    assert [record.getMessage() for record in caplog.records] == [f"{cut}: truncated after {len(frames)} whole frames"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("weather", {}),
        ("prompt", {}),
        ("prompt", {"prompt": "smile", "person": "x"}),
        ("prompt", {"prompt": ""}),
        ("prompt", {"prompt": "x" * 65}),
        ("code", {"levels": ()}),
        ("code", {"levels": (1.5,)}),
        ("code", {"levels": (math.nan,)}),
        ("command", {"command": "flood", "value": math.inf}),
        ("clock", {"unix_ns": -1}),
        ("clock", {"unix_ns": "now"}),
    ],
)
def test_an_event_of_another_shape_is_not_written(tmp_path: Path, kind: str, values: dict[str, Any]) -> None:
    path = tmp_path / "a.mcap"
    with RecordingWriter(path, CONSENT) as writer, pytest.raises(RecordingWriteError):
        writer.event(kind, 5, **values)
    assert read_session(path) == []


def test_ground_truth_is_of_the_frame_just_written_and_of_known_fields(tmp_path: Path, synthetic_frames: Make) -> None:
    first, second = synthetic_frames(2)
    with RecordingWriter(tmp_path / "a.mcap", CONSENT) as writer:
        with pytest.raises(RecordingWriteError, match="must follow"):
            writer.truth(0, {})
        writer.write(first)
        with pytest.raises(RecordingWriteError, match="must follow"):
            writer.truth(1, {})
        for wrong in (
            {"mood": "fine"},
            {"sequence": 1},
            {"person": 3},
            {"expression": {"smile": math.nan}},
            {"parameters": {f"{n:030}": "x" * 1000 for n in range(MAX_JSON_BYTES // 1000)}},
        ):
            with pytest.raises(RecordingWriteError):
                writer.truth(0, wrong)
        writer.truth(0, {"artefact": "flat_print"})
        with pytest.raises(RecordingWriteError, match="must follow"):
            writer.truth(0, {"artefact": "flat_print"})
        writer.write(second)
    assert read_truth(tmp_path / "a.mcap") == {0: Truth(sequence=0, artefact="flat_print")}


def test_a_closed_recording_takes_no_events(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "a.mcap", CONSENT)
    writer.close()
    with pytest.raises(RecordingWriteError, match="closed"):
        writer.event("note", 0, text="late")


def test_reading_and_writing_hold_few_frames_at_a_time(tmp_path: Path, synthetic_frames: Make) -> None:
    frame, path = synthetic_frames(1)[0], tmp_path / "long.mcap"
    bytes_each = frame.ir.nbytes * 2 + frame.depth_mm.nbytes
    tracemalloc.start()
    try:
        with RecordingWriter(path, CONSENT) as writer:
            for n in range(30):
                writer.write(replace(frame, sequence=n))
        assert tracemalloc.get_traced_memory()[1] < 5 * bytes_each
        tracemalloc.reset_peak()
        assert sum(1 for _ in read_recording(path)) == 30
        assert tracemalloc.get_traced_memory()[1] < 5 * bytes_each
    finally:
        tracemalloc.stop()


def test_a_recording_is_full_at_some_point(
    tmp_path: Path, synthetic_frames: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.camera.recording.writer.MAX_FRAMES", 1)
    first, second = synthetic_frames(2)
    with RecordingWriter(tmp_path / "a.mcap", CONSENT) as writer:
        writer.write(first)
        with pytest.raises(RecordingWriteError, match="full"):
            writer.write(second)
    assert kinds(tmp_path / "a.mcap") == ["FrameSet"]
