"""The register does what its own description says, whatever schemathesis makes of that description.

Some hundred calls in the ordinary suite, always the same ones; the long run makes new ones each time.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation, BaseSchema

from hil.backend import watch
from hil.backend.calls import Refusal
from hil.backend.orders import State
from hil.backend.reconcile import COLUMNS, DAY_S
from hil.backend.register import create_app
from hil.backend.shop import PAYER, Shop
from tests.backend.books import day_of, paid
from tests.backend.test_register import TOKEN, Wire

FEW, MANY = 10, 200
# what a description cannot say: that an amount is above zero, a terminal registered, an order one of ours
BESIDES = [checks.positive_data_acceptance]
# more parameters than there are do no harm; a body with more fields does, and is refused
LAX = [*BESIDES, checks.negative_data_rejection]


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(watch, "LOOK_S", 0)
    monkeypatch.setattr(watch, "MOST_WATCHERS", 0)
    shop = Shop(tmp_path_factory.mktemp("shop"))
    yield shop
    shop.close()


def described(app: FastAPI, known: dict[str, list[str]]) -> BaseSchema:
    """The register's description, where it has a name of `known` with these values only."""
    text: dict[str, Any] = copy.deepcopy(app.openapi())
    for path in text["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                _narrow(parameter["schema"], known.get(parameter["name"]))
    for form in ("IntentRequest", "RefundRequest", "MandateRequest", "GuardianMandateRequest"):
        for name, field in text["components"]["schemas"][form]["properties"].items():
            _narrow(field, known.get(name))
    schema: BaseSchema = schemathesis.openapi.from_dict(text)
    schema.app = app
    return schema


def names(shop: Shop) -> dict[str, list[str]]:
    """Values that mean something at this shop: what is made up is a terminal nobody knows, an order nobody placed."""
    closed = day_of(shop)
    shop.time += DAY_S
    shop.backend.close_day(closed)
    orders = [*(paid(shop) for _ in range(6)), shop.open().intent.id, shop.open().intent.id, bytes(16)]
    shop.backend.cancel(orders[6])
    known = {"intent": [order.hex() for order in orders], "day": [f"{closed}", f"{day_of(shop)}"]}
    known |= {"Idempotency-Key": ["a", "b", "c", "d", "e", "f"], "reference": ["", "r"], "terminal": ["till-1"]}
    return known | {"payer": [PAYER], "currency": ["EUR", "JPY"], "amount": ["0.01", "1", "2.50", "100.50"]}


def _narrow(field: dict[str, Any], values: list[str] | None) -> None:
    if values is not None:
        field.clear()
        field.update({"type": "string", "enum": values})


def called(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, examples: int, fresh: bool
) -> Counter[int]:
    """Call an operation as its description says, or as it forbids; returns how often which status came."""
    came: Counter[int] = Counter()
    excluded = BESIDES if operation.body else LAX

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=not fresh, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
        came[answer.status_code] += 1
        case.validate_response(answer, excluded_checks=excluded)

    run()
    return came


def all_called(shop: Shop, examples: int, fresh: bool) -> dict[str, Counter[int]]:
    """Call everything there is in both ways; then the books must still add up."""
    came: dict[str, Counter[int]] = defaultdict(Counter)
    app = create_app(shop.backend, Wire(), TOKEN)
    for mode, known in ((GenerationMode.POSITIVE, names(shop)), (GenerationMode.NEGATIVE, {})):
        # by name backwards: what is reversed cannot be refunded any more
        for found in reversed(list(described(app, known).get_all_operations())):
            assert isinstance(found, Ok), found
            operation = found.ok()
            came[operation.label] += called(operation, mode, examples, fresh)
    for payment in shop.backend.payments():
        assert 0 <= shop.backend.state(payment.intent).given_back_minor <= payment.amount_minor
    return came


def test_every_call_is_answered_as_described_whatever_is_sent(shop: Shop) -> None:
    came = all_called(shop, FEW, fresh=False)
    assert sum(sum(counts.values()) for counts in came.values()) >= 200
    never = [label for label, counts in came.items() if not counts[200] + counts[201]]
    assert never == [], "each call was made well at least once"


def test_every_state_of_an_order_is_in_the_description(shop: Shop) -> None:
    text = create_app(shop.backend, Wire(), TOKEN).openapi()
    states = text["components"]["schemas"]["RegisterView"]["properties"]["state"]["enum"]
    assert set(states) == set(get_args(State))


def test_every_code_of_what_cannot_be_done_is_in_the_description_and_on_the_page(shop: Shop) -> None:
    text = create_app(shop.backend, Wire(), TOKEN).openapi()
    codes = set(text["components"]["schemas"]["Conflict"]["properties"]["code"]["enum"])
    assert codes == set(get_args(Refusal))
    page = (Path(__file__).parents[2] / "docs" / "backend.md").read_text()
    missing = [word for word in (*codes, *COLUMNS) if f"`{word}`" not in page]
    assert missing == []


@pytest.mark.soak
def test_many_calls_are_answered_as_described(shop: Shop) -> None:
    all_called(shop, MANY, fresh=True)
