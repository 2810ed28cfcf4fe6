"""Real MQTT brokers on a free port of 127.0.0.1, ready when a CONNECT has been answered.

- `mosquitto`: as in production. Mutual TLS 1.3, the certificate's name is user and client id, access by topic:
  `mosquitto.conf` and `mosquitto-acl.conf` beside this file.
- `embedded`: rumqttd inside a wheel, for a demo without a Debian package. **Demo only**: no TLS, no access list,
  forgets everything when it ends. What protects a payment there are the signatures of its messages.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from firmware.core.errors import TerminalError
from firmware.runtime.messages import MAX_ENVELOPE_BYTES
from hil.rig.certificates import Authority, Identity

HOST = "127.0.0.1"
READY_S = 15.0
MAX_PACKET_BYTES = MAX_ENVELOPE_BYTES + 1024
_STOP_S = 5.0
# in the folder of mosquitto.conf, and what it says there
LOG_NAME = "mosquitto.log"
_RELOADED = "Reloading config"

# `backend` and its further workers serve every terminal
BACKENDS = ("backend", *(f"backend-{number}" for number in range(1, 9)))
_MOSQUITTO_CONF = Path(__file__).with_name("mosquitto.conf")
_ACCESS_LIST = Path(__file__).with_name("mosquitto-acl.conf")

_EMBEDDED_TOML = """\
id = 0
[router]
id = 0
max_connections = 64
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10
[v5.1]
name = "demo"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {max_packet_bytes}
max_inflight_count = 100
dynamic_filters = true
"""


class BrokerError(TerminalError):
    """A broker that cannot be started; the message says why and what to do."""


class Broker:
    """A broker process of ours.

    Attributes:
        host: always 127.0.0.1.
        port: TCP port; stays the same over `kill` and `start`.
        label: what to call it where people read it.
    """

    def __init__(self, label: str, port: int, command: tuple[str, ...], log: Path, probe: Identity | None) -> None:
        self.label = label
        self.host = HOST
        self.port = port
        self._command = command
        self._log = log
        self._probe = probe
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id. Raises BrokerError if it does not run."""
        if self._process is None:
            raise BrokerError(f"{self.label}: is not running")
        return self._process.pid

    def start(self) -> None:
        """Start and wait until a CONNECT is accepted.

        Raises:
            BrokerError: it ended, or did not accept within `READY_S`.
        """
        with self._log.open("ab") as output:
            # stdin: the embedded broker ends when its parent's end of this pipe closes
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        self._process = process
        deadline = time.monotonic() + READY_S
        while not _accepts(self.port, self._probe):
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(0.02)
                raise BrokerError(f"{self.label}: ended with status {status}; see {self._log.parent}")
            if time.monotonic() > deadline:
                self.stop()
                raise BrokerError(f"{self.label}: accepts no connection after {READY_S} s; see {self._log.parent}")

    def stop(self) -> None:
        """End it in good order. Idempotent."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would. `start` brings it back on the same port, with what it has on disk."""
        self._end(signal.SIGKILL)

    def reload(self) -> None:
        """Have mosquitto read its access list and its files for TLS again. Who is connected stays so.

        Raises:
            BrokerError: it says nothing of it within `READY_S`.
        """
        said = self._log.with_name(LOG_NAME)
        before, deadline = said.read_text().count(_RELOADED), time.monotonic() + READY_S
        os.kill(self.pid, signal.SIGHUP)
        while said.read_text().count(_RELOADED) == before:
            if time.monotonic() > deadline:
                raise BrokerError(f"{self.label}: has not read its files again; see {said}")
            time.sleep(0.01)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


@contextlib.contextmanager
def mosquitto(directory: Path, authority: Authority, more_acl: str = "") -> Iterator[Broker]:
    """Run mosquitto with mutual TLS as `mosquitto.conf` says; its files, log and persistence lie in `directory`.

    Users are certificate names: a terminal's id, one of `BACKENDS`, or `tap` (may read everything). `more_acl`:
    lines behind the access list, for users of a test's own.

    Raises:
        BrokerError: it is not installed or does not start.
    """
    # Debian puts it where a user's PATH may not look
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise BrokerError("mosquitto is not installed: apt-get install mosquitto")
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    server, here = authority.issue_server(), directory.resolve()
    conf = Template(_MOSQUITTO_CONF.read_text()).substitute(
        port=port,
        ca=server.ca,
        crl=server.crl,
        certificate=server.certificate,
        key=server.key,
        acl=here / "acl",
        directory=here,
        max_packet_bytes=MAX_PACKET_BYTES,
        user=getpass.getuser(),
    )
    (directory / "acl").write_text(_access_list() + more_acl)
    (directory / "acl").chmod(0o600)
    (directory / "mosquitto.conf").write_text(conf)
    command = (program, "-c", str(directory / "mosquitto.conf"))
    broker = Broker("mosquitto", port, command, directory / "output.log", authority.issue_client("probe"))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@contextlib.contextmanager
def embedded(directory: Path) -> Iterator[Broker]:
    """Run the embedded demo broker in a process of its own. No TLS, no access list: 127.0.0.1 and demo only.

    Raises:
        BrokerError: it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    conf = directory / "embedded.toml"
    conf.write_text(_EMBEDDED_TOML.format(port=port, max_packet_bytes=MAX_PACKET_BYTES))
    command = (sys.executable, "-m", "hil.rig.embedded_broker", str(conf))
    broker = Broker("embedded demo broker", port, command, directory / "output.log", None)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def _access_list() -> str:
    listed = _ACCESS_LIST.read_text()
    _, backend = listed.split(f"user {BACKENDS[0]}\n")
    return listed + "".join(f"\nuser {name}\n{backend}" for name in BACKENDS[1:])


def client_context(identity: Identity) -> ssl.SSLContext:
    """Return a TLS 1.3 context that trusts only our demo CA, less what it took back, and presents `identity`."""
    context = ssl.create_default_context(cafile=str(identity.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    context.load_verify_locations(str(identity.crl))
    context.load_cert_chain(str(identity.certificate), str(identity.key))
    return context


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _accepts(port: int, identity: Identity | None) -> bool:
    """Whether a CONNECT is answered with success."""
    answers: list[bool] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="probe", protocol=mqtt.MQTTv5)
    client.on_connect = lambda *args: answers.append(not args[3].is_failure)
    if identity is not None:
        client.tls_set_context(client_context(identity))
    try:
        client.connect(HOST, port, keepalive=5)
        deadline = time.monotonic() + 1.0
        while not answers and time.monotonic() < deadline and client.loop(0.05) == mqtt.MQTT_ERR_SUCCESS:
            pass
        client.disconnect()
    except OSError:
        return False
    return answers == [True]
