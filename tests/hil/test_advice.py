"""What a person is told to install is this project's own."""

import re
from importlib.metadata import EntryPoint, metadata
from pathlib import Path

import pytest

from drivers import plugins
from drivers.plugins import PluginError

ROOT = Path(__file__).parents[2]
TOLD = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")] + [
    path for part in ("drivers", "firmware", "hil", "models") for path in (ROOT / part).rglob("*.py")
]


def test_nobody_is_told_to_install_a_package_of_our_name_from_a_registry() -> None:
    """Whoever has that name there would be run."""
    assert not [path for path in TOLD if re.search(r"\btessera\[", path.read_text())]


@pytest.mark.parametrize(("module", "extra"), [("drivers.tpm", "tpm"), ("hil.sensor.virtual_camera", "hil")])
def test_a_plug_in_that_lacks_a_package_says_which_extra_of_ours_has_it(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    def missing(_: EntryPoint) -> None:
        raise ImportError("No module named 'absent'")

    point = EntryPoint("tpm", f"{module}:open_it", plugins.SECURE_ELEMENTS)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    monkeypatch.setattr(EntryPoint, "load", missing)
    with pytest.raises(PluginError, match=rf"'absent'; .*`make setup-dev`, .*'\.\[{extra}\]'"):
        plugins.load(plugins.SECURE_ELEMENTS, "tpm")
    assert extra in metadata("tessera").get_all("Provides-Extra", [])
