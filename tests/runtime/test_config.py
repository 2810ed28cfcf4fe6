"""A configuration that cannot be right is refused, with file, key and reason."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.liveness.policy import load_policy
from firmware.runtime.config import PROFILES, Config, ConfigError, load_config, load_profile

GOOD = """
profile = "demo"
terminal = "till-1"
merchant = "CORNER-SHOP"
state_dir = "state"
run_dir = "run"
models_dir = "models"
[camera]
source = "virtual"
[secure_element]
backend = "software"
[link]
host = "127.0.0.1"
port = 1883
[backend]
root = "root.json"
keys = "key-set.cose"
"""


def load(tmp_path: Path, text: str) -> Config:
    (tmp_path / "terminal.toml").write_text(text)
    return load_config(tmp_path / "terminal.toml")[0]


def test_good_configuration_gets_paths_beside_its_file(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).state_dir == str(tmp_path / "state")


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ("camra = 1\n", "", "did you mean `camera`"),
        ("port = 1883000", "port = 1883", r"<= 65535.*\$\.link\.port"),
        ('port = "1883"', "port = 1883", r"Expected `int`.*\$\.link\.port"),
        ("port = 18.83", "port = 1883", r"\$\.link\.port"),
        ('terminal = "../../etc"', 'terminal = "till-1"', r"\$\.terminal"),
        ('profile = "debug"', 'profile = "demo"', r"\$\.profile"),
        ('host = "0.0.0.0"', 'host = "127.0.0.1"', "link.tls"),
        ('profile = "payment"', 'profile = "demo"', "link.tls"),
        ("stale_s = 60.0\n", "", "unknown field `stale_s`"),
        (
            'site_calibration = "site.toml"\n',
            "",
            "site_calibration: holds for real people, not for those of profile demo",
        ),
    ],
)
def test_wrong_value_is_told_with_file_key_and_reason(tmp_path: Path, wrong: str, right: str, told: str) -> None:
    text = GOOD.replace(right, wrong) if right else wrong + GOOD
    with pytest.raises(ConfigError, match=rf"terminal\.toml: .*{told}"):
        load(tmp_path, text)


def test_production_takes_no_software_key_and_no_virtual_camera(tmp_path: Path) -> None:
    tls = '[link.tls]\nca = "a"\ncrl = "l"\ncertificate = "b"\nkey = "c"\n'
    payment = GOOD.replace('"demo"', '"payment"') + tls
    with pytest.raises(ConfigError, match=r"secure_element\.backend"):
        load(tmp_path, payment)
    hardware = payment.replace('"software"', '"pkcs11"')
    with pytest.raises(ConfigError, match="camera: what is rendered"):
        load(tmp_path, hardware)
    live = hardware.replace('"virtual"', '"realsense"')
    with pytest.raises(ConfigError, match="flood_board: missing; a RealSense has no flood light"):
        load(tmp_path, live)
    live = live.replace('"realsense"', '"realsense"\noptions = { flood_board = true }')
    with pytest.raises(ConfigError, match="emitter: missing"):
        load(tmp_path, live)
    live = 'site_calibration = "site.toml"\n' + live
    live += '[emitter]\nowner = "core"\nport = "/dev/ttyACM0"\nlimits = "limits.json"\nkey = "calibration.pem"\n'
    with pytest.raises(ConfigError, match=r"emitter\.pattern: source `realsense` needs `every-third-flood`"):
        load(tmp_path, live)
    live += 'pattern = "every-third-flood"\n'
    assert load(tmp_path, live).site_calibration == str(tmp_path / "site.toml")
    with pytest.raises(ConfigError, match="camera: what is rendered"):
        load(tmp_path, live.replace("{ flood_board = true }", '{ flood_board = true, file = "replayed.db3" }'))


PRIVACY = """
[privacy]
controller = "Corner Shop Ltd, 1 Market Street"
contact = "privacy@corner-shop.example"
notice = "notice.md"
notice_version = "2027-01"
languages = ["en", "zh-Hans", "pt-BR"]
time_zone = "Asia/Shanghai"
retention_days = 365
other_way = "with a card or cash at the same till"
"""


def test_privacy_is_optional_and_its_notice_lies_beside_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).privacy is None
    privacy = load(tmp_path, GOOD + PRIVACY).privacy
    assert privacy is not None
    assert privacy.notice == str(tmp_path / "notice.md")
    assert privacy.zone.key == "Asia/Shanghai"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("Asia/Shanghai", "Asia/Atlantis", r"privacy\.time_zone"),
        ("Asia/Shanghai", "Asia", r"privacy\.time_zone"),
        ("Asia/Shanghai", "../../etc/passwd", r"privacy\.time_zone"),
        ("= 365", "= 1096", r"privacy\.retention_days"),
        ('["en", "zh-Hans", "pt-BR"]', "[]", r"privacy\.languages"),
        ('"pt-BR"', '"Portuguese"', r"privacy\.languages"),
        ('other_way = "with a card or cash at the same till"\n', "", "other_way"),
        ('"with a card or cash at the same till"', '""', r"privacy\.other_way"),
        ('"2027-01"', '"of today"', r"privacy\.notice_version"),
        ("Ltd,", "Ltd\\n", r"privacy\.controller"),
    ],
)
def test_a_wrong_value_of_privacy_is_told(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"terminal\.toml: .*{told}"):
        load(tmp_path, GOOD + PRIVACY.replace(right, wrong))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        load_config(tmp_path / "nothing.toml")


def test_no_shipped_profile_but_demo_and_rig_accepts_static_evidence() -> None:
    for name in PROFILES:
        profile = load_profile(name)
        lax = profile.require_assurance == "geometry" or profile.allow_hil or profile.software_key
        assert lax == (name in ("demo", "rig"))
        assert (profile.population == "virtual") == (name in ("demo", "rig"))
        assert profile.policy == "payment"


def test_profile_whose_policy_wants_a_pin_says_so_to_the_backend() -> None:
    for name in PROFILES:
        profile = load_profile(name)
        assert load_policy(profile.liveness)[0].pin == (profile.require_assurance == "dynamic_pin")


@given(st.binary(max_size=200))
def test_random_bytes_are_never_a_configuration(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("config") / "terminal.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError):
        load_config(path)
