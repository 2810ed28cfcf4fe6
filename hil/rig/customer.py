"""Somebody at the terminal: does what the screen asks, with the face they have. Simulated.

Nothing here reaches into the terminal: prompts come over the control socket as they would stand on the screen,
and all a customer can do is move, tap and wait. What the terminal asks of a face is told to whoever stands on the
stage the moment it is shown; whether they do it is up to them, and drawn (`hil.people.living`).
"""

import contextlib
import datetime
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from firmware.core.client import ask
from firmware.core.errors import TerminalError
from firmware.payment.messages import Assurance
from firmware.runtime.messages import Enrol, Event, Pin, Purpose, SetPin, Subscribe, Tap
from hil.people.actor import MOVEMENTS
from hil.people.living import PROMPT_KINDS, Prompt, Timeline
from hil.rig.site import NOTICE, NOTICE_VERSION, Site, SiteError
from hil.sensor.stage import Asked, Stage, Subject

# Longer than a pose may take.
PATIENCE_S = 50.0
# A refusal still has to travel to the backend.
SETTLE_S = 5.0
# Degrees of yaw and pitch a person turns to when asked, by the name of the pose.
TURNS = {"front": (0.0, 0.0), "left": (18.0, 0.0), "right": (-18.0, 0.0), "up": (0.0, 9.0), "down": (0.0, -9.0)}

ASKED_AT_MOST = 4
"""Prompts in one session: two tries, each of a movement of the face and perhaps a turn."""
LOOKS_S = 20.0

ASKS_PIN = ("pin", "pin_wrong")
"""Prompts that want the PIN typed."""
CHOOSES_PIN = ("pin_choose", "pin_weak", "pin_again", "pin_differs")

OnEvent = Callable[[Event], None]


def _ignore(_: Event) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Visit:
    """How a visit ended.

    Attributes:
        intent: its id.
        reason: the precise code where the terminal's profile tells it, else what a customer is told.
        told: the code as a customer is told it.
        text: what the screen said.
        register: the register's word.
        events: all that was told meanwhile.
    """

    intent: str
    reason: str
    told: str
    text: str
    register: str
    events: list[Event] = field(default_factory=list)


def obliging(first: int = 0) -> int:
    """The first seed from `first` on of somebody who does whatever is asked of them, and does not talk meanwhile.

    Found by looking at what is drawn for them, so that a test knows whom it has; nothing of it is switched off.
    """

    def obeys(seed: int) -> bool:
        asked = (Timeline(seed, (Prompt(kind, 0.0),) * ASKED_AT_MOST) for kind in PROMPT_KINDS)
        return not any(answer.refused for timeline in asked for answer in timeline.answers)

    def silent(seed: int) -> bool:
        faces = (Timeline(seed).at(float(time_s))[0] for time_s in np.arange(0, LOOKS_S, 0.1))
        return not any(getattr(face, name) for face in faces for name in MOVEMENTS if not name.startswith("blink"))

    return next(seed for seed in range(first, first + 1000) if obeys(seed) and silent(seed))


def hear(site: Site, event: Event) -> None:
    """Tell whoever stands there what the screen has just asked of their face."""
    for kind in PROMPT_KINDS:
        if event.stage == "prompt" and event.reason == kind:
            stage = site.stage
            heard = (*stage.prompts, Asked(kind, time.monotonic_ns() if event.at_ns is None else event.at_ns))
            site.show(msgspec.structs.replace(stage, prompts=heard))


ADULT = datetime.date(1990, 5, 17)


def form_of(
    name: str,
    now: int,
    purposes: tuple[Purpose, ...] = ("payment",),
    born: datetime.date = ADULT,
    notice: bytes = NOTICE,
    version: str = NOTICE_VERSION,
    guardian: str = "",
) -> bytes:
    """What an operator types in: who agreed to what, told what, now. `guardian`: who agreed in a child's place."""
    asked = (
        ""
        if not guardian
        else (f'[guardian]\nname = "{guardian}"\nverifier = "desk-1"\nmethod = "identity_card"\ngiven_at = {now}\n')
    )
    return (
        f'who = "{name}"\npurposes = {list(purposes)}\n'
        f'notice_version = "{version}"\nnotice_sha256 = "{hashlib.sha256(notice).hexdigest()}"\nlanguage = "en"\n'
        f"retention_days = 365\ndate_of_birth = {born.isoformat()}\n"
        f'age_source = "{"guardian" if guardian else "document"}"\ngiven_at = {now}\n{asked}'
    ).encode()


def papers_for(site: Site, payer: str, purposes: tuple[Purpose, ...] = ("payment",)) -> tuple[bytes, bytes]:
    """A consent record given now, and the backend's mandate under it."""
    consent = site.consent(form_of(payer, int(time.time()), purposes))
    return consent, site.mandate(payer, consent, "payment" if "payment" in purposes else purposes[0])


