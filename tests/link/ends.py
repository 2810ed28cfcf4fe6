"""Stand-ins for the two ends of the link process: a core that answers a socket, and a backend on the broker."""

import asyncio
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from firmware.runtime import ipc
from firmware.runtime.messages import FromLink, LastWill, TimeFloor
from hil.rig.brokers import Broker, client_context
from hil.rig.certificates import Identity

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 20.0
WILL = b"signed ahead: it is gone"


class Core:
    """Listens at a socket as core does, and says `greeting` to whoever comes; what comes is queued in `said`."""

    def __init__(self, path: Path, receive_type: Any, greeting: tuple[Any, ...] = ()) -> None:
        self._path = path
        self._greeting = greeting
        self._receive_type = receive_type
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._listening = threading.Event()
        self._peers: queue.Queue[ipc.Peer[Any]] = queue.Queue()
        self.said: queue.Queue[Any] = queue.Queue()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        server = await ipc.serve(self._path, self._receive_type, self._attend)
        self._listening.set()
        await self._ending.wait()
        await server.close()

    async def _attend(self, peer: ipc.Peer[Any]) -> None:
        self._peers.put(peer)
        for message in self._greeting:
            await peer.send(message)
        while True:
            self.said.put(await peer.receive())

    def hears(self, kind: type[Any], check: Callable[[Any], bool] = lambda _: True) -> Any:
        """Wait for a message of `kind` that passes `check`."""
        while True:
            message = self.said.get(timeout=WAIT_S)
            if isinstance(message, kind) and check(message):
                return message

    def say(self, message: Any) -> None:
        """Send to whoever connected last."""
        peer = self._peers.get(timeout=WAIT_S)
        while not self._peers.empty():
            peer = self._peers.get()
        self._peers.put(peer)
        asyncio.run_coroutine_threadsafe(peer.send(message), self._loop).result(WAIT_S)

    def __enter__(self) -> "Core":
        self._thread.start()
        assert self._listening.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()


def link_core(folder: Path, floor: int = 0) -> Core:
    """A core for the link process, in `folder`/run."""
    return Core(folder / "run" / "link.sock", FromLink, (TimeFloor(at=floor), LastWill(envelope=WILL)))


class Client:
    """Somebody else on the broker: the backend, or an attacker."""

    def __init__(
        self, broker: Broker, name: str, identity: Identity | None, *topics: str, expiry_s: int = 3600
    ) -> None:
        self.got: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._acks: queue.Queue[ReasonCode] = queue.Queue()
        self._ready = threading.Event()
        self._topics = topics
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        if identity is not None:
            self.mqtt.tls_set_context(client_context(identity))
        self.mqtt.reconnect_delay_set(1, 1)
        self.mqtt.on_connect = self._connected
        self.mqtt.on_subscribe = lambda *_: self._ready.set()
        self.mqtt.on_message = lambda _client, _data, message: self.got.put((message.topic, bytes(message.payload)))
        self.mqtt.on_publish = lambda _client, _data, _mid, reason, _properties: self._acks.put(reason)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = expiry_s
        self.mqtt.connect(broker.host, broker.port, clean_start=False, properties=properties)
        self.mqtt.loop_start()
        assert self._ready.wait(WAIT_S)

    def _connected(self, *_: object) -> None:
        if self._topics:
            self.mqtt.subscribe([(topic, 1) for topic in self._topics])
        else:
            self._ready.set()

    def subscribe(self, topic: str) -> None:
        """Subscribe besides, and wait until the broker has answered."""
        self._ready.clear()
        self.mqtt.subscribe(topic, qos=1)
        assert self._ready.wait(WAIT_S)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> ReasonCode:
        """Publish and wait for the broker's word on it."""
        self.mqtt.publish(topic, payload, qos=1, retain=retain)
        return self._acks.get(timeout=WAIT_S)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


class Link:
    """The link process, as the supervisor starts it."""

    def __init__(self, config: Path) -> None:
        command = (sys.executable, "-m", "firmware.link", "--config", str(config))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.popen = subprocess.Popen(command, cwd=ROOT, env=environment)

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.terminate()
        assert self.popen.wait(WAIT_S) == 0
