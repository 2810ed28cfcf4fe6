"""The backend as a process, with mosquitto and its register: a payment, kill -9, a resend, a clean end."""

import signal
from pathlib import Path

import pytest

from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import GuardianMandate
from hil.backend.installation import load_service_config
from tests.backend.service import WAIT_S, Service, Till


def test_a_payment_survives_kill_minus_nine_of_the_backend(service: Service, till: Till) -> None:
    service.start()
    register = service.register
    child = {"terminal": "till-1", "consent_hash": "ab" * 32, "verifier": "school-office", "method": "document"}
    answer = register.post("/guardian-mandates", json=child)
    mandate = bytes.fromhex(answer.json()["mandate"])
    _, for_child = schema.verify(mandate, GuardianMandate, till.terminal.trust.resolve)
    assert (for_child.verifier, for_child.method) == ("school-office", "document")
    assert register.post("/guardian-mandates", json=child | {"method": "By Word"}).json()["code"] == "schema"

    of_payer = till.mandate()
    intent = till.asked()
    assert service.state(intent) == "open"
    authorization = till.authorize(of_payer)
    till.send(authorization)
    first = till.came.get(timeout=WAIT_S)
    service.process.kill()
    service.process.wait(WAIT_S)
    service.start()
    till.send(authorization)
    assert till.came.get(timeout=WAIT_S) == first
    assert till.terminal.outbox.settle(first, till.terminal.trust, "till-1").outcome == "approved"
    assert service.state(intent) == "approved"

    order = {"terminal": "till-1", "amount": "12.50", "currency": "EUR", "payer": "payer-7"}
    assert register.post("/intents", json=order | {"currency": "XXX"}).json()["code"] == "currency"
    assert register.post("/intents", json=order | {"extra": 1}).status_code == 422
    assert register.get(f"/intents/{intent}", headers={"Authorization": "Bearer no"}).status_code == 401

    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(WAIT_S) == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing required field"),
        ('stroe = "x"', "unknown field"),
        ('store="s"\nkey="k"\nterminals="t"\ntoken="o"\nport=1\n[broker]\nhost="10.0.0.1"\nport=1883', "without TLS"),
        ("not toml", "Expected"),
    ],
)
def test_a_configuration_that_cannot_be_used_says_why(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "backend.toml"
    path.write_text(text)
    with pytest.raises(PaymentError, match=reason):
        load_service_config(path)
