"""Frames between two processes, through the real socket and ring: none lost, none copied for the reader."""

from hil.rig.bench_ring import HEIGHT, WIDTH, measure


def test_frames_pass_between_processes_without_loss_and_without_a_second_copy() -> None:
    figures = measure(frames=400, fps=400.0)
    assert (figures.frames, figures.lost) == (400, 0)
    assert figures.reader_copied_bytes == 0
    assert figures.bytes_per_frame == WIDTH * HEIGHT * (4 + 2 + 2)
