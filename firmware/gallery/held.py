"""A person: as held in memory, and as told to the rest of `core`."""

from dataclasses import dataclass

from firmware.gallery.memory import SecretRows
from firmware.gallery.sealed import Cell, Record, Vault
from firmware.vision.templates import Templates

MAX_PEOPLE = 100_000  # from there on China's 2025 Measures, Art. 15, ask for a filing; one terminal stays below
DAY_S = 86400
LONGEST_UNSEEN_S = 1095 * DAY_S  # BIPA, 740 ILCS 14/15(a): three years after the last contact


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """An enrolled person. Times are Unix seconds.

    Attributes:
        person: their random id.
        purposes: what they may be matched for.
        payer: the payer token.
        mandate: id of the mandate they were enrolled under.
        enrolled_at, last_seen: when.
        retain_until: the end of what they agreed to.
        templates: layout of `vision.templates`, in the clear, read-only; zeros once they are erased. Not to be copied.
        consent: as it was handed in.
        disputes: wrong matches reported.
        ends_at: when they are erased by themselves, as things stand.
        audit_key: 32 bytes of this person alone, gone with them.
    """

    person: str
    purposes: tuple[str, ...]
    payer: str
    mandate: bytes
    enrolled_at: int
    last_seen: int
    retain_until: int
    templates: Templates
    consent: bytes
    disputes: int
    ends_at: int
    audit_key: bytes


@dataclass(slots=True)
class Held:
    """A person as held in memory: number in the store, row of the locked memory, and what is known of them."""

    number: int
    person: str
    row: int
    record: Record

    @property
    def ends_at(self) -> int:
        """When their retention ends: what they agreed to, or three years without contact."""
        return min(self.record.retain_until, self.record.last_seen + LONGEST_UNSEEN_S)

    def cell(self, cells: SecretRows) -> Cell:
        """Their key and templates."""
        return cells.rows[self.row : self.row + 1]

    def vault(self, cells: SecretRows) -> Vault:
        """What seals and opens their blobs."""
        return Vault(self.person, self.cell(cells))

    def templates(self, cells: SecretRows) -> Templates:
        """Their templates, in place and read-only."""
        templates: Templates = self.cell(cells)["templates"][0]
        templates.flags.writeable = False
        return templates

    def told(self, cells: SecretRows, consent: bytes) -> Enrolled:
        """As the rest of `core` is told."""
        record = self.record
        return Enrolled(
            person=self.person,
            purposes=record.purposes,
            payer=record.payer,
            mandate=record.mandate,
            enrolled_at=record.enrolled_at,
            last_seen=record.last_seen,
            retain_until=record.retain_until,
            templates=self.templates(cells),
            consent=consent,
            disputes=record.disputes,
            ends_at=self.ends_at,
            audit_key=self.vault(cells).audit_key,
        )
