"""Whoever certifies and takes back by hand looks where the backend looks, and makes no second ledger."""

import time
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import CertificateGrant
from firmware.payment.trust import Trust, key_id, load_public_key
from hil.backend import fleet_store
from hil.backend.command import backend
from hil.backend.fleet_store import Certified
from hil.backend.keys import create_backend_key, create_root, registration, save_registrations, sign_key_set
from hil.backend.service import DATABASE_VARIABLE, serve
from hil.backend.simulator import new_element
from hil.backend.store import Store
from hil.rig.certificates import Authority
from tests.backend.fleet import asked_by


class Office:
    """A backend's files, which name `named.db`, and the database that it runs on."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database, self.config = folder, database, folder / "backend.toml"
        self.element = new_element()
        self.key = create_backend_key(folder / "backend.pem").public_key()
        root = create_root(folder / "root.key", folder / "root.json")
        (folder / "key-set.cose").write_bytes(sign_key_set(root, [self.key], version=1, now=int(time.time())))
        save_registrations(folder / "terminals.json", [registration("till-1", "SHOP", "demo", self.element.public_key)])
        Authority(folder / "ca")
        self.config.write_text(
            'store = "named.db"\nkey = "backend.pem"\nterminals = "terminals.json"\ntoken = "token"\nport = 1\n'
            'broker = { host = "127.0.0.1", port = 1 }\n[certifier]\nca = "ca/ca.pem"\nkey = "ca/ca.key"\n'
        )

    def suspend(self) -> None:
        """Give till-1 a certificate, of serial 0xabc, and suspend its key."""
        now, store = int(time.time()), Store(self.database)
        store.transact(
            lambda ledger: fleet_store.keep_grant(
                ledger.connection, bytes(32), Certified("till-1", "abc", now, now + 9_999), b"grant"
            )
        )
        kid = key_id(load_public_key(self.element.public_key))
        store.transact(lambda ledger: fleet_store.suspend(ledger.connection, kid, "till-1", now))
        store.close()

    def run(self, *words: object, variable: str | None = None) -> None:
        """Run a command of `tessera backend`. Raises PaymentError."""
        given = [str(word) for word in (*words, "--config", self.config)]
        CliRunner().invoke(backend, given, catch_exceptions=False, env={DATABASE_VARIABLE: variable})

    def listed(self) -> list[int]:
        """The serials on the list."""
        return [each.serial_number for each in x509.load_pem_x509_crl((self.folder / "crl.pem").read_bytes())]


@pytest.fixture
def office(tmp_path: Path, database: str) -> Office:
    return Office(tmp_path, database)


@pytest.mark.parametrize("by_variable", [True, False], ids=["variable", "option"])
def test_what_is_taken_back_is_looked_up_where_the_backend_keeps_it(office: Office, *, by_variable: bool) -> None:
    office.suspend()
    words = ("revocations", "--list", office.folder / "crl.pem")
    if by_variable:
        office.run(*words, variable=office.database)
    else:
        office.run(*words, "--database", office.database)
    assert office.listed() == [0xABC]
    assert not (office.folder / "named.db").exists()


def test_a_certificate_by_hand_is_kept_where_the_backend_keeps_its_own(office: Office) -> None:
    Store(office.database).close()
    request, grant = office.folder / "request.cose", office.folder / "grant.cose"
    request.write_bytes(asked_by(office.element))
    office.run("certify", "till-1", "--request", request, "--out", grant, variable=office.database)
    trust = Trust({key_id(office.key): office.key})
    assert schema.verify(grant.read_bytes(), CertificateGrant, trust.resolve)[1].terminal == "till-1"
    store = Store(office.database)
    kept = store.transact(lambda ledger: fleet_store.certified(ledger.connection, 0))
    store.close()
    assert [each.terminal for each in kept] == ["till-1"]
    assert not (office.folder / "named.db").exists()


def test_no_list_is_signed_from_a_store_that_nobody_has_kept_anything_in(office: Office) -> None:
    for variable in (None, office.database):
        with pytest.raises(PaymentError, match="no backend has kept anything there"):
            office.run("revocations", "--list", office.folder / "crl.pem", variable=variable)
    assert not (office.folder / "crl.pem").exists()
    assert not (office.folder / "named.db").exists()


def test_a_database_that_is_given_as_nothing_is_not_the_one_in_the_file(tmp_path: Path) -> None:
    office = Office(tmp_path, str(tmp_path / "used.db"))
    for words in (("run",), ("revocations", "--list", tmp_path / "crl.pem")):
        with pytest.raises(PaymentError, match="empty"):
            office.run(*words, variable="")
        with pytest.raises(PaymentError, match="empty"):
            office.run(*words, "--database", "")
    (tmp_path / "token").write_text("a-token-that-is-long-enough")
    with pytest.raises(PaymentError, match="empty"):
        serve(office.config, database="")
    assert not (tmp_path / "named.db").exists()
