"""A demo calibration: a key made on the spot and a limit table of invented figures, for the simulated board only."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from drivers.emitter.limits import LimitTable, Source, sign

DEMO_SERIAL = "SIM-0001"


def demo_table(board: str = DEMO_SERIAL) -> LimitTable:
    """Figures of the size a module of this kind has; nobody measured them."""
    return LimitTable(
        board=board,
        wavelength_nm=940,
        heartbeat_ms=180,
        window_ms=1000,
        flood=Source(drive_ma=1500, peak_ma=2000, average_ma=250, max_pulse_us=5000, max_duty_permille=150),
        dots=Source(drive_ma=2500, peak_ma=3000, average_ma=400, max_pulse_us=5000, max_duty_permille=150),
    )


@dataclass(frozen=True, slots=True)
class DemoCalibration:
    """Files as the terminal's `[emitter]` table names them, and the key the simulated board has burnt in."""

    limits: Path
    key: Path
    public_key: ec.EllipticCurvePublicKey


def demo_calibration(folder: Path, table: LimitTable | None = None) -> DemoCalibration:
    """Write `emitter.limits` and `emitter-key.pem` into `folder`, signed by a key that is thrown away."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    made = DemoCalibration(folder / "emitter.limits", folder / "emitter-key.pem", private_key.public_key())
    made.limits.write_bytes(sign(table or demo_table(), private_key))
    made.key.write_bytes(made.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return made
