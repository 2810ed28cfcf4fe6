"""One whole terminal under attack from the broker: its processes, mosquitto with mutual TLS, the backend as a process.

It has no camera: its core says of every frame what one frame of a real session showed (`hil.rig.verdicts`). The
impostor has a worker's certificate, kept all that ever passed, says what it likes on the terminal's topics, and may
hold the backend back. What it has not is a key that counts.

Rules kept here:
- One sender's messages keep their order: the terminal has done with what came once it answers a mark behind it.
- What an attack changed is seen from outside: what the screen says, every byte that is kept, the status.
"""

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.core.client import ask
from firmware.core.parts import KEY_SET
from firmware.link.topics import topic
from firmware.payment import cbor, cose, schema
from firmware.payment.trust import key_id
from firmware.runtime.config import load_config
from firmware.runtime.ipc import Connection
from firmware.runtime.messages import Event, Inbound, Outbound, Stage, Subscribe
from hil.backend.keys import load_backend_key, sign_key_set, signer
from hil.rig.brokers import BACKENDS, Broker, mosquitto
from hil.rig.certificates import Authority
from hil.rig.chaos_layout import enrol_drawn
from hil.rig.customer import OnEvent, Visit, pay
from hil.rig.site import TERMINAL, Site
from hil.rig.tap import Tap
from hil.rig.verdict_camera import CAMERA
from hil.sensor import stage
from tests.attacks.site import Wire

PAYER = "payer-ada"
WAIT_S = 30.0
FIRST_KEYS = "first-keys.cose"
MARK: tuple[Inbound, bytes] = "certificate", b"mark"
MARK_TOLD = "A certificate was refused: not a tagged COSE_Sign1"
RETIRED, STRANGER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
"""A key of the backend's that the terminal was installed with and the newest key set leaves out; and anybody's."""

Attacks = dict[str, tuple[bytes, str]]
"""Envelopes by name, each with the code it is refused with; empty where nothing is said of it."""


class Attacked:
    """The terminal, and the impostor at its broker. Make one with `standing`.

    Attributes:
        site: whose terminal it is.
        tap: all that ever passed on the broker.
    """

    def __init__(self, site: Site, tap: Tap, impostor: Wire) -> None:
        self.site, self.tap, self._impostor = site, tap, impostor
        self._key = load_backend_key(site.folder / "backend.key")
        self._forged, self._visit_began = set[bytes](), 0

    # -- what the impostor has -----------------------------------------------------------------------------------------

    def passed(self, kind: Inbound | Outbound, since: int = 0) -> list[bytes]:
        """What backend or terminal ever said; `since`: from that message on, of all."""
        seen = [envelope for name, envelope in self.tap.seen[since:] if name == topic(TERMINAL, kind)]
        return [envelope for envelope in seen if envelope not in self._forged]

    def came(self, kind: Inbound | Outbound) -> bytes:
        """The first of this kind since the last visit began, which is awaited."""
        self.site.wait_for(f"the {kind}", lambda: bool(self.passed(kind, self._visit_began)))
        return self.passed(kind, self._visit_began)[0]

    def sealed(self, message: schema.Message) -> bytes:
        """Signed by the backend, as it might have been on another day or for another terminal."""
        return signed(message, self._key)

    def by_no_key_that_counts(self, message: schema.Message) -> Attacks:
        """The message as it can be had without the backend's key."""
        return {
            "in the backend's name": (signed(message, STRANGER, self._key), "bad_signature"),
            "in its own name": (signed(message, STRANGER), "unknown_key"),
            "by a revoked key": (signed(message, RETIRED), "unknown_key"),
        }

    # -- what the terminal makes of it ---------------------------------------------------------------------------------

    def refuses(self, kind: Inbound, attacks: Attacks) -> None:
        """Say these one by one: each is refused as it should be, and nothing else comes of it."""
        answers = {name: self.told(kind, envelope, what=name) for name, (envelope, _) in attacks.items()}
        wanted = {name: [code] if code else [] for name, (_, code) in attacks.items()}
        assert answers == wanted, f"{kind}: {answers}"

    def told(self, kind: Inbound, envelope: bytes, *, what: str = "", retain: bool = False) -> list[str]:
        """Say this to the terminal: the codes of what it refused. Nothing else is shown, kept or done.

        `retain`: have the broker keep it. `what`: its name.
        """
        with self.screen() as core:
            self.until_mark(core)
            before = self.kept()
            self.say(kind, envelope, retain=retain)
            told = self.until_mark(core)
        shown = [event for event in told if event.stage != "notice"]
        assert not shown, f"{kind}, {what}: shown: {shown}"
        after = self.kept()
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        assert not changed, f"{kind}, {what}: changed: {sorted(changed)}"
        return [event.reason for event in told]

    def say(self, kind: Inbound, envelope: bytes, *, retain: bool = False) -> None:
        """Say something in the backend's place."""
        if envelope not in self.passed(kind):
            self._forged.add(envelope)
        self._impostor.say(topic(TERMINAL, kind), envelope, retain=retain)

    @contextlib.contextmanager
    def screen(self) -> Iterator[Connection[Any]]:
        """All that is told at the terminal from now on."""
        with self.site.control(None) as core:
            ask(core, Subscribe(), timeout_s=5)
            yield core

    def until_mark(self, core: Connection[Any]) -> list[Event]:
        """What is told until the terminal has done with all that came to it."""
        self.say(*MARK)
        told: list[Event] = []
        while not told or told[-1].text != MARK_TOLD:
            told.append(next_event(core))
        return told[:-1]

    def kept(self) -> dict[str, object]:
        """All that could change: SHA-256 of every file of the state folder and of the TLS certificate; the status."""
        tls = self.site.config.link.tls
        assert tls is not None
        files = [path for path in Path(self.site.config.state_dir).rglob("*") if path.is_file()]
        digests = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in (*files, Path(tls.certificate))}
        status = msgspec.structs.asdict(self.site.status())
        return digests | {name: value for name, value in status.items() if name != "uptime_s"}

    def logged(self, what: str) -> int:
        """How often the terminal's log says this."""
        return (self.site.folder / "terminal.log").read_text().count(what)

    # -- people and money ----------------------------------------------------------------------------------------------

    def pays(self, on_event: OnEvent = lambda _: None) -> Visit:
        """Somebody pays; `on_event` sees what the screen says before they touch it. In the end nobody is served."""
        self._visit_began = len(self.tap.seen)
        visit = pay(self.site, stage.Stage(), PAYER, "12.50", on_event=on_event)
        self.site.wait_for("the terminal to rest", self._rests)
        return visit

    def pays_before_the_tap(self, attack: Callable[[], None]) -> Visit:
        """Somebody pays; `attack` is called when they are shown what, and have not touched the screen."""
        return self.pays(lambda event: attack() if event.reason == "tap" else None)

    def pays_while_held(self, attack: Callable[[bytes], None], until: Stage = "authorization") -> Visit:
        """Somebody pays, and the backend stands still from their look on until the screen has said `until`.

        `attack` is called with the authorization, when its receipt cannot have come.
        """
        with contextlib.ExitStack() as holding:

            def follow(event: Event) -> None:
                if event.reason == "look":
                    holding.enter_context(self._backend_held())
                if event.stage == "authorization":
                    attack(self.came("authorization"))
                if event.stage == until:
                    holding.close()

            return self.pays(follow)

    def _rests(self) -> bool:
        status = self.site.status()
        return (status.session, status.outbox_waiting, status.link) == ("idle", 0, "connected")

    @contextlib.contextmanager
    def _backend_held(self) -> Iterator[None]:
        backend = self.site.backend
        assert backend is not None
        stat = Path(f"/proc/{backend.pid}/stat")
        os.kill(backend.pid, signal.SIGSTOP)
        try:
            self.site.wait_for("the backend to stand still", lambda: stat.read_text().rpartition(") ")[2][0] == "T")
            yield
        finally:
            os.kill(backend.pid, signal.SIGCONT)


