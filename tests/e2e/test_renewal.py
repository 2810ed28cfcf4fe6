"""A link's certificate that ends soon is replaced while the terminal runs: link, core, broker and backend together."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from hil.rig.site import TERMINAL, Site


def seen(site: Site) -> dict[str, Any]:
    """The terminal, as the backend's fleet view has it."""
    terminal: dict[str, Any] = site._get("/fleet")["terminals"][0]
    return terminal


@pytest.mark.soak
def test_a_certificate_that_ends_soon_is_renewed_and_a_terminal_that_leaves_is_seen_to(
    tmp_path: Path, models_dir: Path, mosquitto_installed: None
) -> None:
    with Site.make(tmp_path / "site", broker="mosquitto") as site:
        site.stop_terminal()
        assert site.authority is not None
        # the rig's certificates begin five minutes ago: less than a third is left
        soon = datetime.now(timezone.utc) + timedelta(seconds=140)
        site.authority.issue_client(TERMINAL, ends=soon)
        site.start_terminal()
        site.wait_for("another certificate", lambda: seen(site)["tls_until"] > soon.timestamp() + 3_600)
        assert seen(site)["presence"] == "online"
        site.stop_terminal()
        site.wait_for("the last will", lambda: seen(site)["presence"] == "offline")
