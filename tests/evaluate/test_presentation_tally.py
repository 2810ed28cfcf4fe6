"""What a report counts: the worst species, groups that may have a rate, cues left out, time to decision."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hil.evaluate.det import det, draw
from hil.evaluate.judge import Decision, Judged
from hil.evaluate.presentation_manifest import Presentation
from hil.evaluate.presentation_page import claimed, headline, page
from hil.evaluate.presentation_tally import Row, scores, tally

CUES = ("photometric", "dot_halo")


def presented(subject: str, species: str = "", instrument: str = "", **groups: str) -> Presentation:
    label = "attack" if species else "bona_fide"
    return Presentation(f"{subject} {instrument}", Path("x"), label, species, subject, instrument, "", groups)  # type: ignore[arg-type]


def judged(decision: Decision, score: float | None = None, reason: str = "", **more: Any) -> Judged:
    without = dict.fromkeys(CUES, decision == "accepted") | more.pop("without", {})
    return Judged(decision, reason, score=score, without={} if decision == "non_response" else without, **more)


ACCEPTED, FLAT, SILENT = (
    judged("accepted", 3.0),
    judged("refused", None, "flat"),
    judged("non_response", None, "no_face"),
)


def attacks(species: str, count: int, found: Judged) -> list[Row]:
    return [(presented(f"p{number}", species, "1"), found) for number in range(count)]


def test_one_bad_species_is_the_headline_however_many_good_ones_there_are() -> None:
    rows = [*attacks("print", 299, FLAT), *attacks("bent", 299, FLAT), *attacks("mask", 10, FLAT)]
    rows += [(presented("q", "mask", "2"), ACCEPTED)]
    report = tally(rows, None)
    worst = report["headline"]
    assert (worst["species"], worst["pairs"], worst["pairs_accepted"]) == ("mask", 11, 1)
    assert worst["apcer"] == pytest.approx(1 / 11)
    assert worst["every_species_claims"] == report["species"]["mask"]["claim"]
    assert report["species"]["print"]["supports"] == 0.01
    assert report["species"]["mask"]["supports"] is None
    assert "apcer" not in report


def test_without_an_accepted_attack_the_least_proven_species_is_the_headline() -> None:
    report = tally([*attacks("print", 299, FLAT), *attacks("mask", 2, FLAT)], None)
    assert report["headline"]["species"] == "mask"
    assert report["headline"]["every_species_claims"] > 0.7


def test_frames_are_no_trials_and_neither_are_repeated_presentations() -> None:
    again = [(presented("anna", "print", "1"), judged("refused", None, "flat", frames=90)) for _ in range(50)]
    its = tally(again, None)["species"]["print"]
    assert (its["presented"], its["pairs"]) == (50, 1)
    assert its["claim"] == pytest.approx(0.95)


def test_no_response_is_in_no_rate() -> None:
    rows = [*attacks("screen", 40, SILENT), (presented("anna"), SILENT), (presented("bo"), ACCEPTED)]
    report = tally(rows, None)
    assert report["headline"] is None
    assert report["species"]["screen"]["apcer"] is None
    assert report["species"]["screen"]["non_response"] == 40
    assert (report["bona_fide"]["non_response"], report["bona_fide"]["bpcer"]) == (1, 0.0)
    assert (report["non_response"], report["non_response_by_reason"]) == (41, {"no_face": 41})


def test_a_group_of_fewer_than_a_hundred_people_has_no_rate() -> None:
    rows = [(presented(f"p{n}", skin="VI" if n < 100 else "I"), FLAT if n == 0 else ACCEPTED) for n in range(199)]
    rows += [(presented("p198", skin="I"), ACCEPTED)] * 50  # nobody is two people
    groups = tally(rows, None)["groups"]["skin"]
    assert groups["VI"]["bpcer"] == 0.01
    assert groups["I"] == {"presented": 149, "people": 99, "no_rate": "fewer than 100 people"}


def test_a_cue_left_out_is_counted_and_the_gates_stay() -> None:
    saved = judged("refused", -1.0, "not_alive", without={"dot_halo": True})
    rows: Sequence[Row] = [
        (presented("anna", "mask", "1"), saved),
        (presented("anna", "print", "1"), FLAT),
        (presented("bo"), judged("accepted", 2.0, without={"photometric": False})),
    ]
    ablation = tally(rows, None)["ablation"]
    assert ablation["nothing"] == {"species": {"mask": 0.0, "print": 0.0}, "bpcer": 0.0}
    assert ablation["dot_halo"] == {"species": {"mask": 1.0, "print": 0.0}, "bpcer": 0.0}
    assert ablation["photometric"] == {"species": {"mask": 0.0, "print": 0.0}, "bpcer": 1.0}
    assert ablation["every cue"] == {"species": {"mask": 1.0, "print": 0.0}, "bpcer": 0.0}


def test_time_to_decision_is_of_accepted_people_at_the_measured_rate() -> None:
    quick = judged("accepted", 2.0, since_face=7, seconds=7 / 15, last_cpu_s=0.02)
    rows = [(presented("anna"), quick), (presented("bo"), FLAT), (presented("anna", "mask", "1"), quick)]
    assert tally(rows, None)["time_to_decision"]["p50_s"] == pytest.approx(7 / 15 + 0.02)
    measured = tally(rows, 10.0)["time_to_decision"]
    assert (measured["presentations"], measured["p95_s"]) == (1, pytest.approx(0.72))
    assert "10 FrameSets a second, decode included" in measured["how"]


def test_a_curve_goes_no_lower_than_what_the_gates_refuse() -> None:
    false, missed = det([3.0, 1.0, None, 2.0], [None, 1.5, None, None])
    assert (false[0], missed[0]) == (0.25, 0.25)
    assert (false[-1], missed[-1]) == (0.0, 1.0)
    assert false == sorted(false, reverse=True)
    assert missed == sorted(missed)


def test_the_best_presentation_of_a_pair_is_its_score() -> None:
    rows = [(presented("anna", "mask", "1"), judged("refused", score, "not_alive")) for score in (-2.0, None, -1.0)]
    rows += [(presented("bo", "mask", "1"), SILENT), (presented("bo", "print", "1"), FLAT), (presented("cy"), ACCEPTED)]
    assert scores(rows) == ([3.0], {"mask": [-1.0], "print": [None]})


@pytest.mark.parametrize("living", [[], [None], [2.0, 3.0, None]])
def test_anything_can_be_drawn(tmp_path: Path, living: list[float | None]) -> None:
    draw(tmp_path / "det.png", living, {"mask": [1.0, None, 2.5], "print": [None, None]}, 0.0, "(SIMULATED)")
    assert (tmp_path / "det.png").stat().st_size > 1000


def test_a_claim_is_rounded_up() -> None:
    assert (claimed(0.00991), claimed(0.01), claimed(0.012301), claimed(None)) == ("1.00", "1.00", "1.24", "-")


def test_a_page_names_what_has_no_rate() -> None:
    nothing = tally(attacks("screen", 3, SILENT), None)
    report = json.loads(json.dumps(nothing)) | {
        "simulated": False, "profile": "door", "policy": {"dynamic": False}, "doubts": [], "claims_need": {"0.01": 299},
        "digests": {}, "version": "0", "machine": {"processor": "x", "cores": 1, "python": "3"},
    }  # fmt: skip
    assert "no APCER" in headline(report)
    assert "| screen | 3 | 3 | 0 | 0 | 0 | - |" in page("m.csv", report)
