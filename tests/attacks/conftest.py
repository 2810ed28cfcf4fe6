"""The sites of the attacks: one for all of them, so that an attack costs what it says over the broker and no more."""

from collections.abc import Callable, Iterator

import pytest

from hil.backend.policy import DEMO
from hil.rig.brokers import mosquitto
from hil.rig.certificates import Authority
from tests.attacks.site import Site, Terminal

PRODUCTION = f"""
[policy]
name = "production"
profiles = ["payment"]
assurance = "dynamic"
match_band = 4
firmware = "1.0.0"
policies = ["{"11" * 32}"]
thresholds = ["{"22" * 32}"]
models = ["{"33" * 32}"]
"""
# the demonstration's policy, and limits in currencies nobody else pays in
LIMITED = f"""
[policy]
name = "demo"
profiles = ["demo", "rig"]
assurance = "geometry"
gates = {list(DEMO.gates)}
match_band = 1
firmware = "0.1.0"
[[policy.velocity]]
window_s = 3600
payments = 100000
amount_minor = {{ KWD = 19999 }}
[policy.offline]
currency = "JPY"
payment_minor = 5000
payer_minor = 8000
terminal_minor = 8000
hold_s = 3600
allowance_s = 3600
"""


def _site(tmp_path_factory: pytest.TempPathFactory, profile: str, more: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder / "ca")
    with mosquitto(folder / "broker", authority) as broker:
        site = Site(folder, broker, authority, profile, more)
        yield site
        site.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, mosquitto_installed: None) -> Iterator[Site]:
    """A backend that takes what the demonstration takes."""
    yield from _site(tmp_path_factory, "demo", LIMITED)


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory, mosquitto_installed: None) -> Iterator[Site]:
    """A backend with a policy for production."""
    yield from _site(tmp_path_factory, "payment", PRODUCTION)


@pytest.fixture
def terminals(site: Site) -> Iterator[Callable[..., Terminal]]:
    """Asks for a terminal, as often as one likes."""
    made: list[Terminal] = []

    def terminal(name: str | None = None) -> Terminal:
        made.append(site.terminal(name))
        return made[-1]

    yield terminal
    for one in made:
        one.close()


@pytest.fixture
def till(terminals: Callable[..., Terminal]) -> Terminal:
    """A terminal that nobody used before."""
    return terminals()