@contextlib.contextmanager
def standing(folder: Path) -> Iterator[Attacked]:
    """The terminal, up, where somebody is enrolled and has paid; the newest key set has come to it over the broker."""
    authority = Authority(folder / "ca")
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder / "broker", authority))
        site = lay_out(folder, broker, authority)
        tap = stack.enter_context(Tap(broker, authority))
        stack.callback(site.stop_backend)
        site.start_backend()
        enrol_drawn(site, site.config, [PAYER])
        stack.callback(site.stop_terminal)
        site.start_terminal()
        impostor = stack.enter_context(contextlib.closing(Wire(broker, authority, BACKENDS[-1])))
        site.wait_for("the newest key set", (Path(site.config.state_dir) / KEY_SET).exists)
        till = Attacked(site, tap, impostor)
        assert till.pays().reason == "approved"
        yield till


def lay_out(folder: Path, broker: Broker, authority: Authority) -> Site:
    """A site whose terminal plays a verdict back, and was installed with an older key set than the backend has."""
    site = Site.lay_out(folder, broker, authority, "virtual", {}, "rig")
    root, ours = (load_backend_key(folder / name) for name in ("root.key", "backend.key"))
    keys, now = [ours.public_key(), RETIRED.public_key()], int(time.time())
    (folder / FIRST_KEYS).write_bytes(sign_key_set(root, keys, version=1, now=now))
    (folder / "key-set.cose").write_bytes(sign_key_set(root, keys[:1], version=2, now=now))
    before, _, camera = site.config_path.read_text().partition("[camera]")
    after = camera.partition("[secure_element]")[2]
    text = f'{before}[camera]\nsource = "recording"\nserial = "{CAMERA.serial}"\n[secure_element]{after}'
    site.config_path.write_text(text.replace('keys = "key-set.cose"', f'keys = "{FIRST_KEYS}"'))
    site.config, _ = load_config(site.config_path)
    site.program = ("-m", "hil.rig.till")
    return site


def next_event(core: Connection[Any]) -> Event:
    """The next that is told; answers to what was asked are passed over."""
    while not isinstance(heard := core.receive(WAIT_S), Event):
        assert heard is not None, "the terminal says nothing"
    return heard


def signed(
    message: schema.Message, key: ec.EllipticCurvePrivateKey, named: ec.EllipticCurvePrivateKey | None = None
) -> bytes:
    """Signed by `key`, under its own id or that of the one that is `named`."""
    return schema.sign(message, signer(key), key_id((named or key).public_key()))


def restated(envelope: bytes, **changes: object) -> tuple[bytes, str]:
    """What was signed once, saying something else under the same signature; and how it is refused."""
    parts = cbor.decode(envelope[1:])
    assert isinstance(parts, list)
    kinds = {kind.TYP: kind for kind in schema.Message.__subclasses__()}
    message = schema.decode(cose.peek(envelope), kinds[cose.peek_type(envelope)])
    payload = schema.encode(msgspec.structs.replace(message, **changes))
    return envelope[:1] + cbor.encode([parts[0], {}, payload, parts[3]]), "bad_signature"
