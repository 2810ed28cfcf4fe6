"""A whole small installation in one folder: keys, broker, backend, terminal, and the stage before its camera.

The demo, the benchmark, the kill tests and the soak all run on it: real processes, real broker, real signatures.
What is not real is the camera, and whoever stands before it.
"""

import contextlib
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec

from drivers import plugins
from drivers.camera import open_camera
from firmware.core.client import ask, control
from firmware.core.errors import TerminalError
from firmware.core.roles import Roles, Sealed
from firmware.gallery.consent import consent_hash
from firmware.payment.messages import Assurance
from firmware.runtime.config import Config, load_config
from firmware.runtime.ipc import Connection
from firmware.runtime.messages import Login, Purpose, RecordConsent, Role, Status, StatusReply
from hil.backend.keys import create_backend_key, create_root, registration, save_registrations, sign_key_set
from hil.emitter.demo import DemoCalibration
from hil.rig.brokers import Broker, embedded, free_port, mosquitto
from hil.rig.certificates import Authority
from hil.sensor.stage import Stage, read_stage, write_stage
from models.manifest import BUILT_DIR

TERMINAL, MERCHANT = "till-1", "CORNER-SHOP"
PROCESSES = ("core", "camera", "link")
STAFF: dict[Role, str] = {"operator": "op", "technician": "tech", "auditor": "audit"}
# what people are told before they agree; a new text is a new version
NOTICE = b"Your face is stored on this terminal only, to let you pay here, for 365 days or until you withdraw.\n"
NOTICE_VERSION = "2026-1"
_PRIVACY = f"""
[privacy]
controller = "Corner Shop, 1 High Street"
contact = "privacy@example.com"
notice = "notice.txt"
notice_version = "{NOTICE_VERSION}"
languages = ["en"]
time_zone = "Europe/Berlin"
retention_days = 365
other_way = "with a card or cash"
"""
# their passphrases are 128 random bits, which need no stretching
COST = 1024
# as short as a configuration may have it
DIGEST_PINNED = 16
# core loads its networks, on a busy machine not alone
READY_S = 60.0
STOP_S = 8.0


class SiteError(TerminalError):
    """Part of the site did not start or did not answer; the message says which and where its log is."""


