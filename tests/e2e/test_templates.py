"""A gallery that opens, and in it what must not pay: templates that lack something, consent that does not hold."""

import datetime
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from drivers.secure_element.interface import SecureElement
from drivers.secure_element.software import open_secure_element
from firmware.core.client import ask
from firmware.gallery.consent import ConsentRecord, read_consent
from firmware.gallery.gallery import DAY_S, Gallery
from firmware.payment import authorize
from firmware.runtime.messages import ListPeople
from firmware.vision.networks import template_networks
from firmware.vision.templates import Templates
from hil.backend.simulator import new_element
from hil.rig.customer import enrol, pay
from hil.rig.site import Site
from hil.sensor.stage import Person, Stage

ADA = Person(94_100)
NOW = int(time.time())
YEAR = datetime.timedelta(days=365.25)
# what stands in a consent record, and the reason it must give
RECORDS: dict[str, tuple[dict[str, object], str]] = {
    "young": ({"date_of_birth": (datetime.date.today() - 17.5 * YEAR).isoformat()}, "minor_payment"),
    "ended": ({"given_at": NOW - 400 * DAY_S}, "consent_expired"),
    "notice": ({"notice_version": "2025-1"}, "consent_renew"),
    "door": ({"purposes": ("door",)}, "consent_purpose"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Site]:
    """A terminal at which Ada is enrolled as she should be, and under other names as she should not."""
    with Site.make(tmp_path_factory.mktemp("site")) as site:
        enrol(site, ADA, "payer-ada")
        site.stop_terminal()
        with closing(open_secure_element(site.config.secure_element.options)) as element:
            _plant(site, element)
        site.start_terminal()
        yield site


def _plant(site: Site, element: SecureElement) -> None:
    """Write into the gallery what `core` would not: with the terminal's own key, in its own file."""
    path = Path(site.config.state_dir) / "gallery.db"
    with closing(Gallery(path, element, template_networks())) as gallery:
        (ada,) = gallery.people()
        record = read_consent(ada.consent, [element.public_key])
        flat, swapped = ada.templates.copy(), np.ascontiguousarray(ada.templates[::-1])
        flat[1] = 0

        def add(payer: str, templates: Templates, consent: bytes, enrolled_at: int = NOW) -> None:
            gallery.enrol(
                consent=consent,
                purposes=("payment",),
                payer=payer,
                mandate=secrets.token_bytes(16),
                templates=templates,
                retain_until=NOW + 300 * DAY_S,
                now=enrolled_at,
            )

        add("payer-flat", flat, ada.consent)
        add("payer-swapped", swapped, ada.consent)
        for name, (changes, _) in RECORDS.items():
            add(f"payer-{name}", ada.templates.copy(), _signed(record, element, changes))
        add("payer-forged", ada.templates.copy(), _signed(record, new_element(), {}))
        grown = {"date_of_birth": (datetime.date.today() - 18.5 * YEAR).isoformat()}
        add("payer-grown", ada.templates.copy(), _signed(record, element, grown), NOW - 400 * DAY_S)


def _signed(record: ConsentRecord, element: SecureElement, changes: Mapping[str, object]) -> bytes:
    return authorize.sign(msgspec.structs.replace(record, **changes), element)


def ending(site: Site, payer: str) -> tuple[str, str]:
    visit = pay(site, Stage(subject=ADA), payer, "12.50")
    return visit.reason, visit.register


def test_both_modalities_of_an_adult_pay(site: Site) -> None:
    assert ending(site, "payer-ada") == ("approved", "approved")


@pytest.mark.parametrize("name", RECORDS)
def test_consent_that_does_not_hold_now_pays_nothing_whatever_the_gallery_says(site: Site, name: str) -> None:
    reason = RECORDS[name][1]
    assert ending(site, f"payer-{name}") == (reason, f"declined/{reason}")


def test_template_made_of_a_minor_never_pays(site: Site) -> None:
    assert ending(site, "payer-grown") == ("minor", "declined/minor")


def test_consent_signed_by_another_terminal_pays_nothing(site: Site) -> None:
    assert ending(site, "payer-forged") == ("consent_signature", "declined/consent_signature")


def test_who_must_be_asked_anew_stands_in_the_list(site: Site) -> None:
    with site.control() as core:
        listed = {one.payer: one.asked for one in ask(core, ListPeople(), timeout_s=5).people}
    assert listed == {"payer-ada": "", "payer-flat": "", "payer-swapped": "", "payer-grown": "minor"} | {
        "payer-forged": "consent_signature"
    } | {f"payer-{name}": reason for name, (_, reason) in RECORDS.items()}


def test_template_without_depth_does_not_pay(site: Site) -> None:
    assert ending(site, "payer-flat") == ("modality_missing", "declined/not_confirmed")


def test_templates_with_the_modalities_swapped_do_not_pay(site: Site) -> None:
    assert ending(site, "payer-swapped") == ("not_recognised", "declined/not_confirmed")
