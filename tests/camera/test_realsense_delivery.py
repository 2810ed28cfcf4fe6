"""The state machine behind a started RealSense: whatever happens ends in one named cause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera import CameraLostError
from drivers.camera.realsense.delivery import ASK_NS, FAULT_NS, FIRST_NS, Delivery
from firmware.runtime.camera_process import FIRST_FRAME_S, FRAME_S

SECOND = 10**9


@pytest.fixture
def delivery() -> Delivery:
    delivery = Delivery("1")
    delivery.started(0)
    return delivery


def here() -> bool:
    return True


def gone() -> bool:
    return False


def test_a_camera_starts_streams_falls_silent_and_streams_again(delivery: Delivery) -> None:
    states: list[str] = [delivery.state]
    assert delivery.frame(1, 0, 0.0)
    states.append(delivery.state)
    delivery.quiet(1 + ASK_NS, here)
    states.append(delivery.state)  # not yet
    delivery.quiet(2 + ASK_NS, here)
    states.append(delivery.state)
    assert delivery.frame(3 + ASK_NS, 1, 1.0)
    states.append(delivery.state)
    assert states == ["starting", "streaming", "streaming", "silent", "streaming"]


def test_the_bus_is_asked_no_more_often_than_it_must(delivery: Delivery) -> None:
    asked = 0

    def look() -> bool:
        nonlocal asked
        asked += 1
        return True

    for ms in range(2001):
        delivery.quiet(ms * 10**6, look)
    assert asked == 4


@pytest.mark.parametrize("streaming", [False, True])
def test_an_unplugged_camera_is_lost_within_half_a_second(delivery: Delivery, streaming: bool) -> None:
    if streaming:
        delivery.frame(0, 0, 0.0)
    with pytest.raises(CameraLostError, match="gone from the bus") as lost:
        delivery.quiet(ASK_NS + 1, gone)
    assert (lost.value.cause, delivery.state) == ("unplugged", "lost")


@pytest.mark.parametrize(("number", "device_ms"), [(4, 30.0), (6, 20.0), (6, 19.0)])
def test_a_counter_or_clock_that_goes_back_or_stands_is_clock(
    delivery: Delivery, number: int, device_ms: float
) -> None:
    delivery.frame(0, 5, 20.0)
    with pytest.raises(CameraLostError, match="went") as lost:
        delivery.frame(1, number, device_ms)
    assert lost.value.cause == "clock"


def test_a_repeated_frame_is_not_new_and_no_fault(delivery: Delivery) -> None:
    assert delivery.frame(0, 5, 20.0)
    assert not delivery.frame(1, 5, 20.0)


def test_one_partial_set_is_nothing_and_nothing_else_for_a_while_is_partial(delivery: Delivery) -> None:
    delivery.cycle()
    delivery.partial(0)
    delivery.frame(FAULT_NS // 2, 0, 0.0)
    delivery.partial(FAULT_NS)
    delivery.partial(2 * FAULT_NS)
    with pytest.raises(CameraLostError) as lost:
        delivery.partial(2 * FAULT_NS + 1)
    assert lost.value.cause == "partial"


def test_what_cannot_be_sorted_for_a_while_is_lost_by_its_cause(delivery: Delivery) -> None:
    delivery.cycle()
    delivery.unsorted(5 * SECOND, "weak_dots")
    delivery.unsorted(5 * SECOND + FAULT_NS, "weak_dots")
    delivery.cycle()
    delivery.unsorted(7 * SECOND, "emitter_stuck_off")
    with pytest.raises(CameraLostError) as lost:
        delivery.unsorted(7 * SECOND + FAULT_NS + 1, "emitter_stuck_off")
    assert lost.value.cause == "emitter_stuck_off"


def test_before_the_first_frame_set_exposure_may_settle(delivery: Delivery) -> None:
    delivery.unsorted(0, "emitter_stuck_off")
    delivery.unsorted(FIRST_NS, "emitter_stuck_off")
    with pytest.raises(CameraLostError):
        delivery.unsorted(FIRST_NS + 1, "emitter_stuck_off")


def test_causes_are_named_before_the_camera_process_calls_it_silence() -> None:
    assert max(FAULT_NS, ASK_NS) / 1e9 < FRAME_S
    assert FIRST_NS / 1e9 < FIRST_FRAME_S


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["frame", "back", "partial", "unsorted", "quiet", "gone", "failed", "stopped", "started"]),
        st.integers(0, FAULT_NS),
    ),
    max_size=40,
)


@given(EVENTS)
def test_lost_stays_lost_with_its_first_cause_until_the_next_start(events: list[tuple[str, int]]) -> None:
    delivery, now_ns = Delivery("1"), 0
    lost: CameraLostError | None = None
    for number, (event, later_ns) in enumerate([("started", 0), *events]):
        now_ns += later_ns
        raised = happen(delivery, event, now_ns, number)
        if event == "started":
            lost = None
        if lost is not None and raised is not None:
            assert raised is lost
        if raised is not None and "without start" not in str(raised):
            lost = raised
        if lost is not None:
            with pytest.raises(CameraLostError) as again:
                delivery.check()
            assert again.value is lost


def happen(delivery: Delivery, event: str, now_ns: int, number: int) -> CameraLostError | None:
    """Let one thing happen to a camera; return what it raises. What needs a frame first only comes after one."""
    try:
        if event == "started":
            delivery.started(now_ns)
        elif event == "stopped":
            delivery.stopped()
        elif event in ("frame", "back", "unsorted"):
            delivery.frame(now_ns, number, -1.0 if event == "back" else float(number))
            if event == "unsorted":
                delivery.unsorted(now_ns, "weak_dots")
        elif event == "partial":
            delivery.partial(now_ns)
        elif event in ("quiet", "gone"):
            delivery.quiet(now_ns, here if event == "quiet" else gone)
        else:
            delivery.check()
            delivery.failed("it says so")
    except CameraLostError as error:
        return error
    return None
