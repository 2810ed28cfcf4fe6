"""docs/camera-faults.md, for whoever stands before a terminal at night: it names every cause, and tests that exist."""

import re
from typing import get_args

import pytest

from drivers.camera import Cause
from tests.commands.camera_rig import ROOT

PAGE = (ROOT / "docs" / "camera-faults.md").read_text()
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("cause", get_args(Cause))
def test_every_cause_has_its_row(cause: str) -> None:
    assert len(re.findall(rf"^\| `{cause}` \|", PAGE, re.MULTILINE)) == 1


def test_every_test_it_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) > 10
    assert [name for name in named if f"def {name}(" not in TESTS] == []
