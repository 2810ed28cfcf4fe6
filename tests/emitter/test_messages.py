import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera import Emitter
from drivers.emitter.frames import MAX_BODY, Frame
from drivers.emitter.messages import (
    FULL_LEVEL,
    MAX_CHUNK,
    Answer,
    Arm,
    Beat,
    Begin,
    Chunk,
    Commit,
    Disarm,
    Hello,
    Message,
    MessageError,
    Refusal,
    State,
    Status,
    Trip,
    Upload,
    Welcome,
    from_frame,
    pack_levels,
    to_frame,
    unpack_levels,
)
from drivers.emitter.patterns import MAX_LEVELS

ENTRIES = st.builds(Emitter, st.floats(0, 1), st.just(0.0)) | st.builds(Emitter, st.just(0.0), st.floats(0, 1))
U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, U8),
    st.builds(Begin, U32, st.sampled_from(Upload), U16, U32),
    st.builds(Chunk, U32, U16, st.binary(min_size=1, max_size=MAX_CHUNK)),
    st.builds(Commit, U32),
    st.builds(Arm, U32, U32),
    st.builds(Beat, U32, U32),
    st.builds(Disarm),
    st.builds(Welcome, U8, U32, U32, st.binary(min_size=16, max_size=16), U8, U8, U8),
    st.builds(Answer, st.sampled_from(Refusal), st.sampled_from(State), st.sampled_from(Trip), U32),
    st.builds(Status, st.sampled_from(State), st.sampled_from(Trip), U32, U32),
)


@given(MESSAGES, U16)
def test_a_message_comes_back(message: Message, sequence: int) -> None:
    frame = to_frame(message, sequence)
    assert from_frame(frame) == message
    assert type(from_frame(frame)) is type(message)


@given(U8, st.binary(max_size=MAX_BODY))
def test_any_body_is_a_message_or_an_error(kind: int, body: bytes) -> None:
    try:
        message = from_frame(Frame(kind, 0, body))
    except MessageError:
        return
    assert to_frame(message, 0) == Frame(kind, 0, body)


@pytest.mark.parametrize("message", [Beat(1 << 32, 0), Beat(-1, 0), Begin(0, Upload.TABLE, 1 << 16, 0)])
def test_a_field_out_of_range_cannot_be_said(message: Message) -> None:
    with pytest.raises(ValueError, match=type(message).__name__):
        to_frame(message, 0)


@given(st.lists(ENTRIES, min_size=1, max_size=MAX_LEVELS))
def test_levels_come_back_to_a_thousandth(levels: list[Emitter]) -> None:
    back = unpack_levels(pack_levels(levels))
    for sent, got in zip(levels, back, strict=True):
        # in units of what is sent: half a unit exactly where a level lies between two
        assert abs(sent.flood * FULL_LEVEL - round(got.flood * FULL_LEVEL)) <= 0.5
        assert abs(sent.dots * FULL_LEVEL - round(got.dots * FULL_LEVEL)) <= 0.5


@pytest.mark.parametrize("level", [1.001, -0.001, float("nan"), float("inf")])
def test_a_level_beyond_the_table_is_not_sent(level: float) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        pack_levels([Emitter(0.0, level)])


def test_both_sources_at_once_are_not_sent() -> None:
    with pytest.raises(ValueError, match="both"):
        pack_levels([Emitter(1.0, 0.5)])


@pytest.mark.parametrize("count", [0, MAX_LEVELS + 1])
def test_a_programme_of_no_or_too_many_levels_is_not_sent(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        pack_levels([Emitter(1.0, 0.0)] * count)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_programme_within_bounds_or_an_error(raw: bytes) -> None:
    try:
        levels = unpack_levels(raw)
    except MessageError:
        return
    assert 0 < len(levels) <= MAX_LEVELS
    assert all(0 <= one.flood <= 1 and 0 <= one.dots <= 1 and not one.flood * one.dots for one in levels)
