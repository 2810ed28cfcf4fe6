"""A database that is named and cannot be used: said, by one error that everybody takes, and without its password."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from hil.backend.cluster import USER, Cluster
from hil.backend.database import Database, StoreError, unmigrated
from hil.backend.shop import Shop
from tests.backend.test_register import Register


def as_root(postgresql: Cluster, *statements: str) -> None:
    engine = create_engine(postgresql.url().replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def health(shop: Shop) -> object:
    """What a monitor is told."""
    return Register(shop).call("GET", "/health").json()


@pytest.fixture
def shop(tmp_path: Path, postgresql: Cluster) -> Iterator[Shop]:
    shop = Shop(tmp_path, database=postgresql.create())
    yield shop
    shop.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_text("{}" * 5000)
    with pytest.raises(StoreError, match="not a database"):
        Database(str(tmp_path / "root.json"))
    assert not unmigrated(str(tmp_path / "root.json")).answers()


def test_a_postgresql_whose_user_may_make_no_tables(postgresql: Cluster) -> None:
    """What PostgreSQL 15 gives to whoever is new there."""
    as_root(postgresql, "CREATE USER shop")
    with pytest.raises(StoreError, match="permission denied"):
        Database(postgresql.create().replace(f"{USER}@", "shop@"))


def test_a_database_that_may_only_be_read_has_nothing_answered_until_it_takes_what_is_written(
    shop: Shop, postgresql: Cluster
) -> None:
    """As one does that became a standby."""
    envelope, name = shop.authorized(), shop.database.partition("@/")[2].partition("?")[0]
    assert shop.backend.ready()
    as_root(postgresql, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    shop.restart_backend()
    assert not shop.backend.ready()
    assert health(shop) == {"broker": True, "database": False}
    with pytest.raises(StoreError, match="read-only"):
        shop.backend.handle("till-1", envelope)
    as_root(postgresql, f"ALTER DATABASE {name} RESET default_transaction_read_only")
    shop.restart_backend()
    assert shop.backend.ready()
    assert health(shop) == {"broker": True, "database": True}
    assert shop.code(envelope) == "approved"


def test_a_password_in_the_query_of_a_url_is_not_said() -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1") as refused:
        Database("postgresql://u@127.0.0.1:1/x?password=open-sesame")
    assert "open-sesame" not in str(refused.value)
