"""The databases the backend's tests run on: SQLite always, and PostgreSQL for real in a cluster of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hil.backend.cluster import Cluster, cluster, programs
from hil.rig.brokers import Broker, mosquitto
from hil.rig.certificates import Authority
from tests.absent import absent
from tests.backend.service import Service, Till


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A running cluster, shared by the tests of this session: ask it for a database."""
    if programs() is None:
        absent("PostgreSQL is not installed: apt-get install postgresql")
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, on each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "backend.db")
    create: Callable[[], str] = request.getfixturevalue("postgresql").create
    return create()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def broker(tmp_path: Path, authority: Authority, mosquitto_installed: None) -> Iterator[Broker]:
    """mosquitto with mutual TLS."""
    with mosquitto(tmp_path / "broker", authority) as broker:
        yield broker


@pytest.fixture
def service(tmp_path: Path, broker: Broker, authority: Authority) -> Iterator[Service]:
    """The backend, laid out and not yet started."""
    service = Service(tmp_path, broker, authority)
    yield service
    service.close()


@pytest.fixture
def till(tmp_path: Path, service: Service, broker: Broker, authority: Authority) -> Iterator[Till]:
    """A terminal that the backend knows, at the broker."""
    till = Till(tmp_path, service, broker, authority)
    yield till
    till.close()
