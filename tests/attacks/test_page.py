"""The page's tables of attacks and the tests name each other: none is told that is not there, none is there untold."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "protocol.md"
FILES = ("test_over_the_broker.py", "test_at_the_terminal.py", "test_time_and_keys.py")


def defined(path: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))


def test_every_attack_of_the_page_is_a_test_and_every_test_stands_on_the_page() -> None:
    section = PAGE.read_text().partition("## Attacks\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(test_\w+)`", section))
    there = set().union(*(defined(TESTS / "attacks" / name) for name in FILES))
    elsewhere = set().union(*(defined(path) for part in ("payment", "gallery") for path in (TESTS / part).glob("*.py")))
    assert told - there - elsewhere == set()
    assert there - told == set()
