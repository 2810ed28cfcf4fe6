from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from drivers.emitter.limits import (
    FILE_BYTES,
    MAX_HEARTBEAT_MS,
    LimitsError,
    LimitTable,
    Source,
    read_file,
    read_key,
    sign,
    verify,
)
from hil.emitter.demo import DEMO_SERIAL, DemoCalibration, demo_table

Key = ec.EllipticCurvePrivateKey


def test_a_signed_table_is_what_was_signed(private_key: Key) -> None:
    assert verify(sign(demo_table(), private_key), private_key.public_key(), DEMO_SERIAL) == demo_table()


def test_another_boards_table_is_refused(private_key: Key) -> None:
    with pytest.raises(LimitsError, match="SIM-0002's; this is board SIM-0001") as refused:
        verify(sign(demo_table("SIM-0002"), private_key), private_key.public_key(), DEMO_SERIAL)
    assert refused.value.cause == "emitter_limits"


@given(place=st.integers(0, FILE_BYTES - 1), bit=st.integers(0, 7))
def test_a_tampered_table_is_refused(private_key: Key, table_file: bytes, place: int, bit: int) -> None:
    tampered = bytearray(table_file)
    tampered[place] ^= 1 << bit
    with pytest.raises(LimitsError):
        verify(bytes(tampered), private_key.public_key(), DEMO_SERIAL)


def test_a_table_signed_by_another_key_is_refused(table_file: bytes) -> None:
    with pytest.raises(LimitsError, match="not signed"):
        verify(table_file, ec.generate_private_key(ec.SECP256R1()).public_key(), DEMO_SERIAL)


@given(st.binary(max_size=2 * FILE_BYTES))
def test_any_bytes_are_refused(private_key: Key, raw: bytes) -> None:
    with pytest.raises(LimitsError):
        verify(raw, private_key.public_key(), DEMO_SERIAL)


def _with(table: LimitTable, **changes: object) -> LimitTable:
    return msgspec.structs.replace(table, **changes)


def _source(**changes: int) -> Source:
    good = {"drive_ma": 100, "peak_ma": 200, "average_ma": 50, "max_pulse_us": 1000, "max_duty_permille": 100}
    return Source(**{**good, **changes})


@pytest.mark.parametrize(
    "table",
    [
        _with(demo_table(), heartbeat_ms=MAX_HEARTBEAT_MS + 1),
        _with(demo_table(), heartbeat_ms=0),
        _with(demo_table(), heartbeat_ms=70_000),
        _with(demo_table(), window_ms=2001),
        _with(demo_table(), wavelength_nm=450),
        _with(demo_table(), board=""),
        _with(demo_table(), board="no spaces"),
        _with(demo_table(), board="S" * 17),
        _with(demo_table(), dots=_source(max_duty_permille=501)),
        _with(demo_table(), flood=_source(max_pulse_us=20_001)),
        _with(demo_table(), flood=_source(peak_ma=0, drive_ma=0, average_ma=0)),
    ],
)
def test_impossible_limits_cannot_be_signed(private_key: Key, table: LimitTable) -> None:
    with pytest.raises(LimitsError):
        sign(table, private_key)


def test_a_drive_above_the_peak_is_impossible() -> None:
    with pytest.raises(ValueError, match="peak_ma"):
        _source(drive_ma=201)


def test_a_file_that_is_missing_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitsError, match="No such file"):
        read_file(tmp_path / "none")
    (tmp_path / "large").write_bytes(bytes(FILE_BYTES + 1))
    with pytest.raises(LimitsError, match="larger than"):
        read_file(tmp_path / "large")


def test_files_are_read_back(calibration: DemoCalibration) -> None:
    assert verify(read_file(calibration.limits), read_key(calibration.key), DEMO_SERIAL) == demo_table()


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "raw",
    [b"no key", _pem(ec.generate_private_key(ec.SECP384R1())), _pem(ed25519.Ed25519PrivateKey.generate())],
    ids=["none", "p384", "ed25519"],
)
def test_a_key_of_another_kind_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(raw)
    with pytest.raises(LimitsError, match=r"key\.pem: not a"):
        read_key(path)