@dataclass
class Site:
    """A running site. Make one with `Site.make`.

    Attributes:
        folder: everything lies here: configurations, keys, stores, logs (`terminal.log`, `backend.log`).
        config: the terminal's.
        broker: it can be killed and started again.
        authority: who issues certificates for it; None with the embedded broker.
        program: what runs the terminal, before `--config FILE`.
        ready_s: seconds from the start of `tessera run` until core answered, the camera was open, the link connected.
    """

    folder: Path
    config: Config
    broker: Broker
    authority: Authority | None
    register_url: str
    token: str
    terminal: "subprocess.Popen[bytes] | None" = None
    backend: "subprocess.Popen[bytes] | None" = None
    program: tuple[str, ...] = ("-m", "firmware.cli", "run")
    ready_s: dict[str, float] = field(default_factory=dict)
    # No connection is kept: an open one would hold up the backend's end.
    _http: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=10.0, limits=httpx.Limits(max_keepalive_connections=0))
    )

    @classmethod
    @contextlib.contextmanager
    def make(
        cls,
        folder: Path,
        *,
        broker: Literal["embedded", "mosquitto"] = "embedded",
        camera: dict[str, str | int | float] | None = None,
        source: Literal["virtual", "virtual-exposures"] = "virtual",
        profile: Literal["demo", "rig"] = "rig",
    ) -> Iterator["Site"]:
        """Lay out `folder`, start everything, and end it all afterwards.

        Args:
            folder: an empty folder.
            broker: the embedded one without TLS, or mosquitto with mutual TLS.
            camera: further options of the camera, e.g. its seed.
            source: the virtual camera, or the virtual sensor behind the structured-light driver.
            profile: of the terminal; `rig` tells precise reasons and values, `demo` what a customer may know.

        Raises:
            SiteError, BrokerError: something did not start.
        """
        authority = Authority(folder / "ca") if broker == "mosquitto" else None
        running = embedded(folder / "broker") if authority is None else mosquitto(folder / "broker", authority)
        with running as started:
            site = cls.lay_out(folder, started, authority, source, camera or {}, profile)
            try:
                site.start_backend()
                site.start_terminal()
                yield site
            finally:
                site.stop_terminal()
                site.stop_backend()
                site._http.close()

    @classmethod
    def lay_out(
        cls,
        folder: Path,
        broker: Broker,
        authority: Authority | None,
        source: str,
        camera: dict[str, Any],
        profile: str,
    ) -> "Site":
        """Write everything but the broker's into `folder`; nothing is started. Arguments as for `make`."""
        token, port = secrets.token_hex(16), free_port()
        public_key, element = lay_out_element(folder)
        private(folder / "token", token)
        _hire(folder)
        root = create_root(folder / "root.key", folder / "root.json")
        keys = [create_backend_key(folder / "backend.key").public_key()]
        (folder / "key-set.cose").write_bytes(sign_key_set(root, keys, version=1, now=int(time.time())))
        save_registrations(folder / "terminals.json", [registration(TERMINAL, MERCHANT, profile, public_key)])
        write_stage(folder / "stage.json", Stage())
        options = {"stage": str(folder / "stage.json"), **camera}
        pinned = open_camera(source, options).info
        looks = (
            f'[camera]\nsource = "{source}"\nserial = "{pinned.serial}"\n'
            f'calibration_digest = "{pinned.calibration_digest[:DIGEST_PINNED]}"\n'
            f"options = {_inline(options)}\n"
        )
        link = f'[link]\nhost = "{broker.host}"\nport = {broker.port}\n{tls_table("link", authority, TERMINAL)}'
        (folder / "terminal.toml").write_text(terminal_toml(TERMINAL, profile, looks, element, link))
        (folder / "backend.toml").write_text(
            f'store = "backend.db"\nkey = "backend.key"\nterminals = "terminals.json"\ntoken = "token"\nport = {port}\n'
            f'[broker]\nhost = "{broker.host}"\nport = {broker.port}\n{tls_table("broker", authority, "backend")}'
            + ("" if authority is None else f'[certifier]\nca = "{authority.ca}"\nkey = "{authority.key}"\n')
        )
        config, _ = load_config(folder / "terminal.toml")
        return cls(folder, config, broker, authority, f"http://127.0.0.1:{port}", token)

    # -- processes ----------------------------------------------------------------------------------------------

    def start_backend(self) -> None:
        """Start the backend and wait until its register answers and its broker is there."""
        self.backend = self._spawn("backend", "-m", "hil.backend", "--config", str(self.folder / "backend.toml"))
        self.wait_for("the backend", self.backend_ready)

    def start_terminal(self, awaited: Collection[str] = PROCESSES) -> None:
        """Start `tessera run` and wait until camera and link are up, or only those of `awaited`."""
        self.ready_s, born = {}, time.monotonic()
        self.terminal = self._spawn("terminal", *self.program, "--config", str(self.config_path))

        def ready() -> bool:
            up = {name for name, is_up in self.up().items() if is_up}
            self.ready_s |= {name: time.monotonic() - born for name in up - self.ready_s.keys()}
            return up.issuperset(awaited)

        self.wait_for("the terminal", ready)

    def light(self, owner: Literal["core", "camera"], port: Path, calibration: DemoCalibration) -> None:
        """Give the terminal an emitter board, and start it anew."""
        self.stop_terminal()
        with self.config_path.open("a") as config:
            config.write(
                f'[emitter]\nowner = "{owner}"\nport = "{port}"\n'
                f'limits = "{calibration.limits}"\nkey = "{calibration.key}"\n'
            )
        self.start_terminal()

    def stop_terminal(self) -> None:
        """End the terminal by SIGTERM. Idempotent."""
        _end(self.terminal)
        self.terminal = None

    def stop_backend(self) -> None:
        """End the backend by SIGTERM. Idempotent."""
        _end(self.backend)
        self.backend = None

    def kill_backend(self) -> None:
        """End the backend by SIGKILL."""
        if self.backend is not None:
            self.backend.kill()
        self.stop_backend()

    @property
    def public_key(self) -> bytes:
        """The terminal's device identity in force, DER. Raises SiteError before its first start."""
        return self.public_keys[-1]

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        """All it ever had, the one in force last. Raises SiteError before its first start."""
        path = Path(self.config.state_dir) / "identities.json"
        if not path.exists():
            raise SiteError(f"{path}: the terminal has never run")
        return tuple(bytes.fromhex(key) for key in msgspec.json.decode(path.read_bytes(), type=list[str]))

    @property
    def config_path(self) -> Path:
        """The terminal's configuration file."""
        return self.folder / "terminal.toml"

    def pid(self, process: Literal["core", "camera", "link"] | str) -> int:
        """Process id of one of the terminal's processes. Raises SiteError while it is not running."""
        try:
            return int((Path(self.config.run_dir) / f"{process}.pid").read_text())
        except (OSError, ValueError) as error:
            raise SiteError(f"{process} is not running") from error

    def _spawn(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait_for(self, what: str, ready: Any, timeout_s: float = READY_S) -> None:
        """Ask `ready` until it says yes. Raises SiteError naming `what` after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            for name in ("terminal", "backend"):
                process = getattr(self, name)
                if process is not None and process.poll() is not None:
                    log = self.folder / f"{name}.log"
                    raise SiteError(f"{name} ended with status {process.returncode}; see {log}:\n{_tail(log)}")
            if time.monotonic() > deadline:
                raise SiteError(f"{what} is not ready after {timeout_s:g} s; see the logs in {self.folder}")
            time.sleep(0.05)

    def backend_ready(self) -> bool:
        """Whether the register answers and the backend has its broker."""
        try:
            return bool(self._get("/health")["broker"])
        except httpx.TransportError:
            return False

    def up(self) -> dict[str, bool]:
        """Whether core answers, the camera is open, the link connected and the time known."""
        try:
            status = self.status()
        except TerminalError:
            return dict.fromkeys(PROCESSES, False)
        linked = status.link == "connected" and not status.clock
        return {"core": True, "camera": status.camera == self.config.camera.serial, "link": linked}

    # -- people and money ---------------------------------------------------------------------------------------

    def show(self, stage: Stage) -> None:
        """Put somebody or something before the camera."""
        write_stage(self.stage_path, stage)

    @property
    def stage_path(self) -> Path:
        """The stage file before its camera."""
        return self.folder / "stage.json"

    @property
    def stage(self) -> Stage:
        """What stands before the camera. Raises StageError."""
        return read_stage(self.stage_path)

    @contextlib.contextmanager
    def control(self, role: Role | None = "operator") -> Iterator[Connection[Any]]:
        """A control connection to the terminal, in the name of the one of the staff in that role; None: of nobody."""
        with control(self.config) as connection:
            if role is not None:
                name = STAFF[role]
                passphrase = self.passphrase_file(role).read_text()
                ask(connection, Login(name=name, passphrase=passphrase), timeout_s=10)
            yield connection

    def passphrase_file(self, role: Role) -> Path:
        """Where the passphrase of the one in that role stands, for the command line."""
        return self.folder / f"{STAFF[role]}.passphrase"

    def status(self) -> StatusReply:
        """How the terminal is. Raises TerminalError."""
        with self.control(None) as core:
            reply: StatusReply = ask(core, Status(), timeout_s=5)
        return reply

    def request(self, amount: str, currency: str, payer: str, assurance: Assurance = "geometry") -> str:
        """Ask the backend for a payment, as a cash register does; returns the intent's id in hex."""
        body = {"terminal": TERMINAL, "amount": amount, "currency": currency, "payer": payer, "assurance": assurance}
        return str(self._post("/intents", body)["intent"])

    def state(self, intent: str) -> tuple[str, str]:
        """(state, code) of an intent, as the register sees it."""
        answer = self._get(f"/intents/{intent}")
        return str(answer["state"]), str(answer["code"])

    def consent(self, form: bytes) -> bytes:
        """The terminal's signed record of a consent form (TOML). Raises TerminalError."""
        with self.control() as core:
            return bytes(ask(core, RecordConsent(form=form), timeout_s=10).envelope)

    def mandate(
        self, payer: str, consent: bytes, purpose: Purpose | Literal["pin"] = "payment", terminal: str = TERMINAL
    ) -> bytes:
        """The backend's signed mandate to enrol `payer` under a consent record, or to set their PIN."""
        body = {"payer": payer, "purpose": purpose, **_bound(consent), "terminal": terminal}
        return bytes.fromhex(str(self._post("/mandates", body)["mandate"]))

    def guardian_mandate(self, consent: bytes, verifier: str, method: str) -> bytes:
        """The mandate of the guardian who consented in a record."""
        body = {"verifier": verifier, "method": method, **_bound(consent)}
        return bytes.fromhex(str(self._post("/guardian-mandates", body)["mandate"]))

    def _get(self, path: str) -> dict[str, Any]:
        return self._answer(self._http.get(self.register_url + path, headers=self._headers))

    def _post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        return self._answer(self._http.post(self.register_url + path, headers=self._headers, json=body))

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @staticmethod
    def _answer(response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            raise SiteError(f"the backend refused: {response.status_code} {response.text}")
        answer: dict[str, Any] = response.json()
        return answer


def _bound(consent: bytes) -> dict[str, str]:
    return {"terminal": TERMINAL, "consent_hash": consent_hash(consent).hex()}


def lay_out_element(folder: Path, tpm: str = "") -> tuple[bytes, str]:
    """What a terminal begins with in `folder`: state, secure element, notice.

    `tpm`: where its TPM is; without one its keys are in a file. Returns its public key, DER, and its table
    `[secure_element]`.
    """
    (folder / "state").mkdir(parents=True)
    (folder / "notice.txt").write_bytes(NOTICE)
    kind, options = "tpm", {"tcti": tpm, "folder": str(folder / "element")}
    if not tpm:
        kind, options = "software", {"path": str(folder / "element"), "passphrase_file": str(folder / "passphrase")}
        private(folder / "passphrase", secrets.token_hex(16))
    with contextlib.closing(plugins.load(plugins.SECURE_ELEMENT_MAKERS, kind)(options)) as element:
        public_key: bytes = element.public_key
    return public_key, f'[secure_element]\nbackend = "{kind}"\noptions = {_inline(options)}\n'


def terminal_toml(terminal: str, profile: str, *tables: str) -> str:
    """The configuration of a terminal; `tables`: its camera, secure element and link."""
    return (
        f'profile = "{profile}"\nterminal = "{terminal}"\nmerchant = "{MERCHANT}"\n'
        f'state_dir = "state"\nrun_dir = "run"\nmodels_dir = "{BUILT_DIR}"\n'
        f'[backend]\nroot = "root.json"\nkeys = "key-set.cose"\n{_PRIVACY}{"".join(tables)}'
    )


def tls_table(table: str, authority: Authority | None, name: str) -> str:
    """The table `[table.tls]` for a client of the broker; empty where that has no TLS."""
    if authority is None:
        return ""
    identity = authority.issue_client(name)
    files = {name: str(getattr(identity, name)) for name in ("ca", "crl", "certificate", "key")}
    return f"[{table}.tls]\n" + "".join(f'{name} = "{path}"\n' for name, path in files.items())


def _inline(options: dict[str, Any]) -> str:
    values = ", ".join(f"{key} = {_toml(value)}" for key, value in options.items())
    return "{ " + values + " }"


def _toml(value: str | int | float) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _hire(folder: Path) -> None:
    """One of the staff in each role."""
    with contextlib.closing(Roles(folder / "state" / "roles.db")) as roles:
        for role, name in STAFF.items():
            chosen = secrets.token_hex(16)
            roles.add(name, role, Sealed.of(chosen, COST))
            private(folder / f"{name}.passphrase", chosen)


def private(path: Path, text: str) -> None:
    """Write a file for its owner only."""
    path.touch(mode=0o600)
    path.write_text(text)


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    if process is not None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(path: Path, lines: int = 8) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
