"""The software secure element: what it keeps, what it refuses, what it says."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key

from drivers.plugins import SECURE_ELEMENTS, load
from drivers.secure_element.interface import SecureElementError
from drivers.secure_element.software import SoftwareSecureElement, create, open_secure_element

PASSPHRASE = b"a passphrase of the test"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str | int | float | bool]:
    """Options of a new key file."""
    passphrase = tmp_path / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_bytes(PASSPHRASE + b"\n")
    create(tmp_path / "device.key", PASSPHRASE)
    return {"path": str(tmp_path / "device.key"), "passphrase_file": str(passphrase)}


def test_the_key_survives_and_signs(files: dict[str, str | int | float | bool]) -> None:
    element = open_secure_element(files)
    again = load(SECURE_ELEMENTS, "software")(files)
    assert again.public_key == element.public_key
    signature = again.sign(b"message")
    key = load_der_public_key(element.public_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    key.verify(der, b"message", ec.ECDSA(hashes.SHA256()))
    assert element.unseal(again.seal(b"template", b"person-1"), b"person-1") == b"template"


def test_it_claims_no_capability(files: dict[str, str | int | float | bool]) -> None:
    assert open_secure_element(files).capabilities == frozenset()


def test_a_sealed_blob_opens_only_whole_here_and_under_its_own_data() -> None:
    one, other = (SoftwareSecureElement(ec.generate_private_key(ec.SECP256R1()), bytes([n]) * 32) for n in (1, 2))
    sealed = one.seal(b"template", b"person-1")
    assert sealed != one.seal(b"template", b"person-1")
    for element, blob, data in (
        (one, sealed, b"person-2"),
        (other, sealed, b"person-1"),
        (one, sealed[:-1], b"person-1"),
        (one, bytes([sealed[0] ^ 1]) + sealed[1:], b"person-1"),
        (one, b"", b"person-1"),
    ):
        with pytest.raises(SecureElementError):
            element.unseal(blob, data)


def test_files_are_for_their_owner_only(files: dict[str, str | int | float | bool]) -> None:
    assert Path(str(files["path"])).stat().st_mode & 0o777 == 0o600
    for name in ("path", "passphrase_file"):
        Path(str(files[name])).chmod(0o640)
        with pytest.raises(SecureElementError, match="chmod 600"):
            open_secure_element(files)
        Path(str(files[name])).chmod(0o600)


def test_a_wrong_passphrase_says_so(files: dict[str, str | int | float | bool]) -> None:
    Path(str(files["passphrase_file"])).write_bytes(b"another")
    with pytest.raises(SecureElementError, match=r"passphrase in .* is wrong or the file is damaged"):
        open_secure_element(files)


@pytest.mark.parametrize("at", [0, 20, 35, 60, -1])
def test_a_damaged_file_never_opens(files: dict[str, str | int | float | bool], at: int) -> None:
    path = Path(str(files["path"]))
    blob = bytearray(path.read_bytes())
    blob[at] ^= 1
    path.write_bytes(blob)
    with pytest.raises(SecureElementError, match=r"damaged|not a Tessera key file"):
        open_secure_element(files)


def test_a_file_cut_short_missing_or_grown_is_refused(files: dict[str, str | int | float | bool]) -> None:
    path = Path(str(files["path"]))
    blob = path.read_bytes()
    for wrong, reason in ((blob[:-1], "not a Tessera key file"), (blob + b"\0", "larger than")):
        path.write_bytes(wrong)
        with pytest.raises(SecureElementError, match=reason):
            open_secure_element(files)
    path.unlink()
    with pytest.raises(SecureElementError, match="cannot be read"):
        open_secure_element(files)


def test_an_old_key_is_never_replaced(files: dict[str, str | int | float | bool]) -> None:
    with pytest.raises(SecureElementError, match="not replaced"):
        create(Path(str(files["path"])), PASSPHRASE)


@pytest.mark.parametrize("options", [{}, {"path": "x"}, {"path": 1, "passphrase_file": "y"}])
def test_wrong_options_name_the_key(options: dict[str, str | int | float | bool]) -> None:
    with pytest.raises(SecureElementError, match=r"secure_element\.options"):
        open_secure_element(options)


def test_an_unknown_option_and_an_empty_passphrase_are_refused(
    tmp_path: Path, files: dict[str, str | int | float | bool]
) -> None:
    with pytest.raises(SecureElementError, match="unknown field"):
        open_secure_element(files | {"pin": "1"})
    with pytest.raises(SecureElementError, match="empty"):
        create(tmp_path / "other.key", b"")
    assert not (tmp_path / "other.key").exists()


@pytest.mark.parametrize("size", [0, -1, 1025])
def test_random_is_bounded(size: int) -> None:
    element = SoftwareSecureElement(ec.generate_private_key(ec.SECP256R1()), bytes(32))
    assert len(element.random(32)) == 32
    with pytest.raises(SecureElementError):
        element.random(size)
