"""The notice in force: without it nobody can be asked, and what people are told is known by its hash."""

import hashlib
from pathlib import Path

import pytest

from firmware.gallery.consent import ConsentError
from firmware.gallery.notice import MAX_NOTICE_BYTES, load_notice
from firmware.runtime.config import PrivacyConfig


def privacy(notice: Path) -> PrivacyConfig:
    return PrivacyConfig(
        controller="Corner Shop", contact="privacy@corner-shop.example", notice=str(notice), notice_version="7",
        languages=("en",), time_zone="Europe/Berlin", retention_days=30, other_way="with a card",
    )  # fmt: skip


def test_the_notice_is_known_by_the_hash_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "notice.md"
    path.write_bytes(b"Your face stays here.\n")
    notice = load_notice(privacy(path))
    assert notice.sha256 == hashlib.sha256(b"Your face stays here.\n").digest()
    assert (notice.version, notice.languages, notice.retention_days) == ("7", ("en",), 30)
    assert str(notice.zone) == "Europe/Berlin"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"x" * (MAX_NOTICE_BYTES + 1)])
def test_without_a_notice_nobody_can_be_asked(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "notice.md"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConsentError, match=r"notice\.md") as caught:
        load_notice(privacy(path))
    assert caught.value.code == "no_notice"


def test_without_the_table_nobody_can_be_asked() -> None:
    with pytest.raises(ConsentError) as caught:
        load_notice(None)
    assert caught.value.code == "no_notice"
