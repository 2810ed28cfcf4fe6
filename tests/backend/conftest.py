"""The databases the backend's tests run on: SQLite always, and PostgreSQL for real in a cluster of its own."""

import datetime
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hil.backend.cluster import Cluster, cluster, programs
from hil.backend.reconcile import DAY_S, end_of
from hil.backend.shop import Shop
from hil.rig.brokers import Broker, mosquitto
from hil.rig.certificates import Authority
from tests.absent import absent
from tests.backend.books import day_of
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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def old_shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop on each kind of database that a file's tests share: making tables costs more than most of them."""
    database = request.getfixturevalue("postgresql").create() if request.param == "postgresql" else None
    shop = Shop(tmp_path_factory.mktemp("shop"), database=database)
    yield shop
    shop.close()


@pytest.fixture
def next_day(old_shop: Shop) -> Shop:
    """That shop, on the noon of a day on which nothing has happened yet; all before it is closed."""
    noon = end_of(day_of(old_shop)) + DAY_S // 2
    old_shop.time = noon
    old_shop.backend.close_day(day_of(old_shop) - datetime.timedelta(days=1))
    return old_shop


@pytest.fixture
def key() -> str:
    """A key that no other test has called under."""
    return secrets.token_hex(4)


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
