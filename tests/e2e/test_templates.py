"""Templates that must not pay, in a gallery that opens: a minor's, one without depth, modalities swapped."""

import datetime
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.secure_element.software import open_secure_element
from firmware.gallery.consent import parse_consent
from firmware.gallery.gallery import Gallery
from firmware.vision.networks import template_networks
from hil.rig.customer import consent_of, enrol, pay
from hil.rig.site import Site
from hil.sensor.stage import Person, Stage

ADA = Person(94_100)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Site]:
    """A terminal at which Ada is enrolled as she should be, and under other names as she should not."""
    with Site.make(tmp_path_factory.mktemp("site")) as site:
        enrol(site, ADA, "payer-ada")
        site.stop_terminal()
        _plant(site)
        site.start_terminal()
        yield site


def _plant(site: Site) -> None:
    gallery = Gallery(
        Path(site.config.state_dir) / "gallery.db",
        open_secure_element(site.config.secure_element.options),
        template_networks(),
    )
    now = int(time.time())
    (ada,) = gallery.people()
    flat, swapped = ada.templates.copy(), np.ascontiguousarray(ada.templates[::-1])
    flat[1] = 0

    def add(payer: str, templates: NDArray[np.float32], born: datetime.date) -> None:
        consent = msgspec.structs.replace(consent_of(payer, now), date_of_birth=born)
        gallery.enrol(
            consent=consent.encoded,
            purposes=(consent.purpose,),
            payer=payer,
            mandate=secrets.token_bytes(16),
            templates=templates,
            retain_until=consent.retain_until,
            now=now,
        )

    born = parse_consent(ada.consent).date_of_birth
    add("payer-young", ada.templates.copy(), datetime.date.today() - datetime.timedelta(days=17 * 365))
    add("payer-flat", flat, born)
    add("payer-swapped", swapped, born)
    gallery.close()


def ending(site: Site, payer: str) -> tuple[str, str]:
    visit = pay(site, Stage(subject=ADA), payer, "12.50")
    return visit.reason, visit.register


def test_both_modalities_of_an_adult_pay(site: Site) -> None:
    assert ending(site, "payer-ada") == ("approved", "approved")


def test_template_of_a_minor_never_pays(site: Site) -> None:
    assert ending(site, "payer-young") == ("minor", "declined/minor")


def test_template_without_depth_does_not_pay(site: Site) -> None:
    assert ending(site, "payer-flat") == ("modality_missing", "declined/not_confirmed")


def test_templates_with_the_modalities_swapped_do_not_pay(site: Site) -> None:
    assert ending(site, "payer-swapped") == ("not_recognised", "declined/not_confirmed")
