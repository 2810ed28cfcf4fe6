"""A log that somebody changed, with the disk in their hands and without the terminal's key."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.secure_element.interface import Capability, SecureElement
from drivers.secure_element.software import SoftwareSecureElement, create
from firmware.audit import frames
from firmware.audit.events import KINDS, SegmentsDropped
from firmware.audit.log import CHECKPOINT_EVERY, Audit
from firmware.audit.verify import Report, read_checkpoint, verify
from firmware.payment import schema
from firmware.payment.errors import PaymentError
from tests.audit.whole import clock, died, filled, last_segment, mended, pieces, refusal, started

Attack = Callable[[list[bytes]], list[bytes]]
VICTIM = 30
"""Place of the record that is attacked, counted from 0; its number is one more."""


def check(folder: Path, element: SecureElement) -> Report:
    return verify(folder, [element.public_key])


def attacked(folder: Path, element: SecureElement, attack: Attack) -> Report:
    filled(folder, element)
    path = last_segment(folder)
    path.write_bytes(b"".join(attack(pieces(path))))
    return check(folder, element)


def kinds(report: Report) -> set[tuple[str, int]]:
    return {(fault.kind, fault.sequence) for fault in report.faults}


def remove(records: list[bytes]) -> list[bytes]:
    return records[:VICTIM] + records[VICTIM + 1 :]


def exchange(records: list[bytes]) -> list[bytes]:
    return [*records[:VICTIM], records[VICTIM + 1], records[VICTIM], *records[VICTIM + 2 :]]


def repeat(records: list[bytes]) -> list[bytes]:
    return [*records[: VICTIM + 1], records[VICTIM], *records[VICTIM + 1 :]]


def turn_a_byte(records: list[bytes]) -> list[bytes]:
    victim = bytearray(records[VICTIM])
    victim[-20] ^= 1
    return [*records[:VICTIM], bytes(victim), *records[VICTIM + 1 :]]


def turn_its_length(records: list[bytes]) -> list[bytes]:
    victim = bytearray(records[VICTIM])
    victim[3] ^= 1
    return [*records[:VICTIM], bytes(victim), *records[VICTIM + 1 :]]


def rewrite(records: list[bytes]) -> list[bytes]:
    """Another body under the same number, with a check that fits it."""
    ((frame, _),) = frames.scan(records[VICTIM])
    body = frame.body.replace(b"refused", b"approve")
    assert body != frame.body
    other, _ = frames.pack(frame.sequence, frame.previous, frame.at, frame.kind, body)
    return [*records[:VICTIM], other, *records[VICTIM + 1 :]]


def no_checkpoints(records: list[bytes]) -> list[bytes]:
    return [record for record in records if next(frames.scan(record))[0].kind != 0]


def test_a_whole_log_is_good(folder: Path, element: SecureElement) -> None:
    report = attacked(folder, element, list)
    assert (report.good, report.notes, report.terminal) == (True, (), "till-1")
    assert (report.first, report.last, report.signed) == (1, 105, 105)  # start, end, three checkpoints


@pytest.mark.parametrize(
    ("attack", "fault"),
    [
        (remove, ("removed", VICTIM + 1)),
        (exchange, ("reordered", VICTIM + 1)),
        (repeat, ("reordered", VICTIM + 1)),
        (turn_a_byte, ("altered", VICTIM + 1)),
        (turn_its_length, ("altered", VICTIM + 1)),
        (rewrite, ("altered", VICTIM + 1)),
    ],
)
def test_what_was_done_is_found_and_named_with_its_place(
    folder: Path, element: SecureElement, attack: Attack, fault: tuple[str, int]
) -> None:
    assert kinds(attacked(folder, element, attack)) == {fault}


@pytest.mark.parametrize("attack", [remove, exchange, repeat, rewrite])
def test_who_mends_the_chain_behind_it_is_found_at_the_next_checkpoint(
    folder: Path, element: SecureElement, attack: Attack
) -> None:
    report = attacked(folder, element, lambda records: mended(attack(records)))
    assert {fault.kind for fault in report.faults} >= {"altered"}
    assert all(fault.sequence > VICTIM for fault in report.faults)
    assert "another history: rewritten after record 2" in report.faults[0].text


def test_checkpoints_cannot_be_left_out(folder: Path, element: SecureElement) -> None:
    report = attacked(folder, element, lambda records: mended(no_checkpoints(records)))
    assert {fault.kind for fault in report.faults} == {"unsigned"}


def test_checkpoints_after_the_first_cannot_be_left_out_either(folder: Path, element: SecureElement) -> None:
    report = attacked(folder, element, lambda records: mended([*records[:2], *no_checkpoints(records[2:])]))
    assert kinds(report) == {("unsigned", 2 + CHECKPOINT_EVERY + 1)}


def test_last_record_that_was_altered_is_no_unfinished_one(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 3)
    path = last_segment(folder)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert kinds(check(folder, element)) == {("altered", 7)}


def test_no_byte_can_be_turned_unseen(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 3)
    path = last_segment(folder)
    whole = path.read_bytes()
    last = len(whole) - len(pieces(path)[-1])
    for at in range(0, len(whole), 3):
        turned = bytearray(whole)
        turned[at] ^= 1 << at % 8
        path.write_bytes(turned)
        report = check(folder, element)
        # a length turned in the last record makes it one that was never finished: as good as cut off
        assert not report.good or (at in range(last, last + 4) and "never finished" in report.notes[0]), at


def test_dropping_the_oldest_segment_cannot_be_forged(
    folder: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "SEGMENT_BYTES", 4096)
    filled(folder, element)
    first, second, *_ = (path for _, path in frames.segments(folder))
    begins = next(frames.scan(second.read_bytes()))[0].sequence
    first.unlink()
    ((last, _),) = frames.scan(pieces(last_segment(folder))[-1])
    told = schema.encode(SegmentsDropped(first=begins))
    forged, _ = frames.pack(last.sequence + 1, last.digest, last.at, KINDS.index(SegmentsDropped), told)
    with last_segment(folder).open("ab") as file:
        file.write(forged)
    assert kinds(check(folder, element)) == {("removed", 1)}


def test_more_taken_away_than_was_said_to_be_dropped_is_found(
    folder: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "SEGMENT_BYTES", 4096)
    filled(folder, element, 150)
    with started(folder, element) as audit:
        kept = next(frames.scan(frames.segments(folder)[1][1].read_bytes()))[0]
        assert audit.drop_before(kept.at) == 1
    assert check(folder, element).good
    frames.segments(folder)[0][1].unlink()
    assert kinds(check(folder, element)) == {("removed", 1)}


def test_terminal_that_was_given_another_name_is_noted(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 1)
    with Audit(folder, element, "till-2", clock) as audit:
        audit.started(firmware="0.1.0", configuration=bytes(32), models=bytes(32))
    report = check(folder, element)
    assert (report.good, report.terminal) == (True, "till-2")
    assert "signed as till-2, before as till-1" in report.notes[0]


def test_short_log_without_a_checkpoint_is_not_believed(folder: Path, element: SecureElement) -> None:
    report = attacked(folder, element, lambda records: mended(no_checkpoints(records)[:5]))
    assert kinds(report) == {("unsigned", 5)}


def test_checkpoint_of_another_key_is_no_checkpoint(folder: Path, element: SecureElement, tmp_path: Path) -> None:
    other = create(tmp_path / "other", b"passphrase")
    filled(folder, other, 3)
    report = check(folder, element)
    assert not report.good
    assert report.signed == 0
    assert verify(folder, [element.public_key, other.public_key]).good


def test_log_cut_off_at_a_checkpoint_shows_only_against_one_kept_elsewhere(
    folder: Path, element: SecureElement
) -> None:
    filled(folder, element, 10)
    with started(folder, element) as audit:
        audit.record(refusal())
        kept = read_checkpoint(audit.checkpoint(), [element.public_key])
    path = last_segment(folder)
    whole = pieces(path)
    assert verify(folder, [element.public_key], kept).good
    path.write_bytes(b"".join(whole[:14]))
    assert check(folder, element).good, "a good log of an earlier time"
    report = verify(folder, [element.public_key], kept)
    assert kinds(report) == {("truncated", 14)}
    assert f"up to record {kept.sequence}" in report.faults[0].text


def test_log_that_went_on_from_an_earlier_state_is_another_history(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 3)
    before, beside = last_segment(folder).read_bytes(), folder.with_name("audit.checkpoint")
    beside_before = beside.read_bytes()
    with started(folder, element) as audit:
        audit.record(refusal())
        kept = read_checkpoint(audit.checkpoint(), [element.public_key])
    last_segment(folder).write_bytes(before)
    beside.write_bytes(beside_before)
    with started(folder, element) as audit:
        for n in range(1, 70):
            audit.record(refusal(n))
        audit.checkpoint()
    assert check(folder, element).good
    assert kinds(verify(folder, [element.public_key], kept)) == {("replaced", kept.sequence)}


class Counting(SoftwareSecureElement):
    """A software element with the hardware counter of a test."""

    ticks = 0

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.MONOTONIC_COUNTER})

    def counter(self) -> int:
        return self.ticks


@pytest.fixture
def counting(element: SecureElement) -> Counting:
    counting = Counting.__new__(Counting)
    counting.__dict__ |= element.__dict__
    return counting


def test_log_cut_off_before_the_hardware_counter_moved_is_found(folder: Path, counting: Counting) -> None:
    counting.ticks = 4
    filled(folder, counting, 3)
    early = last_segment(folder).read_bytes()
    counting.ticks = 5
    filled(folder, counting, 3)
    keys = [counting.public_key]
    assert verify(folder, keys, counter=5).good
    last_segment(folder).write_bytes(early)
    assert {fault.kind for fault in verify(folder, keys, counter=5).faults} == {"truncated"}


def test_log_cut_off_and_gone_on_from_shows_by_the_hardware_counter(folder: Path, counting: Counting) -> None:
    counting.ticks = 4
    filled(folder, counting, 3)
    counting.ticks = 9
    filled(folder, counting, 3)
    report = verify(folder, [counting.public_key], counter=9)
    assert kinds(report) == {("removed", 7)}
    assert "from 4 to 9" in report.faults[0].text


def test_folder_that_was_deleted_is_noticed_at_the_next_start(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 3)
    shutil.rmtree(folder)
    filled(folder, element, 1)
    report = check(folder, element)
    assert [fault.text for fault in report.faults] == ["at a start, 7 records signed before were not here"]


def test_folder_that_was_put_back_alone_is_noticed_at_the_next_start(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 3)
    before = last_segment(folder).read_bytes()
    filled(folder, element, 2)
    last_segment(folder).write_bytes(before)
    filled(folder, element, 1)
    assert kinds(check(folder, element)) == {("removed", 7)}


@pytest.mark.parametrize("raw", [b"", b"\xd2", b"no checkpoint"])
def test_checkpoint_beside_that_cannot_be_read_stops_nothing(folder: Path, element: SecureElement, raw: bytes) -> None:
    filled(folder, element, 3)
    folder.with_name("audit.checkpoint").write_bytes(raw)
    filled(folder, element, 1)
    assert check(folder, element).good


def test_log_that_begins_late_says_so(folder: Path, counting: Counting) -> None:
    counting.ticks = 4
    filled(folder, counting, 1)
    report = verify(folder, [counting.public_key])
    assert report.notes == ("the log begins when the hardware counter already stood at 4",)


def test_checkpoint_is_new_where_only_the_hardware_counter_moved(folder: Path, counting: Counting) -> None:
    with started(folder, counting) as audit:
        first = audit.checkpoint()
        assert audit.checkpoint() == first
        counting.ticks += 1
        assert audit.checkpoint() != first
    assert verify(folder, [counting.public_key], counter=1).good


def test_hardware_counter_that_went_back_is_another_element(folder: Path, counting: Counting) -> None:
    counting.ticks = 4
    filled(folder, counting, 3)
    counting.ticks = 3
    filled(folder, counting, 3)
    assert {fault.kind for fault in verify(folder, [counting.public_key]).faults} == {"replaced"}


def test_nothing_signed_vouches_for_the_last_records_and_it_says_so(folder: Path, element: SecureElement) -> None:
    audit = started(folder, element)
    audit.record(refusal())
    path = last_segment(folder)
    path.write_bytes(b"".join(mended(rewrite_last(pieces(path)))))
    report = check(folder, element)
    assert report.good
    assert report.notes == ("the last 1 records are not signed yet",)
    audit.close()


def rewrite_last(records: list[bytes]) -> list[bytes]:
    ((frame, _),) = frames.scan(records[-1])
    other, _ = frames.pack(
        frame.sequence, frame.previous, frame.at, frame.kind, frame.body.replace(b"refused", b"decline")
    )
    return [*records[:-1], other]


def test_what_is_unsigned_at_a_start_is_told_by_the_start(folder: Path, element: SecureElement) -> None:
    audit = started(folder, element)
    for n in range(5):
        audit.record(refusal(n))
    died(audit)
    filled(folder, element, 1)
    report = check(folder, element)
    assert report.good
    assert "5 records before it were not yet signed and 0 bytes" in report.notes[0]


def test_at_most_63_records_are_ever_unsigned(folder: Path, element: SecureElement) -> None:
    audit = started(folder, element)
    for n in range(3 * CHECKPOINT_EVERY):
        audit.record(refusal(n))
        report = check(folder, element) if n % 16 == 0 else None
        assert report is None or report.last - report.signed < CHECKPOINT_EVERY
    audit.close()


def test_hostile_bytes_end_in_faults_never_in_an_error(folder: Path, element: SecureElement) -> None:
    folder.mkdir()
    for raw in (b"\x00" * 5000, b"\xff" * 5000, bytes(range(256)) * 30, b"audit"):
        (folder / "audit-000001.log").write_bytes(raw)
        report = check(folder, element)
        assert report.faults or report.notes
        assert report.last == 0


def test_forged_checkpoint_in_hand_is_refused(element: SecureElement) -> None:
    with pytest.raises(PaymentError):
        read_checkpoint(b"\xd2nothing", [element.public_key])
