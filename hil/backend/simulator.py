"""A terminal without camera or face: real keys, real outbox, real signatures, scripted evidence.

For attack tests and load: it can be told to sign what an honest terminal never would.
"""

from pathlib import Path

from drivers.secure_element.interface import SecureElement
from drivers.secure_element.software import SoftwareSecureElement, in_memory
from firmware.payment import authorize, cose, schema
from firmware.payment.authorize import Binding, Software
from firmware.payment.intent import AcceptedIntent, accept_intent
from firmware.payment.messages import Authorization, Decline, Evidence
from firmware.payment.outbox import OpenIntent, Outbox
from firmware.payment.trust import Trust, key_id, load_public_key
from firmware.runtime.config import load_profile
from hil.backend.policy import DEMO

EVIDENCE = Evidence(assurance="geometry", gates=DEMO.gates, match_band=4, record=bytes(32))


def new_element() -> SoftwareSecureElement:
    """A device key that lives as long as the process."""
    return in_memory()


class SimulatedTerminal:
    """One terminal of profile `demo` at merchant `CORNER-SHOP`.

    Args:
        path: its outbox.
        trust: the backend's keys.
        element: its device key.
        name: its id.
    """

    merchant = "CORNER-SHOP"

    def __init__(self, path: Path, trust: Trust, element: SecureElement, name: str = "till-1") -> None:
        self.outbox = Outbox(path)
        self.trust, self.element, self.name = trust, element, name
        self.kid = key_id(load_public_key(element.public_key))
        self.profile = load_profile("demo")
        self.software = Software(
            terminal=name,
            profile="demo",
            policy=self.profile.digest,
            thresholds=bytes(32),
            models=bytes(32),
            firmware="0.1.0",
            camera="virtual-0",
        )

    def open(self, intent: bytes, now: int) -> AcceptedIntent:
        """Accept an intent's envelope and open it. Raises PaymentError."""
        accepted = accept_intent(
            intent, self.trust, terminal=self.name, merchant=self.merchant, now=now, profile=self.profile
        )
        self.outbox.open_intent(accepted, now)
        return accepted

    def authorize(self, accepted: AcceptedIntent, mandate: bytes, now: int, evidence: Evidence = EVIDENCE) -> bytes:
        """Authorize an open intent as an honest terminal does. Raises PaymentError."""
        intent = accepted.intent
        return self.outbox.authorize(
            intent.id,
            lambda counter: authorize.sign_authorization(
                accepted,
                software=self.software,
                evidence=evidence,
                binding=Binding(intent.payer, mandate),
                shown=authorize.display_text(intent.amount_minor, intent.currency, intent.merchant),
                now=now,
                counter=counter,
                element=self.element,
            ),
            b"",
        )

    def decline(self, intent: OpenIntent, reason: str, now: int) -> bytes:
        """Decline an open intent. Raises PaymentError."""
        return self.outbox.decline(
            intent.id,
            lambda counter: authorize.sign_decline(
                intent.id,
                intent.digest,
                terminal=self.name,
                reason=reason,
                now=now,
                counter=counter,
                element=self.element,
            ),
        )

    def read(self, envelope: bytes) -> Authorization:
        """Read an authorization of its own making, to alter it."""
        return schema.decode(cose.peek(envelope), Authorization)

    def sign(self, message: Authorization | Decline) -> bytes:
        """Sign anything, as a terminal under an attacker's control would."""
        return authorize.sign(message, self.element)
