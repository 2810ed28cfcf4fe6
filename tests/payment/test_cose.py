"""Envelopes: interoperable by hand, one byte string each, and no bytes raise anything but PaymentError."""

from collections.abc import Callable
from functools import partial

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from firmware.gallery.consent import ConsentRecord
from firmware.payment import authorize, cbor, cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import (
    Authorization,
    Decline,
    ErasureReceipt,
    GuardianMandate,
    Intent,
    Mandate,
    Receipt,
)
from firmware.payment.trust import Trust, key_id, load_public_key
from hil.backend.simulator import new_element

ELEMENT = new_element()
KEY = load_public_key(ELEMENT.public_key)
KID = key_id(KEY)
TRUST = Trust({KID: KEY})
TYP = Receipt.TYP
RECEIPT = Receipt(
    digest=bytes(32), intent=bytes(16), terminal="till-1", outcome="approved", code="", issued_at=1_800_000_000
)
ENVELOPE = schema.sign(RECEIPT, ELEMENT.sign, KID)
KINDS: list[type[schema.Message]] = [
    Intent, Authorization, Decline, Receipt, Mandate, GuardianMandate, ErasureReceipt, ConsentRecord,
]  # fmt: skip


def refusal(envelope: bytes, typ: str = TYP) -> str:
    with pytest.raises(PaymentError) as caught:
        cose.verify(envelope, TRUST.resolve, typ)
    return caught.value.code


def test_an_envelope_opens_by_hand_with_plain_cbor_and_cryptography() -> None:
    tag = cbor2.loads(ENVELOPE)
    assert tag.tag == 18
    protected, unprotected, payload, signature = tag.value
    assert unprotected == {}
    assert cbor2.loads(protected) == {1: -7, 4: KID, 16: "application/tessera-receipt+cbor"}
    assert cbor2.loads(payload) == {0: bytes(32), 1: bytes(16), 2: "till-1", 3: "approved", 4: "", 5: 1_800_000_000}
    key = load_der_public_key(ELEMENT.public_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    key.verify(der, cbor2.dumps(["Signature1", protected, b"", payload]), ec.ECDSA(hashes.SHA256()))


def test_an_envelope_made_by_hand_verifies() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    protected = bytes.fromhex("a301260441aa10617a")  # {1: -7, 4: h'aa', 16: "z"}
    to_be_signed = bytes.fromhex("846a5369676e617475726531") + b"\x49" + protected + b"\x40" + b"\x42hi"
    r, s = utils.decode_dss_signature(key.sign(to_be_signed, ec.ECDSA(hashes.SHA256())))
    s = min(s, cose.P256_ORDER - s)
    envelope = b"\xd2\x84\x49" + protected + b"\xa0\x42hi\x58\x40" + r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert cose.verify(envelope, Trust({b"\xaa": key.public_key()}).resolve, "z") == (b"\xaa", b"hi")


def test_every_signature_is_in_the_lower_half() -> None:
    for _ in range(16):
        envelope = cose.sign(b"x", ELEMENT.sign, KID, TYP)
        assert int.from_bytes(envelope[-32:], "big") <= cose.P256_ORDER // 2
        assert cose.verify(envelope, TRUST.resolve, TYP) == (KID, b"x")


def test_a_mirrored_signature_does_not_verify() -> None:
    mirrored = cose.P256_ORDER - int.from_bytes(ENVELOPE[-32:], "big")
    assert refusal(ENVELOPE[:-32] + mirrored.to_bytes(32, "big")) == "bad_signature"


def test_another_kind_of_message_does_not_pass() -> None:
    assert refusal(ENVELOPE, Authorization.TYP) == "malformed"


def test_trailing_bytes_oversize_and_untagged_are_malformed() -> None:
    assert refusal(ENVELOPE + b"\xf6") == "malformed"
    assert refusal(cose.sign(bytes(4096), ELEMENT.sign, KID, TYP)) == "malformed"
    assert refusal(ENVELOPE[1:]) == "malformed"


@pytest.mark.parametrize(
    "header",
    [
        {4: KID, 16: TYP},
        {1: -7, 16: TYP},
        {1: -7, 4: KID},
        {1: -8, 4: KID, 16: TYP},
        {1: -7, 4: KID, 16: TYP, 2: [1]},
        {1: -7, 4: "text", 16: TYP},
        {1: -7, 4: b"", 16: TYP},
        [],
    ],
)
def test_a_header_that_is_not_exactly_ours_is_malformed(header: object) -> None:
    protected = cbor2.dumps(header, canonical=True)
    payload = schema.encode(RECEIPT)
    to_be_signed = cbor2.dumps(["Signature1", protected, b"", payload])
    forged = cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, ELEMENT.sign(to_be_signed)]))
    assert refusal(forged) == "malformed"


