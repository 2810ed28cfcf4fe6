"""A terminal's papers, gallery and audit log, real; its camera, people and clock scripted. And a backend's mandates."""

import datetime
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from firmware.audit.export import records
from firmware.audit.log import Audit
from firmware.core.consents import Papers, check_papers
from firmware.core.enrolling import _announcing
from firmware.core.identities import Identities
from firmware.core.journal import Journal
from firmware.core.parts import Parts
from firmware.core.rights import Rights
from firmware.core.signing import Signer
from firmware.core.stand import Stand
from firmware.gallery.consent import Notice, consent_hash
from firmware.gallery.gallery import Enrolled, Gallery
from firmware.runtime.config import PrivacyConfig, load_profile
from firmware.runtime.messages import Purpose
from hil.backend.shop import METHOD, START, Shop
from hil.rig.customer import ADULT, form_of
from tests.gallery.people import templates

NETWORKS = bytes(32)
FIRST, SECOND = b"First notice.", b"Second notice."


class Office:
    """`now` is what the terminal's clock says, `signed_until` the latest time the backend has signed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shop = folder, Shop(folder)
        self.element = self.shop.till.element
        self.now = self.signed_until = START
        self.profile = load_profile("demo")
        self.waiting = 0
        self.stand = SimpleNamespace(busy=False)
        (folder / "state").mkdir()
        self.identities = Identities(folder / "state" / "identities.json", self.element.public_key)
        self.attempts = SimpleNamespace(keep=list, standing=lambda _: SimpleNamespace(failed=0, told=""))
        self.gallery = Gallery(folder / "state" / "gallery.db", self.element, NETWORKS)
        self.audit = Audit(folder / "state" / "audit", self.element, "till-1", lambda: self.now)
        self.audit.started(firmware="0.1.0", configuration=bytes(32), models=bytes(32))
        self.parts = cast("Parts", self)
        self.rights = Rights(self.parts, Signer(self.parts), cast("Stand", self.stand))
        self.tell(FIRST, "1")

    # what `core` finds in `Parts`
    @property
    def clock(self) -> Any:
        return SimpleNamespace(now=lambda: self.now)

    @property
    def outbox(self) -> Any:
        return SimpleNamespace(time_floor=self.signed_until, waiting=lambda: self.waiting)

    @property
    def trust(self) -> Any:
        return self.shop.trust

    @property
    def journal(self) -> Journal:
        return Journal(self.audit)

    @property
    def audit_folder(self) -> Path:
        return self.folder / "state" / "audit"

    def now_or_floor(self) -> int:
        return self.now

    def tell(self, text: bytes, version: str) -> None:
        """Another notice is in force."""
        self.told, self.version = text, version
        privacy = PrivacyConfig(
            controller="Corner Shop", contact="privacy@example.com", notice="notice.txt", notice_version=version,
            languages=("en",), time_zone="Europe/Berlin", retention_days=365, other_way="with cash",
        )  # fmt: skip
        self.config = SimpleNamespace(terminal="till-1", state_dir=str(self.folder / "state"), privacy=privacy)
        zone = privacy.zone
        self.notice = Notice(version, hashlib.sha256(text).digest(), privacy.languages, privacy.retention_days, zone)

    # what happens at the counter
    def consent(
        self,
        who: str = "ada",
        purposes: tuple[Purpose, ...] = ("payment",),
        born: datetime.date = ADULT,
        guardian: str = "",
    ) -> bytes:
        form = form_of(who, self.now, purposes, born, self.told, self.version, guardian)
        return self.rights.record(form, "op")

    def mandate(
        self, consent: bytes, payer: str = "payer-ada", purpose: str = "payment", method: str = METHOD
    ) -> bytes:
        self.shop.time = self.now
        return self.shop.backend.issue_mandate("till-1", payer, purpose, consent_hash(consent), method)

    def guardian_mandate(self, consent: bytes) -> bytes:
        self.shop.time = self.now
        return self.shop.backend.issue_guardian_mandate("till-1", consent_hash(consent), "desk-1", "identity_card")

    def papers(self, purposes: tuple[Purpose, ...] = ("payment",), payer: str = "payer-ada") -> Papers:
        consent = self.consent(purposes=purposes)
        return check_papers(self.parts, consent, self.mandate(consent, payer), b"")

    def enrol(self, papers: Papers, seed: int = 1) -> str:
        return self.gallery.enrol(
            consent=papers.envelope, purposes=papers.record.purposes, payer=papers.payer, mandate=papers.mandate,
            templates=templates(seed), retain_until=papers.record.retain_until, now=self.now, used=papers.used,
            announce=_announcing(self.parts, papers, "op"),
        )  # fmt: skip

    def enrolled(self, person: str) -> Enrolled:
        found = self.gallery.person(person)
        assert found is not None
        return found

    def log(self) -> list[dict[str, Any]]:
        """What stands in the audit log but for what it says of itself."""
        itself = ("checkpoint", "started")
        return [dict(record) for record in records(self.audit_folder) if record["event"] not in itself]

    def close(self) -> None:
        self.audit.close()
        self.gallery.close()
        self.shop.close()
