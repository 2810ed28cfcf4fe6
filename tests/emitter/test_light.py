from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera import Emitter
from drivers.emitter.patterns import by_exposure
from hil.emitter.light import MAX_LIGHT_BYTES, Light, LightError, read_light, write_light

LEVELS = by_exposure([Emitter(1.0, 0.5), Emitter(0.25, 1.0)], "dark-flood-dots")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    light = Light(armed=True, levels=LEVELS, stuck="on", dots_scale=0.2)
    write_light(tmp_path / "light.json", light)
    assert read_light(tmp_path / "light.json") == light
    assert [path.name for path in tmp_path.iterdir()] == ["light.json"]


def test_the_longest_programme_fits(tmp_path: Path) -> None:
    light = Light(levels=tuple(Emitter(1 / 3, 2 / 3) for _ in range(256)))
    write_light(tmp_path / "light.json", light)
    assert read_light(tmp_path / "light.json") == light


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"armed": 1}', b'{"lit": true}', b" " * (MAX_LIGHT_BYTES + 1)])
def test_what_is_no_light_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "light.json").write_bytes(raw)
    with pytest.raises(LightError, match=r"light\.json"):
        read_light(tmp_path / "light.json")


def test_a_missing_file_is_no_darkness(tmp_path: Path) -> None:
    with pytest.raises(LightError, match="No such file"):
        read_light(tmp_path / "light.json")


def test_each_exposure_shines_its_own_levels() -> None:
    light = Light(armed=True, levels=LEVELS, dots_scale=0.5)
    first, second = [(0.0, 0.0), (1.0, 0.0), (0.0, 0.25)], [(0.0, 0.0), (0.25, 0.0), (0.0, 0.5)]
    assert [light.at(exposure) for exposure in range(9)] == first + second + first


@given(st.integers(0, 10**9), st.booleans())
def test_the_dark_exposure_is_dark_unless_the_driver_is_stuck(cycle: int, armed: bool) -> None:
    assert Light(armed=armed, levels=LEVELS).at(3 * cycle) == (0.0, 0.0)
    assert Light(armed=armed, levels=LEVELS, stuck="on").at(3 * cycle) == (1.0, 1.0)


@pytest.mark.parametrize("light", [Light(levels=LEVELS), Light(armed=True), Light(True, LEVELS, "off")])
def test_dark_is_dark(light: Light) -> None:
    assert light.at(1) == light.at(2) == (0.0, 0.0)
