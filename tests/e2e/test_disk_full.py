"""A full disk under the real core: the payment is refused, nothing is lost, and it works again when there is room."""

from pathlib import Path

import psutil

from firmware.runtime.messages import Event
from hil.rig.customer import enrol, pay
from hil.rig.site import Site
from hil.sensor.stage import Person, Stage

CUSTOMER, PAYER = Person(93_000), "payer-disk"


def test_full_disk_refuses_the_payment_and_loses_nothing(tmp_path: Path, models_dir: Path) -> None:
    with Site.make(tmp_path / "site") as site:
        enrol(site, CUSTOMER, PAYER)
        stage = Stage(subject=CUSTOMER)
        assert pay(site, stage, PAYER, "1.00").register == "approved"
        core = psutil.Process(site.pid("core"))
        unlimited = core.rlimit(psutil.RLIMIT_FSIZE)

        def fill(event: Event) -> None:
            if (event.stage, event.reason) == ("prompt", "look"):
                # No file of core's may grow past what its write-ahead log has now: every commit fails.
                full = (Path(site.config.state_dir) / "outbox.db-wal").stat().st_size
                core.rlimit(psutil.RLIMIT_FSIZE, (full, unlimited[1]))

        refused = pay(site, stage, PAYER, "2.00", on_event=fill)
        assert refused.reason == "store"
        assert refused.register == "open"  # even the refusal could not be stored
        core.rlimit(psutil.RLIMIT_FSIZE, unlimited)

        assert pay(site, stage, PAYER, "3.00").register == "approved"
        site.wait_for("the refusal", lambda: site.state(refused.intent) == ("declined", "interrupted"))
        assert site.pid("core") == core.pid, "core must live through a full disk"
