"""Faults of the camera, injected into a running site: what the end-to-end test and `tessera bench --only faults` share.

A fault is a row of `FAULTS`: how it is brought about, and the one cause it must end in. Another one needs a row only.
What is timed is core's own word: it says in the notice that ends a capture how long the last frame was ago.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, get_args

from drivers.camera import Cause
from drivers.camera.faults import FAULTS as CAUSES
from firmware.core.client import ask
from firmware.runtime.ipc import Connection
from firmware.runtime.messages import Cancel, Event, Subscribe, Tap
from hil.rig.customer import PATIENCE_S
from hil.rig.site import Site, SiteError
from hil.sensor.stage import Fault as StageFault
from hil.sensor.stage import Person, Stage

BACK_S = 20.0
CUSTOMER, PAYER = Person(93_000), "payer-faults"
OTHER_SERIAL, OTHER_DIGEST = "VIRTUAL-0002", "0" * 64


@dataclass(frozen=True)
class Fault:
    """One way to break the camera.

    Attributes:
        cause: what core must call it.
        inject: brings it about, while the camera captures.
        mend: undoes it.
        at_opening: it shows when the camera is opened again; the capture it was injected into ends as `unplugged`.
        standing: who stands there before.
    """

    cause: Cause
    inject: Callable[[Site], None]
    mend: Callable[[Site], None] = field(default=lambda site: site.show(Stage()))
    at_opening: bool = False
    standing: Stage = field(default_factory=Stage)


def _staged(cause: Cause, fault: StageFault) -> Fault:
    return Fault(cause, lambda site: site.show(Stage(fault=fault)))


FAULTS: dict[str, Fault] = {
    "unplugged": _staged("unplugged", "unplug"),
    "delivers nothing": _staged("silent", "stop"),
    "library hangs 45 s": _staged("hung", "hang"),
    "library crashes (SIGSEGV)": _staged("crashed", "crash"),
    "frozen picture": _staged("frozen", "freeze"),
    "half frames": _staged("partial", "half"),
    "time stamps going back": _staged("clock", "backwards"),
    # whole decisions, or the frames would not be judged long enough to be overwritten
    "ring overrun": Fault(
        "overrun",
        lambda site: site.show(Stage(subject=CUSTOMER, fault="burst")),
        standing=Stage(subject=CUSTOMER),
    ),
    "another camera's serial": Fault(
        "wrong_camera", lambda site: site.show(Stage(serial=OTHER_SERIAL)), at_opening=True
    ),
    "another calibration": Fault(
        "calibration", lambda site: site.show(Stage(calibration_digest=OTHER_DIGEST)), at_opening=True
    ),
}  # fmt: skip


class MisnamedError(SiteError):
    """A fault ended as something else.

    Attributes:
        ended_as: the causes core gave, or the outcome's reason.
    """

    def __init__(self, fault: Cause, ended_as: str, text: str) -> None:
        super().__init__(f"the camera was broken by {fault}; core said {ended_as}: {text}")
        self.ended_as = ended_as


@dataclass(frozen=True)
class Look:
    """A payment, as far as the camera goes.

    Attributes:
        causes: every cause that was given for the end of its capture, in order.
        silent_s: by core's clock, how long the last frame was ago when it said so; None where no capture ended.
        reason: the outcome's.
        text: what the customer was told.
        first_frame: when the first frame was judged, monotonic seconds; None where none was.
    """

    causes: tuple[str, ...]
    silent_s: float | None
    reason: str
    text: str
    first_frame: float | None


def look(site: Site, on_frame: Callable[[int], None], stop_after: int | None = None) -> Look:
    """Let `PAYER` be asked for, tap, and watch until the outcome.

    Args:
        site: where `PAYER` is enrolled.
        on_frame: called with the number of each judged frame, from 1.
        stop_after: cancel after this many frames.

    Raises:
        SiteError: the terminal said nothing for too long.
    """
    causes, silent_s, first_frame, frames = [], None, None, 0
    with _watching(site) as core:
        site.request("1.00", "EUR", PAYER)
        while True:
            event = core.receive(PATIENCE_S)
            if event is None:
                raise SiteError(f"the terminal said nothing for {PATIENCE_S:g} s")
            if not isinstance(event, Event):
                continue  # the answer to a tap
            if event.stage == "prompt" and event.reason == "tap":
                core.send(Tap(scene=event.scene))
            elif event.stage == "evidence":
                frames += 1
                first_frame = first_frame or time.monotonic()
                on_frame(frames)
                if frames == stop_after:
                    core.send(Cancel(scene=event.scene))
            elif event.stage == "notice" and event.reason in get_args(Cause):
                causes.append(event.reason)
                silent_s = event.values["silent_s"]
            elif event.stage == "outcome":
                return Look(tuple(causes), silent_s, event.reason, event.text, first_frame)


@contextmanager
def _watching(site: Site) -> Iterator[Connection[Any]]:
    with site.control() as core:
        ask(core, Subscribe(), timeout_s=5)
        yield core


@dataclass(frozen=True)
class Broken:
    """What one injection led to.

    Attributes:
        look: the payment that was in hand, or, for faults that show at opening, the next one.
        status: core's word on the camera while it was broken.
        back_s: from mending to the first frame judged again, seconds.
    """

    look: Look
    status: str
    back_s: float


def break_and_mend(site: Site, fault: Fault, at_frame: int) -> Broken:
    """Inject `fault` at the `at_frame`-th frame of a look, wait for its cause, mend it, wait for the next frame.

    Raises:
        MisnamedError: core called it something else, or refused for another reason; it is mended.
        SiteError: the camera did not come back.
    """
    site.show(fault.standing)
    seen = look(site, lambda frame: fault.inject(site) if frame == at_frame else None)
    if fault.at_opening:
        site.wait_for(fault.cause, lambda: site.status().camera.startswith(fault.cause), BACK_S)
        seen = look(site, lambda _: None)
    status = site.status().camera
    named = fault.cause if fault.at_opening else ", ".join(seen.causes) or seen.reason
    fault.mend(site)
    mended = time.monotonic()
    if named != fault.cause or plain(fault.cause) not in seen.text:
        raise MisnamedError(fault.cause, named, seen.text)
    site.wait_for("the camera", lambda: site.up()["camera"], BACK_S)
    again = look(site, lambda _: None, stop_after=1)
    if again.first_frame is None:
        raise MisnamedError(fault.cause, ", ".join(again.causes) or again.reason, again.text)
    return Broken(seen, status, again.first_frame - mended)


def plain(cause: Cause) -> str:
    """What a customer is told of a cause."""
    return CAUSES[cause][0]
