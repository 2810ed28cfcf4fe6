import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.emitter.frames import MAX_BODY, MAX_FRAME, Frame, Parser, encode

FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=MAX_BODY))


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(0, 10**6), max_size=10))
def test_frames_come_back_however_they_are_cut(frames: list[Frame], cuts: list[int]) -> None:
    parser = Parser()
    pieces = _split(b"".join(encode(frame) for frame in frames), cuts)
    assert [frame for piece in pieces for frame in parser.feed(piece)] == frames
    assert parser.discarded == 0


@given(FRAMES)
def test_no_frame_is_longer_than_a_chunk_or_holds_a_zero(frame: Frame) -> None:
    wire = encode(frame)
    assert len(wire) <= MAX_FRAME
    assert 0 not in wire[1:-1]


def test_the_longest_frame_is_exactly_a_chunk() -> None:
    assert len(encode(Frame(1, 1, b"\xff" * MAX_BODY))) == MAX_FRAME


def test_a_longer_body_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame carries"):
        encode(Frame(1, 1, bytes(MAX_BODY + 1)))


@given(st.lists(st.binary(max_size=300), max_size=20), FRAMES)
def test_any_bytes_are_survived_and_the_next_frame_is_read(noise: list[bytes], frame: Frame) -> None:
    parser = Parser()
    for piece in noise:
        parser.feed(piece)
        assert len(parser._held) <= MAX_FRAME
    assert parser.feed(encode(frame))[-1:] == [frame]


@given(FRAMES, st.integers(0, 10**6), st.integers(0, 7))
def test_a_flipped_bit_never_makes_another_frame(frame: Frame, place: int, bit: int) -> None:
    wire = bytearray(encode(frame))
    wire[place % len(wire)] ^= 1 << bit
    assert set(Parser().feed(bytes(wire) + b"\0")) <= {frame}


@given(FRAMES, st.integers(0, 10**6))
def test_a_lost_byte_never_makes_another_frame(frame: Frame, place: int) -> None:
    wire = encode(frame)
    place %= len(wire)
    assert set(Parser().feed(wire[:place] + wire[place + 1 :] + b"\0")) <= {frame}


def test_an_endless_frame_is_dropped_and_counted() -> None:
    parser = Parser()
    for _ in range(1000):
        assert parser.feed(b"\x01" * 1000) == []
    assert parser.feed(encode(Frame(6, 7, b"beat"))) == [Frame(6, 7, b"beat")]
    assert parser.discarded == 1


def test_what_was_cut_off_does_not_spoil_the_next() -> None:
    wire = encode(Frame(1, 2, b"three"))
    parser = Parser()
    assert parser.feed(wire[:-3] + wire) == [Frame(1, 2, b"three")]
    assert parser.discarded == 1
