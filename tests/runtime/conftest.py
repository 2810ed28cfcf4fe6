"""A terminal's configuration file for tests of the processes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """
profile = "demo"
terminal = "t-1"
merchant = "m-1"
state_dir = "state"
run_dir = "run"
models_dir = "models"
[camera]
source = "virtual"
serial = "fake-1"
[secure_element]
backend = "software"
[link]
host = "127.0.0.1"
port = 1883
[backend]
root = "root.json"
keys = "key-set.cose"
"""


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name; pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="tessera-") as name:
        yield Path(name)


@pytest.fixture
def config_path(short_path: Path) -> Path:
    """A valid configuration whose `run_dir` is `short_path / "run"`."""
    path = short_path / "terminal.toml"
    path.write_text(CONFIG)
    return path
