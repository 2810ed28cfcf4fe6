"""What the backend remembers of terminals apart from payments, as statements inside one transaction.

Rules kept here:
- Of what a terminal says of itself only the newest is kept, and nothing older ever replaces it.
- A suspension is of a key and for good; an allowance and a certificate once given are not changed.
"""

import msgspec
from sqlalchemy import Connection, Update, func, insert, select, update

from firmware.payment import cose, schema
from firmware.payment.messages import Allowance, Presence, Status
from hil.backend.tables import ALLOWANCES, CERTIFICATES, STATUSES, SUSPENSIONS, TERMINALS


class Heard(msgspec.Struct, frozen=True):
    """The newest a terminal said of itself, and when it reached us; `presence` may be its last will's."""

    status: Status
    presence: Presence
    heard_at: int


class Certified(msgspec.Struct, frozen=True):
    """A certificate given to a terminal: its serial in hex, and until when it is good."""

    terminal: str
    serial: str
    granted_at: int
    ends_at: int


def is_suspended(db: Connection, kid: bytes, terminal: str) -> bool:
    """Whether a clone of this key was suspected, or, by an older program, of this terminal whatever its key."""
    of_key = select(SUSPENSIONS.c.kid).where(SUSPENSIONS.c.kid == kid)
    of_terminal = select(TERMINALS.c.id).where(TERMINALS.c.id == terminal, TERMINALS.c.suspended != 0)
    return any(db.execute(query).first() is not None for query in (of_key, of_terminal))


def suspend(db: Connection, kid: bytes, terminal: str, now: int) -> None:
    """Take nothing more that is signed by this key. Called once for a key: what follows is `suspended`."""
    db.execute(insert(SUSPENSIONS).values(kid=kid, terminal=terminal, at=now))


def suspended_keys(db: Connection) -> dict[bytes, tuple[str, int]]:
    """Every suspended key's id: its terminal, and since when."""
    rows = db.execute(select(SUSPENSIONS.c.kid, SUSPENSIONS.c.terminal, SUSPENSIONS.c.at))
    return {bytes(row[0]): (str(row[1]), int(row[2])) for row in rows}


def counters(db: Connection) -> dict[str, tuple[int, bool]]:
    """By terminal, the highest counter seen, and whether it was suspended whatever its key (by an older program)."""
    rows = db.execute(select(TERMINALS.c.id, TERMINALS.c.counter, TERMINALS.c.suspended))
    return {str(row[0]): (int(row[1]), bool(row[2])) for row in rows}


def take_status(db: Connection, status: Status, envelope: bytes, now: int) -> bool:
    """Keep a status if it is newer than what is kept; whether it was. The terminal's row is held."""
    columns = [STATUSES.c[name] for name in ("connection", "sequence", "issued_at", "presence")]
    last = db.execute(select(*columns).where(STATUSES.c.terminal == status.terminal)).first()
    if last is not None and bytes(last[0]) == status.connection and status.sequence == 0:
        # its will, signed before all it said since: only the presence is news
        db.execute(_of(status.terminal).values(presence=status.presence, heard_at=now))
        return str(last[3]) != status.presence
    values = {
        "connection": status.connection,
        "sequence": status.sequence,
        "issued_at": status.issued_at,
        "presence": status.presence,
        "heard_at": now,
        "envelope": envelope,
    }
    if last is None:
        db.execute(insert(STATUSES).values(terminal=status.terminal, **values))
        return True
    newer = status.sequence > last[1] if bytes(last[0]) == status.connection else status.issued_at > last[2]
    if newer:
        db.execute(_of(status.terminal).values(**values))
    return bool(newer)


def heard(db: Connection) -> dict[str, Heard]:
    """The newest of every terminal."""
    rows = db.execute(select(STATUSES.c.envelope, STATUSES.c.presence, STATUSES.c.heard_at))
    found = [Heard(schema.decode(cose.peek(bytes(row[0])), Status), row[1], int(row[2])) for row in rows]
    return {each.status.terminal: each for each in found}


def running_allowances(db: Connection, terminal: str, now: int) -> list[tuple[Allowance, int]]:
    """The allowances of a terminal that have not ended, and when each was given; the last given first."""
    columns = [ALLOWANCES.c[name] for name in (*Allowance.__struct_fields__, "given_at")]
    query = select(*columns).where(ALLOWANCES.c.terminal == terminal, ALLOWANCES.c.expires_at > now)
    rows = db.execute(query.order_by(ALLOWANCES.c.given_at.desc(), ALLOWANCES.c.id))
    return [(Allowance(bytes(row[0]), *row[1:-1]), int(row[-1])) for row in rows]


def keep_allowance(db: Connection, terminal: str, allowance: Allowance, given_at: int) -> None:
    """Remember an allowance that is given."""
    db.execute(insert(ALLOWANCES).values(terminal=terminal, given_at=given_at, **msgspec.structs.asdict(allowance)))


def granted(db: Connection, request: bytes) -> bytes | None:
    """The grant a request, by its SHA-256, was given before."""
    row = db.execute(select(CERTIFICATES.c.grant).where(CERTIFICATES.c.request == request)).first()
    return None if row is None else bytes(row[0])


def granted_since(db: Connection, terminal: str, since: int) -> int:
    """How many certificates a terminal was given after `since`, in seconds."""
    query = select(func.count()).where(CERTIFICATES.c.terminal == terminal, CERTIFICATES.c.granted_at > since)
    return int(db.execute(query).scalar_one())


def keep_grant(db: Connection, request: bytes, certified: Certified, grant: bytes) -> None:
    """Remember the answer to a request, by its SHA-256."""
    db.execute(insert(CERTIFICATES).values(request=request, grant=grant, **msgspec.structs.asdict(certified)))


def certified(db: Connection, since: int) -> list[Certified]:
    """Every certificate that ends after `since`, in seconds; the last given first."""
    columns = [CERTIFICATES.c[name] for name in Certified.__struct_fields__]
    query = select(*columns).where(CERTIFICATES.c.ends_at > since).order_by(CERTIFICATES.c.granted_at.desc())
    return [Certified(*row) for row in db.execute(query)]


def _of(terminal: str) -> Update:
    return update(STATUSES).where(STATUSES.c.terminal == terminal)
