"""The log while it is written: what is on disk when, what a full disk and a power cut do, how it goes on."""

import errno
import json
import os
from pathlib import Path

import pytest

from drivers.secure_element.interface import SecureElement, SecureElementError
from firmware.audit import events, frames
from firmware.audit.errors import AuditError
from firmware.audit.events import keyed, who
from firmware.audit.export import lines, records
from firmware.audit.log import CHECKPOINT_EVERY, Audit
from firmware.audit.verify import verify
from tests.audit.whole import died, filled, last_segment, opened, refusal, started


def told(folder: Path) -> list[object]:
    return [record["event"] for record in records(folder)]


def test_a_record_is_synced_before_it_is_acknowledged(
    folder: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    with started(folder, element) as audit:
        audit.record(refusal())
        assert synced[-1] == last_segment(folder).stat().st_size


def test_opening_changes_nothing(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 3)
    path = last_segment(folder)
    path.write_bytes(path.read_bytes() + b"torn")
    before = path.read_bytes()
    opened(folder, element).close()
    assert path.read_bytes() == before


def test_nothing_is_recorded_before_the_start(folder: Path, element: SecureElement) -> None:
    with opened(folder, element) as audit, pytest.raises(AuditError, match="was not started"):
        audit.record(refusal())


def test_a_start_before_the_time_is_known_is_not_dated_before_what_came_last(
    folder: Path, element: SecureElement
) -> None:
    """After a start only what the backend had signed is known, which is older than the last record."""
    with Audit(folder, element, "till-1", lambda: 1_800_003_600) as audit:
        audit.started(firmware="1.0.0", configuration=bytes(32), models=bytes(32))
    with Audit(folder, element, "till-1", lambda: 1_800_000_000) as audit:
        audit.started(firmware="1.0.0", configuration=bytes(32), models=bytes(32))
    report = verify(folder, [element.public_key])
    assert (report.good, report.notes) == (True, ())


def test_start_tells_other_settings_and_other_networks(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 1)
    with started(folder, element, models=b"m" * 32) as audit:
        audit.record(refusal())
    assert told(folder) == [
        *("started", "checkpoint", "decision", "stopped", "checkpoint"),
        *("started", "models_changed", "checkpoint", "decision", "stopped", "checkpoint"),
    ]
    changed = next(record for record in records(folder) if record["event"] == "models_changed")
    assert (changed["before"], changed["after"]) == (bytes(32).hex(), (b"m" * 32).hex())


def test_full_disk_refuses_and_leaves_nothing_of_the_record(
    folder: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = started(folder, element)
    size, write = last_segment(folder).stat().st_size, os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:40]))
    with pytest.raises(AuditError, match="free disk space") as refused:
        audit.record(refusal())
    assert refused.value.code == "audit_write"
    assert last_segment(folder).stat().st_size == size
    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", lambda _: None)
    audit.record(refusal())
    audit.close()
    assert verify(folder, [element.public_key]).good