def enrol(
    site: Site,
    subject: Subject,
    payer: str,
    on_event: OnEvent = _ignore,
    papers: tuple[bytes, bytes] | None = None,
) -> str:
    """Enrol `subject` as `payer`: consent, mandate, five poses. Returns the person's id.

    Who was not seen in every pose in time tries once more, as people do.

    Raises TerminalError.
    """
    consent, mandate = papers or papers_for(site, payer)
    site.show(Stage(subject=subject))

    def follow(event: Event) -> None:
        if event.stage == "prompt" and event.reason in TURNS:
            yaw, pitch = TURNS[event.reason]
            site.show(Stage(subject=subject, yaw_deg=yaw, pitch_deg=pitch))
        hear(site, event)
        on_event(event)

    papers_shown = Enrol(consent=consent, mandate=mandate)
    with site.control() as core:
        try:
            done = ask(core, papers_shown, PATIENCE_S, follow)
        except TerminalError as error:
            if error.reason != "pose_timeout":
                raise
            site.show(Stage(subject=subject))
            done = ask(core, papers_shown, PATIENCE_S, follow)
    return str(done.detail)


def choose_pin(site: Site, person: str, mandate: bytes, pin: str, on_event: OnEvent = _ignore) -> None:
    """Choose a PIN at the terminal, under a mandate for it: type it each time the screen asks.

    Raises TerminalError.
    """

    def follow(event: Event) -> None:
        if event.stage == "prompt" and event.reason in CHOOSES_PIN:
            with site.control(None) as screen:
                ask(screen, Pin(scene=event.scene, digits=pin), timeout_s=5)
        on_event(event)

    with site.control() as core:
        ask(core, SetPin(person=person, mandate=mandate), PATIENCE_S, follow)


def pay(
    site: Site,
    stage: Stage,
    payer: str,
    amount: str,
    currency: str = "EUR",
    on_event: OnEvent = _ignore,
    assurance: Assurance = "geometry",
    pin: str = "",
) -> Visit:
    """Stand there as `stage` says, let the register ask for a payment in the name of `payer`, tap, and wait.

    Args:
        site: where.
        stage: who or what stands there.
        payer: who is claimed.
        amount: written out.
        currency: its code.
        on_event: sees what is told, after the customer has.
        assurance: evidence of life that the register asks for.
        pin: what they type each time a PIN is asked for; nothing where it is empty.

    Raises:
        TerminalError: the terminal said nothing for `PATIENCE_S` seconds.
    """
    site.show(stage)
    events: list[Event] = []
    with site.control(None) as core:
        ask(core, Subscribe(), timeout_s=5)
        intent = site.request(amount, currency, payer, assurance)
        while not events or events[-1].stage != "outcome":
            message = core.receive(PATIENCE_S)
            if message is None:
                raise TerminalError(f"the terminal said nothing for {PATIENCE_S:g} s")
            if not isinstance(message, Event):
                continue  # the answer to a touch
            events.append(message)
            hear(site, message)
            on_event(message)
            if message.stage == "prompt" and message.reason == "tap":
                core.send(Tap(scene=message.scene))
            if message.stage == "prompt" and message.reason in ASKS_PIN and pin:
                core.send(Pin(scene=message.scene, digits=pin))
    last = events[-1]
    # The terminal's word is out before its signed decline has reached the backend.
    with contextlib.suppress(SiteError):
        site.wait_for("the register", lambda: site.state(intent)[0] != "open", SETTLE_S)
    register = "/".join(filter(None, site.state(intent)))
    return Visit(intent, last.why or last.reason, last.reason, last.text, register, events)


def pay_moving(
    site: Site,
    stage: Stage,
    payer: str,
    amount: str,
    currency: str = "EUR",
    on_event: OnEvent = _ignore,
    once_more: Callable[[], None] = lambda: None,
    pin: str = "",
) -> Visit:
    """Pay where the register asks for motion; who was not seen to move tries `once_more`, as people do.

    On a busy machine frames come so slowly that a movement falls between them. `pin`: the register asks for one too,
    and it is typed. Raises as `pay`.
    """
    assurance: Assurance = "dynamic_pin" if pin else "dynamic"
    first = pay(site, stage, payer, amount, currency, on_event, assurance, pin)
    if first.reason != "no_answer":
        return first
    once_more()
    return pay(site, stage, payer, amount, currency, on_event, assurance, pin)


def fingerprint(visit: Visit) -> dict[str, object]:
    """The visit as it stands in a summary: the terminal's and the register's words, and the last values seen."""
    values = next((event.values for event in reversed(visit.events) if event.values), {})
    return {
        "intent": visit.intent,
        "terminal": visit.reason,
        "customer": visit.text,
        "register": visit.register,
        "values": {name: round(value, 3) for name, value in values.items()},
        "events": [msgspec.to_builtins(event)["reason"] for event in visit.events if event.stage != "evidence"],
    }
