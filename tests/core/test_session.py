"""A payment session: every path ends, and approval comes from a verified receipt only."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firmware.core.reasons import ANOTHER, ATTACKS, COUNTED, SENTENCES, told
from firmware.core.session import REFUSE_AFTER, Phase, Session
from firmware.runtime.config import load_profile
from firmware.vision.face import Reason

DEMO = load_profile("demo")
SECOND = 1_000_000_000


def looking() -> Session:
    return Session.begin(DEMO, 0).tapped(0)


def test_nothing_is_captured_before_the_tap() -> None:
    assert Session.begin(DEMO, 0).looked("", 1).phase is Phase.TAP


def test_good_frames_must_be_consecutive() -> None:
    session = looking()
    for reason in ["", "", "", "", "no_face", "", "", "", ""]:
        session = session.looked(reason, 1)
    assert session.phase is Phase.LOOK
    assert session.looked("", 2).phase is Phase.DECIDED


def test_flat_print_is_refused_before_time_runs_out() -> None:
    session = looking()
    for _ in range(REFUSE_AFTER):
        session = session.looked("flat", 1)
    assert (session.outcome, session.reason) == ("refused", "flat")


def test_who_does_not_move_is_told_so_at_once_and_it_is_no_failed_try() -> None:
    session = looking().looked("no_answer", 1)
    assert (session.outcome, session.reason) == ("refused", "no_answer")
    assert told("no_answer") == "no_answer"
    assert "no_answer" not in COUNTED


def test_a_look_with_prompts_has_its_own_time() -> None:
    session, asked = looking(), Session.begin(DEMO, 0).tapped(0, 12.0)
    assert session.deadline_ns == DEMO.look_s * SECOND
    assert asked.deadline_ns == 12 * SECOND


def test_an_answer_in_which_nobody_is_recognised_decides_nothing_and_starts_the_count_again() -> None:
    session = looking()
    for reason in [*["gathering"] * 20, *["moving"] * 20, "", "", "", ""]:
        session = session.looked(reason, 1)
    assert session.phase is Phase.LOOK
    assert session.looked("", 2).phase is Phase.DECIDED


def test_look_that_runs_out_of_time_names_the_commonest_reason() -> None:
    session, step_ns = looking(), int(0.9 * SECOND)
    for number, reason in enumerate(["no_face", "too_far", "gathering", "too_far", "not_frontal", "gathering"] * 2):
        session = session.looked(reason, number * step_ns)
    assert session.expired(session.due_ns()).reason == "too_far"


def test_camera_that_stops_is_noticed_within_a_second_of_its_last_frame() -> None:
    session = looking().looked("no_face", SECOND)
    assert session.due_ns() == 2 * SECOND
    assert session.expired(2 * SECOND).reason == "camera_lost"


def test_stored_authorization_cannot_be_refused_any_more() -> None:
    session = looking()
    for _ in range(DEMO.frames_needed):
        session = session.looked("", 1)
    session = session.stored(2)
    assert session.refused("cancelled").phase is Phase.RECEIPT
    assert session.expired(session.due_ns()).outcome == "unknown"


def test_look_in_which_nothing_was_wrong_but_not_enough_was_seen_says_so() -> None:
    session, now_ns = looking(), 0
    while not session.over:
        session = session.looked("gathering", now_ns)
        now_ns += SECOND // 2
    assert (session.outcome, session.reason) == ("refused", "gathering")


def test_nothing_is_decided_while_evidence_is_gathered_however_sure_the_person_is() -> None:
    session = looking()
    for _ in range(10 * DEMO.frames_needed):
        session = session.looked("gathering", 1)
    assert session.phase is Phase.LOOK
    assert session.looked("", 2).phase is Phase.DECIDED, "they were gathered at the same time"


def test_one_frame_of_somebody_else_while_evidence_is_gathered_starts_the_count_again() -> None:
    session = looking()
    for reason in [*["gathering"] * 20, "not_recognised", "", "", "", ""]:
        session = session.looked(reason, 1)
    assert session.phase is Phase.LOOK
    assert session.looked("", 2).phase is Phase.DECIDED


class SessionMachine(RuleBasedStateMachine):
    """Any events in any order, against what a customer and a merchant rely on."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.session = Session.begin(DEMO, 0)
        self.seen_good = 0
        self.proven = False
        self.stored = False
        self.settled = False
        self.typed = False

    @initialize(pin=st.booleans())
    def begin(self, pin: bool) -> None:
        self.session = Session.begin(DEMO, 0, pin=pin)

    @rule(step=st.integers(0, 3 * SECOND))
    def time_passes(self, step: int) -> None:
        self.now_ns += step

    @rule()
    def time_runs_out(self) -> None:
        self.now_ns = max(self.now_ns, self.session.due_ns())
        before = self.session
        self.session = self.session.expired(self.now_ns)
        assert before.over or self.session.phase is not before.phase

    @rule()
    def tap(self) -> None:
        self.session = self.session.tapped(self.now_ns)

    @rule(reason=st.sampled_from(["", "", "", "gathering", "gathering", *SENTENCES]))
    def look(self, reason: str) -> None:
        if self.session.phase is Phase.LOOK:
            self.seen_good = self.seen_good + 1 if reason in ("", "gathering") else 0
            self.proven = not reason
        self.session = self.session.looked(reason, self.now_ns)

    @rule(reason=st.sampled_from(["cancelled", "camera_lost", "offline", "store"]))
    def refuse(self, reason: str) -> None:
        self.session = self.session.refused(reason)
        assert not (self.stored and self.session.outcome == "refused")

    @rule(right=st.booleans())
    def type(self, right: bool) -> None:
        self.typed |= right and self.session.phase is Phase.PIN
        self.session = self.session.typed(right, self.now_ns)

    @rule()
    def store(self) -> None:
        self.stored = self.stored or self.session.phase is Phase.DECIDED
        self.session = self.session.stored(self.now_ns)

    @rule(approved=st.booleans())
    def receipt(self, approved: bool) -> None:
        self.settled = self.settled or self.session.phase is Phase.RECEIPT
        self.session = self.session.settled(approved, "" if approved else "amount")

    @invariant()
    def approval_needs_good_frames_storage_and_a_receipt(self) -> None:
        if self.session.outcome == "approved":
            assert self.seen_good >= DEMO.frames_needed
            assert self.proven
            assert self.stored
            assert self.settled
            assert self.typed or not self.session.pin

    @invariant()
    def outcome_exactly_when_over_and_with_a_known_reason(self) -> None:
        assert self.session.over == (self.session.outcome is not None)
        if self.session.outcome == "refused":
            assert self.session.reason in SENTENCES


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(max_examples=100, deadline=None)


