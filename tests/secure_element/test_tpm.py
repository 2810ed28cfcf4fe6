"""A TPM as secure element, against a real software TPM: what it keeps, what it ends for ever, what it says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_EO,
    TPM2_HC,
    TPM2_NT,
    TPM2_RC,
    TPM2_SE,
    TPM2B_AUTH,
    TPM2B_DIGEST,
    TPM2B_NV_PUBLIC,
    TPMA_NV,
    TPMS_NV_PUBLIC,
    TPMT_SIG_SCHEME,
    TSS2_Exception,
)

from drivers.secure_element.interface import Capability, EpochEndedError, SecureElementError, SecureElementGoneError
from drivers.secure_element.tpm import open_secure_element, provision
from drivers.secure_element.tpm_link import WAITS_S
from drivers.secure_element.tpm_objects import COUNTER, EPOCHS, IDENTITIES, STATE
from tests.secure_element.contract import SecureElementContract, verifies
from tests.secure_element.swtpm import Shelf
from tests.secure_element.tpm_device import Device, bench, options_of, provisioned, shelf

__all__ = ["bench", "provisioned", "shelf"]


class TestContract(SecureElementContract):
    """What every element does."""


def test_it_declares_what_it_does_and_no_attestation(bench: Device) -> None:
    element = bench.open()
    assert element.capabilities == frozenset(Capability) - {Capability.ATTESTATION}
    element.close()


def test_platform_sealing_is_not_declared_where_nothing_is_measured(shelf: Shelf, tmp_path: Path) -> None:
    element = provision(options_of(shelf.take(measured=False).tcti, tmp_path / "element"))
    assert Capability.PLATFORM_SEALING not in element.capabilities
    element.close()


def test_another_platform_uses_no_key_and_says_what_to_do(bench: Device) -> None:
    """A stolen board, started from a stick: it has the disk and the TPM, and neither signs nor opens."""
    element = bench.open()
    key, sealed = element.public_key, element.seal(b"template", b"", 1)
    element.close()
    bench.tpm.reset(b"evil firmware")
    with pytest.raises(
        SecureElementError, match=r"PCR 7 is not what it was.*Start it as it was started before"
    ) as told:
        bench.open()
    assert not isinstance(told.value, EpochEndedError)
    bench.tpm.reset()
    element = bench.open()
    assert element.unseal(sealed, b"", 1) == b"template"
    assert verifies(key, element.sign(b"back"), b"back")
    element.close()


def test_after_a_wanted_change_of_platform_a_new_element_is_made_as_the_error_says(
    bench: Device, tmp_path: Path
) -> None:
    element = bench.open()
    before = element.public_key
    element.close()
    bench.tpm.reset(b"new firmware")
    with pytest.raises(SecureElementError, match=f"tpm2_nvundefine {STATE:#x}"):
        bench.open()
    with bench.tpm.talk() as esapi:
        esapi.nv_undefine_space(esapi.tr_from_tpmpublic(STATE))
    element = provision(options_of(bench.tpm.tcti, tmp_path / "new"))
    assert element.public_key != before
    assert element.unseal(element.seal(b"x", b"", 1), b"", 1) == b"x"
    element.close()


def test_sealing_keys_put_aside_make_room_for_new_ones_and_can_be_put_back(bench: Device) -> None:
    element = bench.open(pcrs="7,11")
    element.prepare_epoch(2)
    element.end_epochs_before(2)
    before = element.seal(b"template", b"", 2)
    element.close()
    bench.tpm.extend(11, b"another kernel")
    element = bench.open(pcrs="7,11")
    with pytest.raises(SecureElementError, match=r"put .*/epochs\.json and the gallery aside"):
        element.seal(b"anew", b"", 2)
    element.close()
    aside = bench.folder / "epochs.json.aside"
    (bench.folder / "epochs.json").rename(aside)
    element = bench.open(pcrs="7,11")
    element.prepare_epoch(1)
    anew = element.seal(b"anew", b"", 1)
    assert element.unseal(anew, b"", 1) == b"anew"
    element.close()
    aside.rename(bench.folder / "epochs.json")
    bench.tpm.reset()
    element = bench.open(pcrs="7,11")
    assert element.unseal(before, b"", 2) == b"template"
    element.close()


def test_registers_are_chosen_and_each_of_them_counts(bench: Device) -> None:
    element = bench.open(pcrs="7,11")
    element.prepare_epoch(2)
    one, two = element.seal(b"one", b"", 1), element.seal(b"two", b"", 2)
    element.close()
    bench.tpm.extend(11, b"another kernel")
    element = bench.open(pcrs="7,11")
    assert element.unseal(one, b"", 1) == b"one"
    with pytest.raises(SecureElementError, match="PCR 7,11"):
        element.unseal(two, b"", 2)
    with pytest.raises(SecureElementError, match="PCR 7,11"):
        element.end_epochs_before(2)
    assert element.unseal(one, b"", 1) == b"one", "an epoch is not ended for one that does not open"
    element.close()


def test_a_whole_disk_put_back_from_before_an_erasure_opens_nothing(bench: Device) -> None:
    element = bench.open()
    erased = element.seal(b"erased", b"", 1)
    element.prepare_epoch(2)
    kept = element.seal(b"kept", b"", 2)
    element.close()
    image = bench.copy()
    element = bench.open()
    element.end_epochs_before(2)
    element.prepare_epoch(3)
    element.end_epochs_before(3)
    element.close()
    bench.put_back(image)
    element = bench.open()
    for sealed, epoch in ((erased, 1), (kept, 2)):
        with pytest.raises(EpochEndedError):
            element.unseal(sealed, b"", epoch)
    assert verifies(element.public_key, element.sign(b"receipt"), b"receipt")
    element.prepare_epoch(3)
    assert element.unseal(element.seal(b"anew", b"", 3), b"", 3) == b"anew"
    element.close()


def test_the_tpm_itself_refuses_an_ended_epoch_whatever_the_software_asks(bench: Device) -> None:
    element = bench.open()
    old = element._epochs._epoch(1)
    element.prepare_epoch(2)
    element.end_epochs_before(2)
    with pytest.raises(SecureElementError, match="policy failure"):
        element._epochs._unsealed(old)
    forged = type(old)(old.number, old.last + 5, old.pcrs, old.private, old.public)
    with pytest.raises(SecureElementError, match="policy check failed"):
        element._epochs._unsealed(forged)
    element.close()


def test_the_owner_of_the_tpm_cannot_turn_the_epochs_back_by_defining_the_counter_anew(bench: Device) -> None:
    element = bench.open()
    element.prepare_epoch(2)
    auth, old = element._identity._auth, element._epochs._epoch(1)
    element.end_epochs_before(2)
    element.close()
    attributes = TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA | (TPM2_NT.COUNTER << TPMA_NV.TPM2_NT_SHIFT)
    with bench.tpm.talk() as esapi:
        esapi.nv_undefine_space(esapi.tr_from_tpmpublic(EPOCHS))
        public = TPMS_NV_PUBLIC(nvIndex=EPOCHS, nameAlg=TPM2_ALG.SHA256, attributes=attributes, dataSize=8)
        counter = esapi.nv_define_space(TPM2B_AUTH(auth), TPM2B_NV_PUBLIC(public))
        esapi.tr_set_auth(counter, auth)
        esapi.nv_increment(counter)
    element = bench.open()
    with pytest.raises(SecureElementError):
        element._epochs._unsealed(old)
    element.close()


def test_an_epoch_given_up_before_it_was_in_force_dies_with_the_rest(bench: Device) -> None:
    """It was sealed for the same people: a half-done change on an old image must not open later."""
    element = bench.open()
    element.prepare_epoch(2)
    given_up = element.seal(b"half done", b"", 2)
    element.close()
    image = bench.copy()
    element = bench.open()
    element.prepare_epoch(2)
    element.end_epochs_before(2)
    element.close()
    bench.put_back(image)
    element = bench.open()
    with pytest.raises(EpochEndedError):
        element.unseal(given_up, b"", 2)
    element.close()


def test_another_program_at_the_tpm_neither_signs_nor_counts(bench: Device) -> None:
    with bench.tpm.talk() as esapi:
        for handle in (COUNTER, EPOCHS):
            with pytest.raises(TSS2_Exception, match="auth"):
                esapi.nv_increment(esapi.tr_from_tpmpublic(handle))
        scheme, digest = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL), TPM2B_DIGEST(bytes(32))
        with pytest.raises(TSS2_Exception, match="auth"):
            esapi.sign(esapi.tr_from_tpmpublic(IDENTITIES[0]), digest, scheme)
        policy = esapi.start_auth_session(ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, None, TPM2_ALG.SHA256)
        epochs = esapi.tr_from_tpmpublic(EPOCHS)
        with pytest.raises(TSS2_Exception, match="auth"):
            esapi.policy_nv(epochs, epochs, policy, bytes(8), TPM2_EO.UNSIGNED_GE)
    element = bench.open()
    assert verifies(element.public_key, element.sign(b"ours"), b"ours"), "and it locks nobody out"
    element.close()


def test_the_identity_before_is_gone_from_the_tpm_and_no_disk_brings_it_back(bench: Device) -> None:
    image = bench.copy()
    element = bench.open()
    first, second = element.public_key, element.prepare_identity()
    element.adopt_identity()
    assert [element._tpm.holds(place) for place in IDENTITIES] == [False, True]
    element.close()
    bench.put_back(image)
    element = bench.open()
    assert element.public_key == second != first
    element.close()


@pytest.mark.parametrize("command", ["nv_write", "read_public", "evict_control"])
def test_an_identity_that_could_not_be_prepared_can_be_asked_for_again(
    bench: Device, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    element = bench.open()
    ask, refusals = element._tpm.ask, [True]

    def refuse_once(asked: str, *arguments: Any, **keywords: Any) -> Any:
        if asked == command and refusals:
            refusals.pop()
            raise SecureElementError("busy")
        return ask(asked, *arguments, **keywords)

    monkeypatch.setattr(element._tpm, "ask", refuse_once)
    with pytest.raises(SecureElementError, match="busy"):
        element.prepare_identity()
    waiting = element.prepare_identity()
    assert verifies(waiting, element.prove_identity(b"x"), b"x")
    element.adopt_identity()
    assert element.public_key == waiting
    element.close()


def test_one_process_owns_it(bench: Device) -> None:
    element = bench.open()
    with pytest.raises(SecureElementError, match="another process owns"):
        bench.open()
    element.close()
    bench.open().close()


def test_a_tpm_pulled_out_is_gone_for_good(bench: Device) -> None:
    element = bench.open()
    bench.tpm.kill()
    asks: list[Callable[[], object]] = [
        lambda: element.sign(b""),
        lambda: element.random(1),
        lambda: element.seal(b"", b"", 1),
        element.counter,
        element.advance,
        element.prepare_identity,
        lambda: element.prepare_epoch(2),
    ]
    for ask in asks:
        with pytest.raises(SecureElementGoneError, match="start the terminal again"):
            ask()
    bench.tpm.start()
    with pytest.raises(SecureElementGoneError):
        element.sign(b"")
    element.close()
    element = bench.open()
    assert verifies(element.public_key, element.sign(b"back"), b"back")
    element.close()


def test_a_tpm_that_is_not_there_is_named(bench: Device) -> None:
    bench.tpm.kill()
    with pytest.raises(SecureElementError, match=r"tcti swtpm:path=.*no TPM answers") as told:
        bench.open()
    assert not isinstance(told.value, SecureElementGoneError)
    with pytest.raises(SecureElementError, match="no TPM answers"):
        open_secure_element({"tcti": "nonsense:", "folder": str(bench.folder)})


def test_a_busy_tpm_is_asked_again_and_not_for_ever(bench: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    element = bench.open()
    waited: list[float] = []
    link = element._tpm
    monkeypatch.setattr(link, "_sleep", waited.append)
    busy = [TPM2_RC.RETRY, TPM2_RC.YIELDED, TPM2_RC.TESTING, TPM2_RC.LOCKOUT]
    honest = link._esapi.get_random

    def hesitant(*arguments: Any, **keywords: Any) -> Any:
        if busy:
            raise TSS2_Exception(busy.pop())
        return honest(*arguments, **keywords)

    monkeypatch.setattr(link._esapi, "get_random", hesitant)
    assert len(element.random(8)) == 8
    assert waited == list(WAITS_S[:4])
    for code, text in ((TPM2_RC.RETRY, "busy"), (TPM2_RC.LOCKOUT, "tpm2_dictionarylockout")):
        busy.extend([code] * 100)
        waited.clear()
        with pytest.raises(SecureElementError, match=text) as told:
            element.random(8)
        assert not isinstance(told.value, SecureElementGoneError)
        assert waited == list(WAITS_S)
        busy.clear()
    assert len(element.random(8)) == 8
    element.close()


@pytest.mark.parametrize("code", [TPM2_RC.FAILURE, TPM2_RC.INITIALIZE])
def test_a_tpm_that_failed_or_was_reset_underneath_is_gone(
    bench: Device, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    element = bench.open()

    def fail(*_: Any, **__: Any) -> Any:
        raise TSS2_Exception(code)

    monkeypatch.setattr(element._tpm._esapi, "sign", fail)
    with pytest.raises(SecureElementGoneError):
        element.sign(b"")
    with pytest.raises(SecureElementGoneError):
        element.random(1)
    element.close()


def test_nothing_transient_is_left(bench: Device) -> None:
    element = bench.open()
    for epoch in range(2, 7):
        element.prepare_epoch(epoch)
        element.unseal(element.seal(b"x", b"", epoch), b"", epoch)
        element.end_epochs_before(epoch)
        element.prepare_identity()
        element.adopt_identity()
    element.close()
    with bench.tpm.talk() as esapi:
        for first in (TPM2_HC.TRANSIENT_FIRST, TPM2_HC.LOADED_SESSION_FIRST, TPM2_HC.ACTIVE_SESSION_FIRST):
            _, found = esapi.get_capability(TPM2_CAP.HANDLES, first, 8)
            assert len(found.data.handles) == 0


def test_an_element_is_never_made_over_another(bench: Device, shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(SecureElementError, match=r"holds an element already.*tpm2_nvundefine"):
        provision(options_of(bench.tpm.tcti, tmp_path / "new"))
    with pytest.raises(SecureElementError, match="another TPM"):
        provision(options_of(shelf.take().tcti, bench.folder))
    bench.open().close()


def test_a_tpm_whose_owner_has_a_password_says_so(shelf: Shelf, tmp_path: Path) -> None:
    tpm = shelf.take()
    with tpm.talk() as esapi:
        esapi.hierarchy_change_auth(ESYS_TR.OWNER, TPM2B_AUTH(b"secret"))
    with pytest.raises(SecureElementError, match="tpm2_changeauth -c owner"):
        provision(options_of(tpm.tcti, tmp_path / "element"))


def test_a_folder_with_another_tpm_or_a_cleared_one_is_refused(bench: Device, shelf: Shelf, tmp_path: Path) -> None:
    empty, taken = shelf.take(), shelf.take()
    provision(options_of(taken.tcti, tmp_path / "taken")).close()
    for tpm, told in ((empty, "cleared, or is another"), (taken, "is of another TPM")):
        with pytest.raises(SecureElementError, match=told):
            open_secure_element({"tcti": tpm.tcti, "folder": str(bench.folder)})


@pytest.mark.parametrize("name", ["tpm.json", "epochs.json"])
def test_a_missing_or_damaged_folder_says_what_to_do(bench: Device, tmp_path: Path, name: str) -> None:
    with pytest.raises(SecureElementError, match="tessera element create"):
        open_secure_element({"tcti": bench.tpm.tcti, "folder": str(tmp_path / "none")})
    file = bench.folder / name
    whole = file.read_bytes()
    for damaged, told in ((whole[:-2], "damaged"), (whole.replace(b'"version":1', b'"version":9'), "version 9")):
        file.write_bytes(damaged)
        with pytest.raises(SecureElementError, match=told):
            bench.open()
    file.write_bytes(whole)
    file.chmod(0o644)
    with pytest.raises(SecureElementError, match="chmod 600"):
        bench.open()


@pytest.mark.parametrize("pcrs", ["", "24", "7,", "seven", "7 ", "sha1:7"])
def test_wrong_registers_are_refused(bench: Device, pcrs: str) -> None:
    with pytest.raises(SecureElementError, match="numbers 0 to 23"):
        bench.open(pcrs)


@pytest.mark.parametrize(
    "options", [{}, {"tcti": "x"}, {"tcti": "x", "folder": 1}, {"tcti": "", "folder": "", "pin": ""}]
)
def test_wrong_options_name_the_key(options: dict[str, str | int | float | bool]) -> None:
    with pytest.raises(SecureElementError, match=r"secure_element\.options"):
        open_secure_element(options)
