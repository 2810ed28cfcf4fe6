"""No page claims more than its trials can: no error in n claims 3/n, whoever writes it.

A table is held to it by its columns `pairs`, `accepted` and `claim %`; a sentence by "0 of 24 ... claims ... 12 %" or
"zero of 24 claims ... one in eight".
"""

import re
from pathlib import Path

import pytest

from hil.evaluate.presentation_rates import claim

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WORDS = dict(zip(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), range(2, 11), strict=True))
SAID = re.compile(
    r"\b(?P<errors>\d[\d,]*|zero|none) of (?P<trials>\d[\d,]*)\b[^.|]{0,80}?\bclaim[^.|]{0,60}?"
    r"(?:(?P<percent>\d+(?:\.\d+)?) ?(?:%|per cent)|one in (?P<one_in>\w+))"
)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def overclaims(text: str) -> list[str]:
    """What claims too much, as it stands there."""
    return [*_in_tables(text), *_in_sentences(text)]


def _in_tables(text: str) -> list[str]:
    found: list[str] = []
    heads: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip(" *") for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not {"pairs", "accepted", "claim %"} <= set(heads) or not cells:
            heads = cells
            continue
        row = dict(zip(heads, cells, strict=False))
        pairs, accepted, said = (NUMBER.match(row.get(name, "")) for name in ("pairs", "accepted", "claim %"))
        if pairs and accepted and said and _too_much(int(accepted[0]), int(pairs[0]), float(said[0])):
            found.append(line)
    return found


def _in_sentences(text: str) -> list[str]:
    found = []
    for said in SAID.finditer(re.sub(r"(?<!\n)\n(?!\n)", " ", text)):
        errors = 0 if said["errors"] in ("zero", "none") else int(said["errors"].replace(",", ""))
        one_in = WORDS.get(said["one_in"], 0) or (int(said["one_in"]) if (said["one_in"] or "").isdigit() else 0)
        percent = float(said["percent"]) if said["percent"] else 100 / one_in if one_in else 100.0
        if _too_much(errors, int(said["trials"].replace(",", "")), percent):
            found.append(said[0])
    return found


def _too_much(errors: int, trials: int, percent: float) -> bool:
    return percent < 100 * claim(trials, errors) - 0.005


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_claims_more_than_its_trials_can(page: Path) -> None:
    assert overclaims(page.read_text()) == []


TABLE = "| species | pairs | accepted | claim % |\n|---|---|---|---|\n"


@pytest.mark.parametrize(
    "text",
    [
        "Zero of 24 attacks; 0 of 24 claims no less than 5 %.",
        "zero of 24 claims no less than one in ten.",
        "With 1 of 299 accepted, we may claim 1 %.",
        "0 of\n100 accepted, which claims 2.9 per cent.",
        TABLE + "| print | 299 | 0 | 0.50 |",
        TABLE + "| print | 299 | 0 | 1.00 |\n| mask | 299 | 1 | **1.00** |",
    ],
)
def test_a_larger_claim_than_three_over_n_is_found(text: str) -> None:
    assert len(overclaims(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "zero of 24 claims no less than one in eight",
        "0 of 299 accepted claims 1 %.",
        "1 of 299 accepted claims 1.6 %.",
        "0 of 100 people were tall. We claim 1 % of nothing.",
        TABLE + "| print | 299 | 0 | 1.00 |\n\n| other | pairs |\n|---|---|\n| x | 3 |",
    ],
)
def test_an_honest_claim_passes(text: str) -> None:
    assert overclaims(text) == []
