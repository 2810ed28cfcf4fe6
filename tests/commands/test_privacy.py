"""Impact assessment, notice and retention schedule: filled from the configuration, and true of this software."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware.commands.privacy import filled, privacy
from firmware.commands.privacy_facts import KEPT, key_destruction
from firmware.gallery.consent import ConsentError
from firmware.runtime.config import Config, Profile, SecureElementConfig, load_config

TEXTS = ("report", "notice", "retention")
SOURCE = Path(__file__).parents[2] / "firmware"
TERMINAL = """
profile = "{profile}"
terminal = "till-1"
merchant = "CORNER-SHOP"
state_dir = "state"
run_dir = "run"
models_dir = "models"
[camera]
source = "{camera}"
[secure_element]
backend = "{element}"
[link]
host = "127.0.0.1"
port = 1883
[link.tls]
ca = "ca.pem"
crl = "ca.crl"
certificate = "link.pem"
key = "link.key"
[backend]
root = "root.json"
keys = "key-set.cose"
"""
PRIVACY = """
[privacy]
controller = "Corner Shop Ltd, 1 Market Street"
contact = "privacy@corner-shop.example"
notice = "notice.md"
notice_version = "2027-01"
languages = ["en", "zh-Hans"]
time_zone = "Asia/Shanghai"
retention_days = 365
other_way = "with a card or cash at the same till"
"""


def terminal(folder: Path, *, privacy: str = PRIVACY, production: bool = False) -> tuple[Config, Profile]:
    kind = ("payment", "structured-light", "tpm") if production else ("demo", "virtual", "software")
    text = TERMINAL.format(profile=kind[0], camera=kind[1], element=kind[2]) + privacy
    (folder / "terminal.toml").write_text(text)
    return load_config(folder / "terminal.toml")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_filled_and_nothing_is_left_open(tmp_path: Path, text: str) -> None:
    page = filled(text, *terminal(tmp_path))
    for value in ("till-1", "Corner Shop Ltd, 1 Market Street", "privacy@corner-shop.example", "2027-01", "365"):
        assert value in page
    assert not re.search(r"[${}]", page)


@pytest.mark.parametrize("text", TEXTS)
def test_without_somebody_who_answers_for_it_there_is_no_text(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConsentError) as caught:
        filled(text, *terminal(tmp_path, privacy=""))
    assert caught.value.code == "no_notice"


def test_the_notice_in_force_is_named_by_its_hash_and_a_missing_one_is_told(tmp_path: Path) -> None:
    config, profile = terminal(tmp_path)
    assert "**missing**" in filled("report", config, profile)
    (tmp_path / "notice.md").write_bytes(b"hello")
    page = filled("report", config, profile)
    assert "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" in page
    assert "**missing**" not in page


@pytest.mark.parametrize("text", ["report", "notice"])
def test_the_way_without_a_face_is_always_named(tmp_path: Path, text: str) -> None:
    assert "with a card or cash at the same till" in filled(text, *terminal(tmp_path))


@pytest.mark.parametrize("text", TEXTS)
def test_a_simulated_camera_is_called_simulated_on_every_page(tmp_path: Path, text: str) -> None:
    assert "simulated or played back" in filled(text, *terminal(tmp_path))
    assert "simulated or played back" not in filled(text, *terminal(tmp_path, production=True))


@pytest.mark.parametrize("production", [False, True])
@pytest.mark.parametrize("text", ["report", "notice"])
def test_figures_say_what_they_were_measured_on(tmp_path: Path, text: str, production: bool) -> None:
    page = filled(text, *terminal(tmp_path, production=production))
    assert "(**simulated**)" in page  # also production: no depth of real people was measured
    assert ("(a **proxy**)" in page) == production
    assert re.search(r"at most 1 in \d+", page)


@pytest.mark.parametrize("text", TEXTS)
def test_what_a_copy_made_before_an_erasure_is_worth_depends_on_the_element(tmp_path: Path, text: str) -> None:
    assert "can still open that copy" in filled(text, *terminal(tmp_path))
    assert "opens nothing any more" in filled(text, *terminal(tmp_path, production=True))


@pytest.mark.parametrize(
    ("element", "said"),
    [
        (SecureElementConfig(backend="tpm"), "opens nothing any more"),
        (SecureElementConfig(backend="pkcs11", options={"keeps_objects_inside": True}), "its maker's word"),
        (SecureElementConfig(backend="pkcs11"), "may hold the key as well"),
        (SecureElementConfig(backend="of-somebody-else"), "may hold the key as well"),
    ],
)
def test_no_element_is_said_to_destroy_keys_that_does_not_declare_it(element: SecureElementConfig, said: str) -> None:
    assert said in key_destruction(element)


def test_only_a_profile_for_demonstration_is_said_to_do_without_movement(tmp_path: Path) -> None:
    assert "takes a face without a movement" in filled("report", *terminal(tmp_path))
    assert "takes a face without a movement" not in filled("report", *terminal(tmp_path, production=True))


def test_the_notice_names_every_right_children_and_what_remains(tmp_path: Path) -> None:
    page = " ".join(filled("notice", *terminal(tmp_path)).split())
    for said in (
        "withdraw your consent", "get everything kept about you but the template", "put right", "somebody else for you",
        "complain to the authority", "Under 14, only with a guardian's consent", "Nobody under 18 can pay",
        "What remains after erasure", "the key is erased with you", "three years after your last visit",
    ):  # fmt: skip
        assert said in page


def test_every_file_a_terminal_keeps_is_in_the_schedule() -> None:
    """Names of files under `state_dir`, as the source writes them."""
    named = re.compile(r"\bstate(?:_dir\))? / \"([\w.]+)\"|Path\(\w*\.?config\.state_dir\) / \"([\w.]+)\"")
    found = {
        first or second
        for path in SOURCE.rglob("*.py")
        for first, second in named.findall(path.read_text())
    }  # fmt: skip
    assert {"gallery.db", "outbox.db", "attempts.db"} <= found
    told = " ".join(kept.where for kept in KEPT)
    assert not [name for name in found if name not in told]


def test_the_command_writes_the_text_to_a_file(tmp_path: Path) -> None:
    config, profile = terminal(tmp_path)
    out = tmp_path / "report.md"
    runner = CliRunner()
    asked = ["report", "--config", str(tmp_path / "terminal.toml")]
    assert runner.invoke(privacy, [*asked, "--out", str(out)]).exit_code == 0
    assert out.read_text() == filled("report", config, profile)
    assert runner.invoke(privacy, asked).output == out.read_text()
