"""The last will: the broker tells of a terminal that is gone, and of none that is soon back."""

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from firmware.link import broker as connection
from firmware.link.topics import topic
from firmware.runtime.messages import LinkState, Publish
from hil.rig import brokers
from hil.rig.brokers import Broker
from hil.rig.certificates import Authority
from tests.link.ends import WAIT_S, WILL, Client, Core, Link, link_core
from tests.link.test_link import link_settings, write_config

pytestmark = pytest.mark.usefixtures("mosquitto_installed")
NAMES = ("t-1", "t-2", "t-3")


@pytest.fixture
def authority(folder: Path) -> Authority:
    return Authority(folder / "certificates")


@pytest.fixture
def broker(folder: Path, stack: ExitStack, authority: Authority) -> Broker:
    return stack.enter_context(brokers.mosquitto(folder / "broker", authority))


def test_terminal_is_told_to_be_gone_when_core_goes_when_link_is_stopped_and_when_it_is_killed(
    folder: Path, stack: ExitStack, broker: Broker, authority: Authority
) -> None:
    backend = stack.enter_context(Client(broker, "backend", authority.issue_client("backend"), topic("+", "status")))
    cores: list[Core] = []
    links: list[Link] = []
    for name in NAMES:
        (folder / name / "run").mkdir(mode=0o700, parents=True)
        config = write_config(folder / name, broker.port, authority.issue_client(name))
        config.write_text(config.read_text().replace('terminal = "t-1"', f'terminal = "{name}"'))
        cores.append(link_core(folder / name).__enter__())
        links.append(Link(config))
        assert cores[-1].hears(LinkState).connected
        cores[-1].say(Publish(kind="status", envelope=b"here"))
        assert backend.got.get(timeout=WAIT_S) == (topic(name, "status"), b"here")
    cores[0].__exit__()
    links[1].popen.terminate()
    links[2].popen.kill()
    gone = {(topic(name, "status"), WILL) for name in NAMES}
    assert {backend.got.get(timeout=WAIT_S) for _ in NAMES} == gone
    with Client(broker, "backend-1", authority.issue_client("backend-1"), topic("+", "status")) as late:
        assert {late.got.get(timeout=WAIT_S) for _ in NAMES} == gone
    for core in cores[1:]:
        core.__exit__()
    links[0].popen.terminate()
    for link in links:
        link.popen.wait(WAIT_S)


def test_who_is_back_in_time_was_never_away(
    stack: ExitStack, broker: Broker, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = stack.enter_context(Client(broker, "backend", authority.issue_client("backend"), topic("+", "status")))
    monkeypatch.setattr(connection, "WILL_DELAY_S", 1)

    def joined(name: str) -> connection.Broker:
        up, settings = threading.Event(), link_settings(broker, authority.issue_client(name))
        joining = connection.Broker(settings, name, WILL, lambda: 0.0, lambda *_: None, lambda *_: up.set())
        joining.__enter__()
        assert up.wait(WAIT_S)
        return joining

    short, long = joined("t-1"), joined("t-2")
    short.__exit__(None, None, None)
    stack.push(joined("t-1"))
    # whose will is due later than that of t-1 would have been
    long.__exit__(None, None, None)
    assert backend.got.get(timeout=WAIT_S) == (topic("t-2", "status"), WILL)
    assert backend.got.empty()