def test_an_unprotected_header_is_malformed() -> None:
    parts = cbor2.loads(ENVELOPE).value
    assert refusal(cbor2.dumps(cbor2.CBORTag(18, [parts[0], {1: -7}, parts[2], parts[3]]))) == "malformed"


def test_an_unknown_key_is_named() -> None:
    assert refusal(cose.sign(b"x", ELEMENT.sign, b"stranger", TYP)) == "unknown_key"


@pytest.mark.parametrize(
    "data",
    [
        *("f6", "f97e00", "c11a514b67b0", "d82363282829", "9fff", "5f4100ff"),
        *("1c", "a1616100", "a11818f4", "61ff", "", "8181818181818100", "1c" + 16 * "00"),
    ],
)
def test_cbor_outside_our_subset_is_malformed(data: str) -> None:
    with pytest.raises(PaymentError, match="malformed"):
        cbor.decode(bytes.fromhex(data))


@pytest.mark.parametrize("data", ["1801", "190001", "5800", "a201000000", "a200000000", "b80100f4"])
def test_a_second_encoding_of_a_value_is_non_canonical(data: str) -> None:
    with pytest.raises(PaymentError, match="non_canonical"):
        cbor.decode(bytes.fromhex(data))


def test_a_huge_count_ends_at_once() -> None:
    with pytest.raises(PaymentError, match="malformed"):
        cbor.decode(bytes.fromhex("9bffffffffffffffff") + bytes(4000))


LEAVES: st.SearchStrategy[cbor.Item] = (
    st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40) | st.booleans()
)
ITEMS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 23), inner, max_size=4),
    max_leaves=10,
)


def code_of(read: Callable[[], object]) -> str:
    """The code of the PaymentError, or `read`; any other exception is a failure."""
    try:
        read()
    except PaymentError as error:
        return error.code
    return "read"


@given(ITEMS)
def test_what_we_encode_we_decode_and_cbor2_agrees(item: cbor.Item) -> None:
    data = cbor.encode(item)
    assert cbor2.loads(data) == item
    if code_of(lambda: cbor.decode(data)) == "read":
        assert cbor.decode(data) == item
    else:
        assert len(data) > cbor.MAX_DEPTH


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_payment_errors(data: bytes) -> None:
    code_of(lambda: cbor.decode(data))
    assert code_of(lambda: cose.verify(data, TRUST.resolve, TYP)) == "malformed"
    for kind in KINDS:
        assert code_of(partial(schema.decode, data, kind)) in ("malformed", "non_canonical", "schema")


@given(st.integers(0, len(ENVELOPE) - 1), st.integers(1, 255), st.integers(0, 3), st.binary(max_size=3))
def test_no_mutation_of_an_envelope_verifies(at: int, flip: int, cut: int, more: bytes) -> None:
    mutant = ENVELOPE[:at] + bytes([ENVELOPE[at] ^ flip]) + more + ENVELOPE[at + 1 + cut :]
    if mutant != ENVELOPE:
        with pytest.raises(PaymentError):
            cose.verify(mutant, TRUST.resolve, TYP)


@given(st.dictionaries(st.integers(0, 23), ITEMS, max_size=8), st.sampled_from(KINDS))
def test_well_formed_maps_of_the_wrong_shape_are_schema(item: dict[int, cbor.Item], kind: type[schema.Message]) -> None:
    base = cbor.decode(schema.encode(RECEIPT))
    assert isinstance(base, dict)
    for payload in (item, base | item):
        data = cbor.encode(payload)
        assert code_of(partial(schema.decode, data, kind)) in ("schema", "malformed", "read")


def test_no_message_has_more_fields_than_one_byte_keys() -> None:
    assert all(len(kind.__struct_fields__) <= cbor.MAX_KEY + 1 for kind in KINDS)
    assert len({kind.TYP for kind in KINDS}) == len(KINDS)


def test_a_terminal_cannot_sign_what_it_would_not_read() -> None:
    with pytest.raises(PaymentError, match="schema"):
        authorize.sign(
            Decline(intent=b"short", intent_hash=bytes(32), terminal="t", counter=1, issued_at=0, reason="x"), ELEMENT
        )
