"""`docs/protocol.md` and `docs/protocol.cddl` say what the code does: every field, limit, code and constant."""

import importlib
import re
from pathlib import Path
from typing import get_args

import pytest

from firmware.audit.events import Event
from firmware.core.session import Outcome, Phase
from firmware.link import topics
from firmware.payment.errors import CODES
from firmware.payment.messages import Allowance, Evidence
from firmware.payment.schema import Message
from hil.backend.orders import State
from tests.payment.cddl import KINDS, envelopes, shape_of, shapes

DOCS = Path(__file__).parents[2] / "docs"
CDDL = (DOCS / "protocol.cddl").read_text()
PAGE = (DOCS / "protocol.md").read_text()
TABLE_ROW = re.compile(r"^\| `([a-z_A-Z.0-9]+)` \|", re.MULTILINE)


def section(title: str) -> str:
    """The part of the page under a heading."""
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    assert rest, f"no section {title}"
    return rest.partition("\n## ")[0]


NESTED: dict[str, type[Message]] = {"evidence": Evidence, "allowance": Allowance}


@pytest.mark.parametrize("rule", [*KINDS, *NESTED])
def test_every_field_and_limit_in_the_cddl_is_the_types(rule: str) -> None:
    assert shapes(CDDL)[rule] == shape_of({**KINDS, **NESTED}[rule])


def test_every_signed_message_is_in_the_cddl_under_its_type() -> None:
    assert envelopes(CDDL) == {rule: kind.TYP for rule, kind in KINDS.items()}


def test_no_signed_message_was_forgotten() -> None:
    """The audit log's own are no part of the protocol; who adds another message says where it belongs."""
    others = (Event.__module__, "tests.")  # tests make up kinds of their own
    found = {kind for kind in Message.__subclasses__() if kind.TYP and not kind.__module__.startswith(others)}
    assert found == set(KINDS.values())


def test_the_page_lists_exactly_the_codes_there_are() -> None:
    listed = TABLE_ROW.findall(section("Codes"))
    assert sorted(listed) == sorted(CODES), "one row for each code"


def test_the_page_lists_every_constant_with_its_value() -> None:
    rows = re.findall(r"^\| `([a-z_A-Z0-9.]+)\.([A-Z0-9_]+)` \| ([0-9]+) \|", section("Limits"), re.MULTILINE)
    assert len(rows) > 8
    for module, name, value in rows:
        assert getattr(importlib.import_module(module), name) == int(value), name


def test_the_page_lists_exactly_the_topics_there_are() -> None:
    kinds = (*topics.INBOUND, *topics.OUTBOUND)
    listed = re.findall(r"^\| `(tessera/[^`]+)` \|", section("Topics"), re.MULTILINE)
    assert sorted(listed) == sorted(topics.topic("<terminal>", kind) for kind in kinds)


def states(title: str, number: int = 0) -> set[str]:
    """The states of a diagram of the page."""
    diagram = section(title).split("stateDiagram-v2")[number + 1].partition("```")[0]
    return set(re.findall(r"\b([a-z_]+)\b(?= -->|:)", re.sub(r": .*", ":", diagram)))


def test_the_diagrams_have_the_states_of_the_code() -> None:
    assert states("The backend") == set(get_args(State)) - {"unknown"}
    assert states("The terminal") == {"open", "authorization", "decline", "approved", "declined", "rejected"}
    phases = {phase.value for phase in Phase if phase is not Phase.OVER}
    assert states("The terminal", 1) == phases | set(get_args(Outcome))


def test_every_attack_the_page_names_is_a_test_and_every_code_of_the_backend_is_met() -> None:
    tests = "".join(path.read_text() for path in sorted((DOCS.parent / "tests").glob("*/test_*.py")))
    named = re.findall(r"`(test_[a-z_0-9]+)`", section("Attacks"))
    assert len(named) > 30
    assert [name for name in named if f"def {name}(" not in tests] == []
    codes = re.findall(r"^\| `([a-z_]+)` \| (?:both|backend) \|", section("Codes"), re.MULTILINE)
    assert [code for code in codes if f'"{code}"' not in tests] == []