def test_every_reason_for_a_no_has_a_sentence() -> None:
    gates = {
        "depth_missing", "flat", "covered", "wrong_size", "repeated_frame", "stale_frame", "gate_unknown", "exposure",
        "not_skin", "incoherent", "code_wrong", "not_alive", "gathering",
    }  # fmt: skip
    assert set(SENTENCES) >= ATTACKS | ANOTHER | COUNTED | gates | {reason.value for reason in Reason}
    assert {told(code) for code in SENTENCES} <= set(SENTENCES)


def test_every_sign_of_an_attack_or_of_somebody_else_is_told_as_one_and_the_same() -> None:
    """Which check failed would teach the next try, and so would that the face was alive but another's."""
    assert {told(code) for code in ATTACKS | ANOTHER | {"modality_missing"}} == {"not_confirmed"}
    assert {code for code in SENTENCES if told(code) == code} == set(SENTENCES) - ATTACKS - ANOTHER - {
        "modality_missing"
    }


def test_only_an_attack_or_another_person_is_a_failed_attempt() -> None:
    innocent = {"cancelled", "no_face", "two_faces", "camera_lost", "offline", "covered", "no_tap", "store", "busy",
                "gathering", "repeated_frame", "stale_frame", "exposure", "incoherent", "wait", "stopped",
                "no_answer", "moving"}  # fmt: skip
    assert (ATTACKS | ANOTHER | {"person_changed"}) - innocent == COUNTED
    assert {"flat", "not_skin", "code_wrong", "not_alive", "wrong_size", "not_recognised"} <= COUNTED
