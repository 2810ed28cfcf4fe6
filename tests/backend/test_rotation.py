"""The backend's keys follow each other and no terminal is left believing the wrong ones; a terminal's keys likewise."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from drivers.secure_element.interface import SecureElement
from drivers.secure_element.request import certificate_request
from firmware.payment.errors import PaymentError
from firmware.payment.keyset import BackendKeys
from firmware.payment.trust import key_id, load_trust
from hil.backend import registry, rotation
from hil.backend.command import backend
from hil.backend.keys import create_root, load_backend_key, load_registrations
from hil.backend.rotation import MOST_VERSION, KeyFiles
from hil.backend.simulator import new_element


@pytest.fixture
def files(tmp_path: Path) -> KeyFiles:
    """A backend that has a root and nothing under it."""
    create_root(tmp_path / "root.key", tmp_path / "root.json")
    return KeyFiles(tmp_path / "backend.key", tmp_path / "key-set.cose", tmp_path / "root.json", "demo")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root.key"


def used(files: KeyFiles) -> bytes:
    return key_id(load_backend_key(files.key).public_key())


def test_a_terminal_that_takes_each_set_believes_each_key_in_its_time(
    files: KeyFiles, root: Path, tmp_path: Path
) -> None:
    rotation.renew(files, root, 1)
    (tmp_path / "first.cose").write_bytes(files.key_set.read_bytes())
    clock = SimpleNamespace(known=True, at_least=lambda: 1_800_000_000)
    trust = BackendKeys(load_trust(files.root), "demo", tmp_path / "first.cose", tmp_path / "kept.cose", clock)  # type: ignore[arg-type]
    old = used(files)
    assert trust.resolve(old)
    rotation.rotate(files, root)
    assert used(files) == old, "the next key signs nothing yet"
    assert trust.take(files.key_set.read_bytes())
    new = rotation.switch(files)
    assert used(files) == new
    assert trust.resolve(old)
    assert trust.resolve(new)
    assert rotation.revoke(files, root, old).version == trust.version + 1 == 3
    assert trust.take(files.key_set.read_bytes())
    with pytest.raises(PaymentError, match="unknown_key"):
        trust.resolve(old)
    assert trust.resolve(new)


def test_a_set_is_renewed_with_the_same_keys(files: KeyFiles, root: Path) -> None:
    first, second = rotation.renew(files, root, 1), rotation.renew(files, root)
    assert (first.keys, first.version + 1) == (second.keys, second.version)


def test_no_step_is_taken_out_of_order(files: KeyFiles, root: Path) -> None:
    rotation.renew(files, root, 1)
    with pytest.raises(PaymentError, match="no next key"):
        rotation.switch(files)
    with pytest.raises(PaymentError, match="in use"):
        rotation.revoke(files, root, used(files))
    with pytest.raises(PaymentError, match="no key"):
        rotation.revoke(files, root, bytes(8))
    rotation.rotate(files, root)
    with pytest.raises(PaymentError, match="already"):
        rotation.rotate(files, root)


def test_a_next_key_nobody_wants_any_more_is_revoked_before_it_signs(files: KeyFiles, root: Path) -> None:
    rotation.renew(files, root, 1)
    rotation.rotate(files, root)
    rotation.revoke(files, root, key_id(load_backend_key(files.following).public_key()))
    assert not files.following.exists()
    assert len(files.in_force().keys) == 1


def test_another_root_than_the_pinned_one_signs_nothing(files: KeyFiles, root: Path, tmp_path: Path) -> None:
    rotation.renew(files, root, 1)
    before = files.key_set.read_bytes()
    create_root(tmp_path / "other.key", tmp_path / "other.json")
    with pytest.raises(PaymentError, match="unknown_key"):
        rotation.renew(files, tmp_path / "other.key")
    assert files.key_set.read_bytes() == before


def test_a_set_that_was_lost_is_followed_by_one_that_terminals_take(
    files: KeyFiles, root: Path, tmp_path: Path
) -> None:
    rotation.renew(files, root, 5)
    (tmp_path / "first.cose").write_bytes(files.key_set.read_bytes())
    clock = SimpleNamespace(known=True, at_least=lambda: 1_800_000_000)
    trust = BackendKeys(load_trust(files.root), "demo", tmp_path / "first.cose", tmp_path / "kept.cose", clock)  # type: ignore[arg-type]
    old = used(files)
    files.key_set.unlink()
    with pytest.raises(PaymentError, match="where it was lost"):
        rotation.renew(files, root)
    assert not files.key_set.exists()
    rotation.renew(files, root, 9)
    rotation.rotate(files, root)
    rotation.switch(files)
    assert rotation.revoke(files, root, old).version == 11
    assert trust.take(files.key_set.read_bytes())
    with pytest.raises(PaymentError, match="unknown_key"):
        trust.resolve(old)


def test_a_set_put_back_from_a_copy_makes_no_revoked_key_count_again(
    files: KeyFiles, root: Path, tmp_path: Path
) -> None:
    """The stolen key is in the copy; whoever says a version has the key in use signed and no other."""
    rotation.renew(files, root, 1)
    (tmp_path / "first.cose").write_bytes(files.key_set.read_bytes())
    clock = SimpleNamespace(known=True, at_least=lambda: 1_800_000_000)
    trust = BackendKeys(load_trust(files.root), "demo", tmp_path / "first.cose", tmp_path / "kept.cose", clock)  # type: ignore[arg-type]
    stolen = used(files)
    rotation.rotate(files, root)
    rotation.switch(files)
    copy = files.key_set.read_bytes()
    rotation.revoke(files, root, stolen)
    assert trust.take(files.key_set.read_bytes())
    files.key_set.write_bytes(copy)
    rotation.renew(files, root, 100)
    assert trust.take(files.key_set.read_bytes())
    assert trust.resolve(used(files))
    with pytest.raises(PaymentError, match="unknown_key"):
        trust.resolve(stolen)


def test_no_version_can_be_said_that_nothing_could_follow(files: KeyFiles, root: Path) -> None:
    with pytest.raises(PaymentError, match="at most"):
        rotation.renew(files, root, MOST_VERSION + 1)
    rotation.renew(files, root, MOST_VERSION)
    rotation.rotate(files, root)
    assert rotation.renew(files, root).version == MOST_VERSION + 2


def test_no_set_is_signed_below_the_one_in_force(files: KeyFiles, root: Path) -> None:
    rotation.renew(files, root, 5)
    with pytest.raises(PaymentError, match="does not follow"):
        rotation.renew(files, root, 5)
    assert files.in_force().version == 5


def test_the_commands_do_the_same(tmp_path: Path) -> None:
    config = tmp_path / "backend.toml"
    config.write_text(
        'store = "b.db"\nkey = "backend.key"\nterminals = "terminals.json"\ntoken = "token"\nport = 1\n'
        '[broker]\nhost = "127.0.0.1"\nport = 1\n'
    )

    def said(*words: str) -> str:
        answer = CliRunner().invoke(backend, list(words), catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return answer.output.replace("\n", " ")

    with_root = ("--config", str(config), "--root", str(tmp_path / "root.key"))
    assert "for demo" in said("keys", "root", str(tmp_path))
    assert "key set 1" in said("keys", "renew", *with_root, "--version", "1")
    first = key_id(load_backend_key(tmp_path / "backend.key").public_key()).hex()
    assert "key set 2" in said("keys", "rotate", *with_root)
    said("keys", "switch", "--config", str(config))
    assert "key set 3" in said("keys", "revoke", first, *with_root)
    assert first not in said("keys", "show", "--config", str(config))


# -- terminals ----------------------------------------------------------------------------------------------------


def asked(folder: Path, element: SecureElement, name: str = "till-1") -> Path:
    path = folder / "request.pem"
    path.write_bytes(certificate_request(element, name))
    return path


def registered(folder: Path, element: SecureElement) -> Path:
    path = folder / "terminals.json"
    registry.register(path, "till-1", "CORNER-SHOP", "demo", asked(folder, element), counter=True)
    return path


def test_a_terminal_is_registered_by_what_its_device_key_signed(tmp_path: Path) -> None:
    element = new_element()
    (known,) = load_registrations(registered(tmp_path, element))
    assert (known.terminal, known.merchant, known.profile, known.counter) == ("till-1", "CORNER-SHOP", "demo", True)
    assert known.since > 0
    with pytest.raises(PaymentError, match="registered already"):
        registered(tmp_path, new_element())
    with pytest.raises(PaymentError, match="terminal_mismatch"):
        registry.register(
            tmp_path / "terminals.json", "till-2", "SHOP", "demo", asked(tmp_path, new_element()), counter=False
        )


def test_a_key_that_was_replaced_or_revoked_never_counts_again(tmp_path: Path) -> None:
    first, second = new_element(), new_element()
    path = registered(tmp_path, first)
    registry.revoke(path, "till-1")
    made = registry.rekey(path, "till-1", asked(tmp_path, second), counter=True)
    assert (made.revoked, made.counter) == (False, True)
    for element in (first, second):
        with pytest.raises(PaymentError, match="retired"):
            registry.rekey(path, "till-1", asked(tmp_path, element), counter=True)
    with pytest.raises(PaymentError, match="retired"):
        registry.register(path, "till-2", "SHOP", "demo", asked(tmp_path, first, "till-2"), counter=False)
    with pytest.raises(PaymentError, match="one key"):
        registry.register(path, "till-2", "SHOP", "demo", asked(tmp_path, second, "till-2"), counter=False)


def test_a_key_of_an_element_that_does_not_count_inherits_no_counter(tmp_path: Path) -> None:
    """Or a terminal whose new element counts nothing would be allowed payments offline on the old one's word."""
    path, request = registered(tmp_path, new_element()), asked(tmp_path, new_element())
    config = tmp_path / "backend.toml"
    config.write_text(
        'store = "s"\nkey = "k"\nterminals = "terminals.json"\ntoken = "t"\nport = 1\n'
        'broker = { host = "127.0.0.1", port = 1 }\n'
    )
    words = ["terminals", "rekey", "till-1", "--request", str(request), "--config", str(config)]
    assert CliRunner().invoke(backend, words, catch_exceptions=False).exit_code == 0
    assert [known.counter for known in load_registrations(path)] == [False]


def test_what_is_no_request_registers_nobody(tmp_path: Path) -> None:
    path = tmp_path / "request.pem"
    path.write_text("not a request")
    with pytest.raises(PaymentError, match="not a certificate request"):
        registry.register(tmp_path / "terminals.json", "till-1", "SHOP", "demo", path, counter=False)
    assert not (tmp_path / "terminals.json").exists()
