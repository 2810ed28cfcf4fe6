"""What a terminal keeps and for how long, and what its figures rest on: the facts behind `tessera privacy`.

`KEPT` names every file a running terminal leaves on its disk; a test holds the list against the source.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from firmware.runtime.config import Config, Profile, SecureElementConfig
from firmware.vision.calibration import load_calibration
from firmware.vision.calibration.evidence import Kind
from firmware.vision.embed import Modality
from firmware.vision.policy import load_policy

KINDS: dict[Kind, str] = {
    "synthetic": "of people who do not exist (**simulated**)",
    "proxy": "of real people, but neither before this camera nor in this light (a **proxy**)",
    "site": "of real people before this camera, at this site",
}
NAMES: dict[Modality, str] = {"ir": "pictures", "depth": "shapes"}


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of thing on the terminal's disk. `until` may name the consent's longest term as `{days}`."""

    what: str
    where: str
    how: str
    until: str
    why: str

    def row(self, days: int) -> str:
        """As a row of a Markdown table."""
        return f"| {self.what} | {self.where} | {self.how} | {self.until.format(days=days)} | {self.why} |"


_WITH_THE_PERSON = "withdrawal, the end of the consent ({days} days at most), or three years without a visit"
KEPT = (
    Kept(
        "face templates: numbers computed from the infrared picture and from the shape; no picture",
        "`gallery.db`",
        "encrypted under a key of that person's own",
        _WITH_THE_PERSON,
        "to recognise who agreed to it",
    ),
    Kept(
        "the signed consent: pseudonym, date of birth and how it is known, purposes, notice and language, times, "
        "guardian, who recorded it",
        "`gallery.db`",
        "encrypted under the same key",
        _WITH_THE_PERSON,
        "without it nobody may be recognised",
    ),
    Kept(
        "the payer's token, purposes, the mandate's number, times of enrolment, last visit and end, wrong matches "
        "reported",
        "`gallery.db`",
        "encrypted under the same key",
        _WITH_THE_PERSON,
        "to find the person a payment names, and to erase in time",
    ),
    Kept(
        "what a PIN is checked against, where they chose one, and how often in a row it was wrong",
        "`gallery.db`",
        "made by scrypt, and encrypted under the same key",
        _WITH_THE_PERSON,
        "for payments that ask for a PIN as well",
    ),
    Kept(
        "a random handle, and which purposes there are templates for",
        "`gallery.db`",
        "readable by the terminal's own account only",
        _WITH_THE_PERSON,
        "to keep one person's records together",
    ),
    Kept(
        "how often in a row recognition failed",
        "`attempts.db`",
        "by the mandate's number",
        "the next success, or erasure",
        "to slow down who tries another's face",
    ),
    Kept(
        "payments under way: intent, signed answer, measured values of the deciding moment",
        "`outbox.db`",
        "readable by the terminal's own account only",
        "the provider's receipt and the intent's end: minutes while there is a connection",
        "a payment is never lost and never made twice",
    ),
    Kept(
        "the record of what was done: enrolments, decisions, withdrawals, erasures, changes of keys and settings",
        "`audit/`",
        "chained and signed; people as a keyed hash, never by name or token",
        "three years at least; then it goes, in whole parts",
        "the law asks for a record of processing (China 2025 Measures, Art. 9; GDPR Art. 5(2) and 30)",
    ),
    Kept(
        "copies of the gallery, where staff made any",
        "`backup/`",
        "sealed as the gallery is; open with this secure element only",
        "staff remove them; what an erasure means for them stands below",
        "a broken disk costs nobody their enrolment",
    ),
    Kept(
        "receipts of erasure: handle, hash of the consent, time",
        "`gallery.db`",
        "signed",
        "the terminal's own end",
        "to prove an erasure to whoever asks, again and again",
    ),
    Kept(
        "numbers of mandates and hashes of consents that were used",
        "`gallery.db`",
        "random numbers, and hashes of what nobody can guess",
        "the terminal's own end",
        "no mandate and no consent enrols twice, least of all after a withdrawal",
    ),
    Kept(
        "staff: names, roles, scrypt of their passphrases",
        "`roles.db`",
        "readable by the terminal's own account only",
        "they are removed",
        "nobody enrols or erases without saying who they are",
    ),
    Kept(
        "public keys this terminal has and had",
        "`identities.json`",
        "public",
        "the terminal's own end",
        "older signatures can be checked",
    ),
    Kept(
        "what the screen said, and when; random handles of people whose time had ended",
        "the system's journal",
        "no name, no payer's token, nothing of a face",
        "as the system is set up",
        "to mend what is broken",
    ),
)


def key_destruction(element: SecureElementConfig) -> str:
    """What erasure means for copies of the disk made before it, with this secure element."""
    destroyed = (
        "The key that opened the erased record is destroyed inside the secure element: a copy of the disk made before "
        "the erasure opens nothing any more, on this terminal or elsewhere."
    )
    if element.backend == "tpm":
        return destroyed
    if element.backend == "pkcs11" and element.options.get("keeps_objects_inside") is True:
        return f"{destroyed} That this token keeps its keys inside is its maker's word."
    if element.backend == "software":
        return (
            "**This terminal keeps its keys in an encrypted file, for demonstration and test: whoever copied its disk "
            "and its passphrase before an erasure can still open that copy.** A TPM would not allow that."
        )
    return (
        f"**Nobody has said that the secure element here (`{element.backend}`) keeps its keys inside: a copy of the "
        "disk made before an erasure may hold the key as well, and open on this terminal.**"
    )


def figures(config: Config, profile: Profile) -> str:
    """How often somebody is taken for another, and on what that was measured. Raises CalibrationError."""
    site = None if config.site_calibration is None else Path(config.site_calibration)
    calibration = load_calibration(profile.population, site)
    policy, _ = load_policy(profile.policy)
    threshold = calibration.threshold(policy.claimed.rate)
    parts = "; ".join(f"{NAMES[name]} {KINDS[calibration.of(name).kind]}" for name in threshold.modalities)
    return (
        f"The threshold was set where {_times(threshold.of_one_pairing(threshold.errors))} in "
        f"{threshold.of_one_pairing(threshold.comparisons)} comparisons between {threshold.people} people one was "
        f"taken for another; what can be claimed of that is at most 1 in {math.floor(1 / threshold.bound)}. "
        f"A person was not recognised as themselves in {threshold.of_one_pairing(threshold.misses)} of "
        f"{threshold.of_one_pairing(threshold.genuine)} comparisons. This was measured with: {parts}."
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
