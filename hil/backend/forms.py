"""What a register sends and is answered, field by field: the register's OpenAPI is made from it.

Rules kept here:
- A form takes exactly its fields, in their own types.
- Answers to whoever is refused have a code from a closed list and a text for a person.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from firmware.payment.mandate import SIMULATED
from firmware.payment.messages import Assurance
from firmware.payment.money import EXPONENTS
from hil.backend.calls import Refusal

NAME = r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=NAME)]
Word = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9_]*$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", json_schema_extra={"enum": sorted(EXPONENTS)})]
Written = Annotated[str, Field(pattern=r"^[0-9]{1,8}([.][0-9]{1,3})?$", description="Written out, e.g. 12.50")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Form(BaseModel):
    """A body that is sent to the register."""

    model_config = ConfigDict(extra="forbid", strict=True)


class IntentRequest(Form):
    """A payment to ask for.

    `assurance` where more is wanted than by the policy; `reference` is the register's own name for it.
    """

    terminal: Name
    amount: Written
    currency: Currency
    payer: Name
    assurance: Assurance = "geometry"
    reference: Annotated[str, Field(max_length=64, pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]*)?$")] = ""


class RefundRequest(Form):
    """A part of a payment to give back, in the payment's currency."""

    amount: Written
    currency: Currency


class MandateRequest(Form):
    """A mandate to issue; `consent_hash` is SHA-256 in hex of the consent's bytes.

    `method`: how the account's holder was authenticated out of band; nobody was where it is `simulated`, which is for
    a demonstration only. Who asks answers for it.
    """

    terminal: Name
    payer: Name
    purpose: Word
    consent_hash: Hex64
    method: Word = SIMULATED


class GuardianMandateRequest(Form):
    """A guardian's mandate to issue: `verifier` made sure who the guardian is, by `method`. Who asks answers for it."""

    terminal: Name
    consent_hash: Hex64
    verifier: Name
    method: Word


class Asked(BaseModel):
    """The intent that a terminal was asked for, by its id in hex."""

    intent: Hex32


class Issued(BaseModel):
    """A signed envelope in hex."""

    mandate: str


class Health(BaseModel):
    """Whether broker and database are there, and the database takes what is written: without one nothing is paid."""

    broker: bool
    database: bool


class Closed(BaseModel):
    """Closed books: from `since` to `until`, seconds since 1970; SHA-256 of their file and our word on it, in hex."""

    since: int
    until: int
    lines: int
    digest: Hex64
    envelope: str


class Problem(BaseModel):
    """Why something was refused: `code` for a program, `detail` for a person."""

    code: str
    detail: str


class Conflict(Problem):
    """Why it cannot be done as things are."""

    code: Refusal
