"""The file a register reconciles with: every effect of the days since the last one, one line each, then the totals.

Rules kept here:
- Each effect is in exactly one file: a closing takes everything since the one before it, and what is booked while it
  closes counts from its end on.
- A day is closed once it is over, and stays so; its file can be had again, byte for byte, and our signed word on it,
  by the key of today.
- Tokens only, as everywhere. Given back counts against paid: amounts of reversals and refunds are negative.
"""

import csv
import datetime
import hashlib
import io
from collections import Counter

import msgspec

from firmware.payment import cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Intent, Reconciliation
from hil.backend import books
from hil.backend.calls import CallError
from hil.backend.seal import Seal
from hil.backend.store import Transaction

COLUMNS = (
    "kind", "at", "merchant", "terminal", "reference", "intent", "number", "authorization", "payer", "amount_minor",
    "currency",
)  # fmt: skip
TOTAL = "total"
DAY_S = 86_400
# what a signed time may say at least: 2020; the first file has everything before it too
FIRST = 1_577_836_800


def end_of(day: datetime.date) -> int:
    """The first second after `day`, UTC, since 1970."""
    return (day.toordinal() + 1 - datetime.date(1970, 1, 1).toordinal()) * DAY_S


def close(ledger: Transaction, until: int, now: int, seal: Seal) -> books.Closing:
    """Close all time before `until` that is not closed yet; what is closed already is returned as it was.

    Raises:
        CallError: `day_open`, it is not over; `day_closed`, it is part of a later file.
    """
    books.hold_books(ledger)
    closed = books.closing(ledger, until)
    if closed is not None:
        return msgspec.structs.replace(closed, envelope=seal.again(closed.envelope, Reconciliation))
    since = books.closed_until(ledger) or FIRST
    if until > now:
        raise CallError("day_open", "the day is not over")
    if until <= since:
        raise CallError("day_closed", "the day is in the file of a later one")
    content, count = write(ledger, since, until)
    digest = hashlib.sha256(content).digest()
    word = Reconciliation(since=since, until=until, lines=count, digest=digest, issued_at=now)
    closing = books.Closing(until, since, count, digest, seal(word))
    books.close(ledger, closing)
    return closing


def write(ledger: Transaction, since: int, until: int) -> tuple[bytes, int]:
    """Return the file of this time as CSV, and how many effects it lists."""
    lines = books.lines(ledger, 0 if since == FIRST else since, until)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    totals: Counter[tuple[str, str]] = Counter()
    for line in lines:
        intent = schema.decode(cose.peek(line.envelope), Intent)
        signed_minor = line.amount_minor if line.kind == "payment" else -line.amount_minor
        totals[intent.merchant, line.currency] += signed_minor
        names = (intent.merchant, intent.terminal, line.reference, line.intent.hex(), line.number)
        table.writerow(
            (line.kind, _written(line.at), *names, line.authorization.hex(), line.payer, signed_minor, line.currency)
        )
    for (merchant, currency), minor in sorted(totals.items()):
        table.writerow((TOTAL, "", merchant, *[""] * 6, minor, currency))
    return text.getvalue().encode("ascii"), len(lines)


def read(content: bytes, envelope: bytes, resolve: cose.ResolveKey) -> list[dict[str, str]]:
    """Return the lines of a file, as a register takes them: by column, without the totals.

    Raises:
        PaymentError: it is not what the backend signed.
    """
    word = schema.verify(envelope, Reconciliation, resolve)[1]
    if hashlib.sha256(content).digest() != word.digest:
        raise PaymentError("receipt", "the file is not the one that was signed")
    lines = [line for line in csv.DictReader(io.StringIO(content.decode("ascii"))) if line["kind"] != TOTAL]
    if len(lines) != word.lines:
        raise PaymentError("receipt", f"{len(lines)} lines, {word.lines} were signed")
    return lines


def _written(at: int) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
