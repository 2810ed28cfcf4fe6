"""A demo calibration, and a simulated board on a pseudo-terminal that a test may break."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from drivers.emitter.limits import sign
from hil.emitter.demo import DemoCalibration, demo_calibration, demo_table
from hil.emitter.pty_board import PtyBoard


@pytest.fixture(scope="session")
def private_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def table_file(private_key: ec.EllipticCurvePrivateKey) -> bytes:
    return sign(demo_table(), private_key)


@pytest.fixture
def calibration(tmp_path: Path) -> DemoCalibration:
    return demo_calibration(tmp_path)


@pytest.fixture
def pty_board(tmp_path: Path, calibration: DemoCalibration) -> Iterator[PtyBoard]:
    with PtyBoard(tmp_path / "emitter", calibration.public_key, light=tmp_path / "light.json") as board:
        yield board