def test_disk_that_fails_to_take_back_is_trusted_no_more(
    folder: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    audit = started(folder, element)
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(AuditError, match="Input/output"):
        audit.record(refusal())
    monkeypatch.undo()
    with pytest.raises(AuditError, match="start the terminal anew"):
        audit.record(refusal())
    audit.close()


@pytest.mark.parametrize("kept", [1, 3, 40, 90])
def test_power_cut_in_the_middle_of_a_record_costs_only_that_record(
    folder: Path, element: SecureElement, kept: int
) -> None:
    audit = started(folder, element)
    audit.record(refusal(1))
    path = last_segment(folder)
    whole = path.stat().st_size
    audit.record(refusal(2))
    died(audit)
    with path.open("r+b") as file:
        file.truncate(whole + kept)
    note = verify(folder, [element.public_key]).notes[0]
    assert note == f"ends in {kept} bytes of a record that was never finished"
    filled(folder, element, 1)
    report = verify(folder, [element.public_key])
    assert report.good
    assert f"{kept} bytes of an unfinished one were cut off" in report.notes[0]
    assert told(folder).count("decision") == 2


def test_power_cut_at_any_byte_keeps_every_whole_record(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 3)
    path = last_segment(folder)
    whole = path.read_bytes()
    ends = [end for _, end in frames.scan(whole)]
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        folder.with_name("audit.checkpoint").unlink()  # written after the log, so never ahead of it
        kept = sum(end <= cut for end in ends)
        with started(folder, element) as audit:
            assert audit.sequence == kept + 2, "a start and a checkpoint more"
        assert path.read_bytes()[: ends[kept - 1] if kept else 0] == whole[: ends[kept - 1] if kept else 0]
        assert verify(folder, [element.public_key]).good


def test_altered_log_is_not_gone_on_with(folder: Path, element: SecureElement) -> None:
    filled(folder, element, 10)
    path = last_segment(folder)
    data = bytearray(path.read_bytes())
    for at in (700, 3):  # in a body, in a length
        turned = data.copy()
        turned[at] ^= 1
        path.write_bytes(turned)
        with pytest.raises(AuditError, match="altered at record") as refused:
            opened(folder, element)
        assert refused.value.code == "audit_damaged"


def test_second_process_is_refused(folder: Path, element: SecureElement) -> None:
    with opened(folder, element), pytest.raises(AuditError, match="in use by another process"):
        opened(folder, element)


def test_element_that_does_not_sign_stops_the_record_before_a_checkpoint_is_overdue(
    folder: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: bytes) -> bytes:
        raise SecureElementError("pulled out")

    audit = started(folder, element)
    monkeypatch.setattr(type(element), "sign", lambda _, message: gone(message))
    for n in range(CHECKPOINT_EVERY - 1):
        audit.record(refusal(n))
    with pytest.raises(SecureElementError):
        audit.record(refusal())
    audit.close()  # says so in the log file of the terminal, and does not raise
    assert verify(folder, [element.public_key]).good


def test_segments_follow_one_another_and_old_ones_are_dropped_whole(
    folder: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "SEGMENT_BYTES", 4096)
    filled(folder, element, 150)
    names = [path.name for _, path in frames.segments(folder)]
    assert names == [f"audit-00000{n}.log" for n in range(1, 6)]
    assert verify(folder, [element.public_key]).good
    with started(folder, element) as audit:
        kept = next(frames.scan(frames.segments(folder)[2][1].read_bytes()))[0]
        assert audit.drop_before(kept.at) == 2
        assert audit.drop_before(kept.at) == 0, "again"
    report = verify(folder, [element.public_key])
    assert (report.good, report.first) == (True, kept.sequence)
    assert "dropped by the terminal, as it says" in report.notes[0]
    frames.segments(folder)[1][1].unlink()
    assert {fault.kind for fault in verify(folder, [element.public_key]).faults} == {"removed"}


def test_first_segment_taken_away_without_a_word_is_found(
    folder: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "SEGMENT_BYTES", 4096)
    filled(folder, element)
    frames.segments(folder)[0][1].unlink()
    report = verify(folder, [element.public_key])
    assert [(fault.kind, fault.sequence) for fault in report.faults] == [("removed", 1)]


def test_segment_that_was_opened_and_never_written_is_gone_on_with(
    folder: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(folder, element, 3)
    (folder / frames.segment_name(2)).touch()
    filled(folder, element, 3)
    assert verify(folder, [element.public_key]).good
    assert len(list(frames.scan((folder / frames.segment_name(2)).read_bytes()))) == 7


def test_who_is_the_same_while_the_key_lives_and_nobody_after() -> None:
    key = bytes(range(32))
    assert who(key, "3f0a") == who(key, "3f0a")
    assert len({who(key, "3f0a"), who(key, "3f0b"), who(bytes(32), "3f0a")}) == 3
    assert len(who(key, "3f0a")) == 16


def test_what_others_know_is_keyed_and_never_the_same_as_a_who() -> None:
    key = bytes(range(32))
    assert len({keyed(key, b"3f0a"), keyed(key, b"3f0b"), keyed(bytes(32), b"3f0a")}) == 3
    assert keyed(key, b"3f0a")[:16] != who(key, "3f0a")


@pytest.mark.parametrize(
    "event",
    [
        events.LoginFailed(name="Ada Lovelace", failed=1),
        events.LoginFailed(name="x" * 65, failed=1),
        events.Dispute(who=bytes(32), disputes=1, by=""),
        events.SpoofStreak(who=b"", failed=-1, reason="flat"),
        events.SpoofStreak(who=b"", failed=1, reason="Ada came back"),
        events.Enrolment(who=b"", purposes=("payment",) * 9, consent=bytes(32), by="op"),
    ],
)
def test_what_is_not_in_the_allow_list_is_not_written(
    folder: Path, element: SecureElement, event: events.Event
) -> None:
    with started(folder, element) as audit:
        before = audit.sequence
        with pytest.raises(AuditError, match="cannot be recorded"):
            audit.record(event)
        assert audit.sequence == before


def test_every_kind_can_be_recorded_and_exported(folder: Path, element: SecureElement) -> None:
    every: list[events.Event] = [
        refusal(),
        events.Enrolment(who=bytes(16), purposes=("payment", "door"), consent=bytes(32), by="op"),
        events.MandateUsed(mandate=bytes(16), kind="guardian"),
        events.ConsentRecorded(consent=bytes(32), by="op"),
        events.Withdrawal(who=b"\x01" * 16, purpose="door", consent=b"", by="op"),
        events.Erasure(who=bytes(16), receipt=bytes(32), by="op"),
        events.Expiry(who=bytes(16), receipt=bytes(32)),
        events.Renewal(who=bytes(16), purposes=("payment",), consent=bytes(32), by="op"),
        events.Dispute(who=bytes(16), disputes=2, by="op"),
        events.SpoofStreak(who=bytes(16), failed=5, reason="flat"),
        events.RoleChange(name="op", role="operator", change="added", by="tech"),
        events.LoginFailed(name="", failed=5),
        events.KeyRotated(kind="identity", key="00ff", by="tech"),
        events.Backup(people=7, by="tech"),
        events.Exported(what="person", who=bytes(16), by="op"),
        events.StaffRequest(request="login", allowed=True, by="op"),
        events.PinSet(who=bytes(16), by="op"),
    ]
    with started(folder, element) as audit:
        for event in every:
            audit.record(event)
    exported = [json.loads(line) for line in lines(folder)]
    named = {events.name_of(kind) for kind in events.KINDS}
    assert {record["event"] for record in exported} == named - {
        "configuration_changed", "models_changed", "segments_dropped",
    }  # fmt: skip
    enrolment = next(record for record in exported if record["event"] == "enrolment")
    assert enrolment["purposes"] == ["payment", "door"]
    assert enrolment["who"] == "00" * 16
    assert [record["sequence"] for record in exported] == list(range(1, len(exported) + 1))
    assert len(list(lines(folder, after=5))) == len(exported) - 5
    assert [record["event"] for record in records(folder, about=b"\x01" * 16)] == ["withdrawal"]


def test_no_field_is_wide_enough_for_a_template() -> None:
    """The widest is an element of a bounded list of codes; the shortest template is 128 bytes as int8."""
    for kind in events.KINDS:
        for name, of in kind.__annotations__.items():
            if of in (bytes, str):
                pytest.fail(f"{kind.__name__}.{name} has no bound")
