"""The PKCS#11 secure element, over SoftHSM2: where its keys are, what it refuses, when it is gone."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pkcs11
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pkcs11 import Attribute, KeyType, ObjectClass, Session, TokenFlag

from drivers.plugins import SECURE_ELEMENTS, load
from drivers.secure_element import pkcs11_token
from drivers.secure_element.interface import (
    MAX_EPOCHS,
    Capability,
    SecureElement,
    SecureElementError,
    SecureElementGoneError,
)
from drivers.secure_element.pkcs11 import Pkcs11SecureElement, open_secure_element, provision
from tests.secure_element.contract import Bench, SecureElementContract
from tests.secure_element.softhsm import MODULE, SoftToken, reload_tokens, soft_token

PIN = "a PIN to look for"


class Tokens:
    """A provisioned token, and another when it is asked for."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self._folder, self._closing = folder, closing
        self._token = closing.enter_context(soft_token(folder))
        provision(self._token.options).close()

    def open(self) -> SecureElement:
        return open_secure_element(self._token.options)

    def other(self) -> SecureElement:
        return provision(self._closing.enter_context(soft_token(self._folder)).options)


class TestPkcs11(SecureElementContract):
    """The contract, over SoftHSM2."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        with ExitStack() as closing:
            yield Tokens(tmp_path, closing)


@pytest.fixture
def token(tmp_path: Path) -> Iterator[SoftToken]:
    with soft_token(tmp_path, PIN) as token:
        yield token


@pytest.fixture
def element(token: SoftToken) -> Iterator[Pkcs11SecureElement]:
    element = provision(token.options)
    yield element
    element.close()


def _session(token: SoftToken) -> Session:
    """A session beside the product's, which must have closed its own."""
    return pkcs11.lib(str(MODULE)).get_token(token_label=token.label).open(rw=True, user_pin=PIN)


def test_it_is_found_by_its_name(token: SoftToken) -> None:
    provision(token.options).close()
    element = load(SECURE_ELEMENTS, "pkcs11")(token.options)
    assert isinstance(element, Pkcs11SecureElement)
    element.close()


def test_a_token_in_software_claims_nothing_even_if_told_to(token: SoftToken) -> None:
    provision(token.options).close()
    element = open_secure_element(token.options | {"keeps_objects_inside": True})
    assert element.capabilities == frozenset()
    element.close()


def test_a_hardware_token_claims_its_key_and_destruction_only_where_the_maker_promises(
    element: Pkcs11SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(element._token, "in_hardware", True)
    assert element.capabilities == {Capability.HARDWARE_KEY}
    monkeypatch.setattr(element, "_keeps_objects_inside", True)
    assert element.capabilities == {Capability.HARDWARE_KEY, Capability.KEY_DESTRUCTION}


def test_no_private_or_sealing_key_can_be_taken_out(token: SoftToken, element: Pkcs11SecureElement) -> None:
    element.prepare_identity()
    element.close()
    session = _session(token)
    kinds = (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY)
    keys = [key for kind in kinds for key in session.get_objects({Attribute.CLASS: kind})]
    assert len(keys) == 3
    for key in keys:
        assert key[Attribute.SENSITIVE]
        assert not key[Attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.AttributeSensitive):
            key[Attribute.VALUE]
    session.close()


def _plant(token: SoftToken, number: int) -> None:
    """A sealing key whose bytes are known outside, in the place of what was there."""
    session = _session(token)
    for key in session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: _label(number)}):
        key.destroy()
    session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.LABEL: _label(number),
            Attribute.TOKEN: True,
            Attribute.VALUE: bytes(32),
        }
    )
    session.close()


def test_a_sealing_key_planted_in_the_place_of_the_one_in_force_is_refused(token: SoftToken) -> None:
    provision(token.options).close()
    _plant(token, 1)
    with pytest.raises(SecureElementError, match="can be taken out"):
        open_secure_element(token.options)


def test_a_sealing_key_planted_for_the_next_epoch_is_never_used(token: SoftToken) -> None:
    provision(token.options).close()
    _plant(token, 2)
    element = open_secure_element(token.options)
    with pytest.raises(SecureElementError, match="never prepared"):
        element.seal(b"template", b"", 2)
    element.prepare_epoch(2)
    sealed = element.seal(b"template", b"", 2)
    with pytest.raises(InvalidTag):
        AESGCM(bytes(32)).decrypt(sealed[:12], sealed[12:], b"")
    element.close()
    again = open_secure_element(token.options)
    assert again.unseal(sealed, b"", 2) == b"template"
    again.close()


