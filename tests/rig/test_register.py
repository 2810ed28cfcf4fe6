"""The register of the rig: an order is one however often it has to be asked for, and all of it is written down."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from firmware.payment.money import Amount
from hil.rig.register import Line, Register, RegisterError, read_ledger


class Forgetful(http.server.BaseHTTPRequestHandler):
    """A backend whose first answer is lost on its way: what it did, it did."""

    calls: list[tuple[str, str, dict[str, str]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.calls.append((self.path, self.headers["Idempotency-Key"], body))
        if len(self.calls) == 1:
            self.close_connection = True
            return
        refused = body["payer"] == "payer-refused"
        said = b'{"code": "schema", "detail": "no"}' if refused else b'{"intent": "%s"}' % (b"ab" * 16)
        self.send_response(400 if refused else 201)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Nothing is said on the terminal."""


@pytest.fixture
def forgetful() -> Iterator[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    Forgetful.calls = []
    server = http.server.HTTPServer(("127.0.0.1", 0), Forgetful)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Forgetful.calls
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_order_whose_answer_was_lost_is_asked_again_under_the_same_key(
    forgetful: tuple[str, list[Any]], tmp_path: Path
) -> None:
    url, calls = forgetful
    with Register(url, "token", tmp_path / "ledger") as register:
        order = register.ask("till-1", Amount(1250, "KWD"), "payer-1")
    assert [call[:2] for call in calls] == [("/intents", order.reference)] * 2
    assert calls[0][2] == calls[1][2]
    assert calls[0][2]["amount"] == "1.250"
    ledger = read_ledger(tmp_path / "ledger")
    assert [(line.what, line.says) for line in ledger] == [("ask", "payer-1"), ("intent", "ab" * 16)]


def test_what_is_refused_is_in_the_ledger_as_asked_for_and_never_answered(
    forgetful: tuple[str, list[Any]], tmp_path: Path
) -> None:
    with Register(forgetful[0], "token", tmp_path / "ledger") as register, pytest.raises(RegisterError):
        register.ask("till-1", Amount(1, "EUR"), "payer-refused")
    assert [line.what for line in read_ledger(tmp_path / "ledger")] == ["ask"]


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    whole = msgspec.json.encode(Line("r-1", "ask", 1.0)) + b"\n"
    (tmp_path / "ledger").write_bytes(whole + whole[:-9])
    assert len(read_ledger(tmp_path / "ledger")) == 1
