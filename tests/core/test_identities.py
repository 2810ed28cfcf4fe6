"""Public keys of a terminal over its life."""

from pathlib import Path

import pytest

from firmware.core.errors import TerminalError
from firmware.core.identities import Identities


def test_an_exchanged_key_stays_known_and_the_current_one_stands_last(tmp_path: Path) -> None:
    path = tmp_path / "identities.json"
    assert Identities(path, b"one").keys == (b"one",)
    assert Identities(path, b"one").keys == (b"one",)
    known = Identities(path, b"one")
    known.awaiting(b"two")
    assert Identities(path, b"one").keys == (b"two", b"one"), "readable before it is in force, and after a cut"
    known = Identities(path, b"one")
    known.adopted(b"two")
    assert known.keys == Identities(path, b"two").keys == (b"one", b"two")
    assert Identities(path, b"one").keys == (b"two", b"one"), "an exchange that was cut short goes back"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("written", [b"", b"{}", b'["zz"]', b"[1]", b'["00"' + b" " * 70_000 + b"]"])
def test_damaged_file_is_said(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "identities.json"
    path.write_bytes(written)
    with pytest.raises(TerminalError, match=r"identities\.json"):
        Identities(path, b"one")