def test_a_key_that_may_leave_the_token_is_never_used(token: SoftToken) -> None:
    provision(token.options).close()
    session = _session(token)
    template = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False}
    session.generate_key(KeyType.AES, 256, label=_label(2), store=True, template=template)
    session.close()
    element = open_secure_element(token.options)
    with pytest.raises(SecureElementError, match="never prepared"):
        element.seal(b"template", b"", 2)
    element.close()


def test_an_identity_whose_halves_do_not_belong_together_is_refused(token: SoftToken) -> None:
    element = provision(token.options)
    element.prepare_identity()
    element.close()
    session = _session(token)
    public = {str(key[Attribute.LABEL]): key for key in session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY})}
    (first, second) = (public[f"tessera-identity-{number:08d}"] for number in (1, 2))
    first[Attribute.LABEL], second[Attribute.LABEL] = second[Attribute.LABEL], first[Attribute.LABEL]
    session.close()
    with pytest.raises(SecureElementError, match="do not belong together"):
        open_secure_element(token.options)


def test_the_key_of_an_ended_epoch_leaves_the_token(token: SoftToken, element: Pkcs11SecureElement) -> None:
    element.prepare_epoch(2)
    element.end_epochs_before(2)
    element.close()
    session = _session(token)
    left = {str(key[Attribute.LABEL]) for key in session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})}
    session.close()
    assert left == {_label(2)}


def test_no_more_epochs_in_force_than_the_limit(element: Pkcs11SecureElement) -> None:
    for epoch in range(2, MAX_EPOCHS + 1):
        element.prepare_epoch(epoch)
    with pytest.raises(SecureElementError, match="in force"):
        element.prepare_epoch(MAX_EPOCHS + 1)


def test_other_objects_on_the_token_are_let_be(token: SoftToken, element: Pkcs11SecureElement) -> None:
    key = element.public_key
    element.close()
    session = _session(token)
    for label in ("another's", "tessera-epoch-1", "tessera-epoch-0000000x", "tessera-epoch-000000001"):
        session.generate_key(KeyType.AES, 256, label=label, store=True)
    session.close()
    element = open_secure_element(token.options)
    element.prepare_epoch(2)
    element.end_epochs_before(2)
    assert element.public_key == key
    element.close()
    session = _session(token)
    assert len(list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY}))) == 5
    session.close()


def test_a_pulled_out_token_is_gone_and_stays_gone(token: SoftToken, element: Pkcs11SecureElement) -> None:
    sealed = element.seal(b"template", b"", 1)
    away = token.folder.rename(token.folder.parent.parent / token.folder.name)
    with pytest.raises(SecureElementGoneError, match="answers no more"):
        element.sign(b"message")
    away.rename(token.folder)
    for asked in (
        lambda: element.sign(b"message"),
        lambda: element.seal(b"", b"", 1),
        lambda: element.unseal(sealed, b"", 1),
        lambda: element.random(16),
        lambda: element.prepare_epoch(2),
        element.prepare_identity,
    ):
        with pytest.raises(SecureElementGoneError):
            asked()
    element.close()
    reload_tokens()
    again = open_secure_element(token.options)
    assert again.unseal(sealed, b"", 1) == b"template"
    again.close()


@pytest.mark.parametrize("asked", ["random", "unseal", "seal", "prepare_epoch", "end_epochs_before", "adopt_identity"])
def test_whatever_is_asked_first_a_pulled_out_token_is_gone(
    token: SoftToken, element: Pkcs11SecureElement, asked: str
) -> None:
    sealed = element.seal(b"template", b"", 1)
    element.prepare_epoch(2)
    element.prepare_identity()
    away = token.folder.rename(token.folder.parent.parent / token.folder.name)
    with pytest.raises(SecureElementGoneError):
        {
            "random": lambda: element.random(1),
            "unseal": lambda: element.unseal(sealed, b"", 1),
            "seal": lambda: element.seal(b"", b"", 1),
            "prepare_epoch": lambda: element.prepare_epoch(3),
            "end_epochs_before": lambda: element.end_epochs_before(2),
            "adopt_identity": element.adopt_identity,
        }[asked]()
    element.close()
    away.rename(token.folder)
    reload_tokens()
    again = open_secure_element(token.options)
    assert again.unseal(sealed, b"", 1) == b"template"
    again.close()


