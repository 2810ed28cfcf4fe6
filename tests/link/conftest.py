"""Fixtures of the link's tests."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="tessera-") as name:
        (Path(name) / "run").mkdir(mode=0o700)
        yield Path(name)


@pytest.fixture
def stack(folder: Path) -> Iterator[ExitStack]:
    """Ends what a test started, last first, while `folder` is still there."""
    with ExitStack() as ends:
        yield ends