def test_an_ended_session_is_gone(element: Pkcs11SecureElement) -> None:
    reload_tokens()
    with pytest.raises(SecureElementGoneError):
        element.sign(b"message")


def test_a_blob_that_does_not_open_is_no_lost_token(element: Pkcs11SecureElement) -> None:
    sealed = element.seal(b"template", b"", 1)
    with pytest.raises(SecureElementError) as raised:
        element.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), b"", 1)
    assert not isinstance(raised.value, SecureElementGoneError)
    assert element.unseal(sealed, b"", 1) == b"template"


def test_one_process_owns_the_token(token: SoftToken, element: Pkcs11SecureElement) -> None:
    with pytest.raises(SecureElementError, match="another process owns"):
        open_secure_element(token.options)
    assert element.sign(b"the first owner goes on")
    element.close()
    open_secure_element(token.options).close()


def test_provisioning_never_replaces_a_key(token: SoftToken, element: Pkcs11SecureElement) -> None:
    key = element.public_key
    element.close()
    with pytest.raises(SecureElementError, match="not replaced"):
        provision(token.options)
    again = open_secure_element(token.options)
    assert again.public_key == key
    again.close()


def test_provisioning_does_not_take_over_the_sealing_keys_of_a_gallery(
    token: SoftToken, element: Pkcs11SecureElement
) -> None:
    element.prepare_epoch(2)
    element.end_epochs_before(2)
    element.close()
    session = _session(token)
    for key in session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}):
        key.destroy()
    session.close()
    with pytest.raises(SecureElementError, match="not replaced"):
        provision(token.options)


def test_an_empty_token_says_what_to_do(token: SoftToken) -> None:
    with pytest.raises(SecureElementError, match="tessera element create"):
        open_secure_element(token.options)


def test_a_wrong_pin_is_tried_once_and_told_nowhere(
    token: SoftToken, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    token.pin_file.write_text("not " + PIN)
    with pytest.raises(SecureElementError, match="not the PIN of the token") as raised:
        open_secure_element(token.options)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text + "".join(capfd.readouterr())
    assert PIN not in told
    assert PIN not in repr(raised.value.__cause__)


def test_a_pin_that_is_no_text_is_told_nowhere(token: SoftToken) -> None:
    token.pin_file.write_bytes(b"\xffsecret")
    with pytest.raises(SecureElementError, match="is text") as raised:
        open_secure_element(token.options)
    assert "secret" not in "".join(traceback.format_exception(raised.value))


def test_the_pin_is_for_its_owner_only(token: SoftToken) -> None:
    token.pin_file.chmod(0o640)
    with pytest.raises(SecureElementError, match="chmod 600"):
        open_secure_element(token.options)
    token.pin_file.unlink()
    with pytest.raises(SecureElementError, match="cannot be read"):
        open_secure_element(token.options)


@pytest.mark.parametrize(
    ("flag", "told"), [(TokenFlag.USER_PIN_FINAL_TRY, "not tried here"), (TokenFlag.USER_PIN_LOCKED, "is locked")]
)
def test_the_last_try_before_the_token_locks_is_left_to_a_person(token: SoftToken, flag: TokenFlag, told: str) -> None:
    class Warned:
        label, flags = token.label, TokenFlag.TOKEN_INITIALIZED | flag

        def open(self, **asked: object) -> None:
            pytest.fail("the PIN was tried")

    with pytest.raises(SecureElementError, match=told):
        pkcs11_token._log_in(Warned(), "1234", token.pin_file)  # type: ignore[arg-type]


def test_a_library_or_token_that_is_not_there_is_named(token: SoftToken, tmp_path: Path) -> None:
    with pytest.raises(SecureElementError, match="no PKCS#11 library"):
        open_secure_element(token.options | {"module": str(tmp_path / "none.so")})
    with pytest.raises(SecureElementError, match="0 tokens are labelled 'elsewhere'"):
        open_secure_element(token.options | {"token": "elsewhere"})


@pytest.mark.parametrize("wrong", [{"pin": "1234"}, {"token": 1}, {"keeps_objects_inside": "yes"}])
def test_wrong_options_name_the_key(token: SoftToken, wrong: dict[str, str | int | float | bool]) -> None:
    with pytest.raises(SecureElementError, match=r"secure_element\.options"):
        open_secure_element(token.options | wrong)


def _label(epoch: int) -> str:
    return f"tessera-epoch-{epoch:08d}"
