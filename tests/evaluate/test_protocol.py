from math import ceil

import pytest

from firmware.core.session import REFUSE_AFTER
from hil.artefacts.instrument import HOLD
from hil.artefacts.species import SPECIES
from hil.artefacts.streams import STREAMS
from hil.evaluate.presentations import who
from hil.evaluate.protocol import (
    CELLS_MM,
    FLAT,
    LIVING_AT_MOST,
    MANNEQUIN,
    RECORDED,
    RELIT,
    SAMPLE,
    SOLID,
    STREAMED,
    WHOLE,
    Attack,
    Fed,
    Protocol,
)
from hil.evaluate.shots import Shot
from hil.people.generators import EVALUATION_SEEDS

LONG, SHORT = 13, 7


def fed(attack: Attack) -> list[Fed]:
    return [one for one in attack.presented if isinstance(one, Fed)]


def test_every_species_and_stream_is_in_the_evidence() -> None:
    assert sorted((*FLAT, MANNEQUIN, *SOLID)) == sorted(SPECIES)
    assert sorted((*RECORDED, RELIT)) == sorted(STREAMS)


def test_there_are_as_many_distinct_pairs_and_people_as_the_claims_take() -> None:
    for attack in (*WHOLE.flat, *WHOLE.streams):
        assert len(set(attack.presented)) >= 299
        assert attack.identities >= 299
    assert len({shot.person for shot in WHOLE.headline.shots}) >= 500
    for people in WHOLE.groups:
        assert len({shot.person for shot in people.shots}) >= 100


def test_nobody_was_tuned_on_and_the_sample_shows_nobody_of_the_evaluation() -> None:
    for protocol, seeds in ((WHOLE, EVALUATION_SEEDS), (SAMPLE, range(700_000, 701_000))):
        for shot, _ in protocol.ahead(LONG, SHORT):
            assert shot.person in seeds
            assert shot.generator == "makehuman"
            assert shot.sensor == "held-out"
            assert shot.family == "evaluation"
            assert shot.wearer is None or (shot.wearer in seeds and shot.wearer != shot.person)


def test_children_are_children_and_the_headline_is_grown() -> None:
    assert all(who(seed).grown for seed in WHOLE.adults)
    assert not any(who(seed).grown for seed in WHOLE.minors)


def test_every_hundred_millimetres_has_as_many_of_the_headlines_people() -> None:
    distances = [dict(shot.parameters)["distance_mm"] for shot in WHOLE.headline.shots]
    for near, far in CELLS_MM:
        assert sum(near <= z_mm < far for z_mm in distances) == len(distances) // len(CELLS_MM) >= 100


def test_a_set_of_people_differs_from_the_headline_in_one_thing() -> None:
    people = {group.name: group.shots for group in WHOLE.groups}
    for name in ("glasses", "sun 5", "yaw 15-25", "hats"):
        for shot, other in zip(people[name], WHOLE.headline.shots, strict=False):
            held, others = dict(shot.parameters), dict(other.parameters)
            different = sum(held[key] != others[key] for key in held)
            different += (shot.worn != other.worn) + (shot.sun != other.sun)
            assert different == 1
            assert (shot.person, shot.seed, shot.talking) == (other.person, other.seed, other.talking)


def test_instruments_are_drawn_within_their_species_limits() -> None:
    for attack in (*WHOLE.flat, *WHOLE.bodies):
        limits = {**SPECIES[attack.species].shape, **HOLD}
        for shot in attack.presented:
            assert isinstance(shot, Shot)
            assert all(limits[name].holds(value) for name, value in shot.parameters)
            assert set(dict(shot.parameters)) == set(limits)


def test_no_splice_lives_long_enough_to_answer_a_code_by_itself() -> None:
    (splices,) = (fed(attack) for attack in WHOLE.streams if attack.name == "spliced")
    for one in splices:
        parameters = dict(one.parameters)
        part = max(1, round(STREAMED / parameters["turns"]))
        assert ceil(parameters["live_share"] * part) <= min(LIVING_AT_MOST, part - 1)
        assert one.past.person != one.live.person


def test_relit_streams_come_at_every_delay() -> None:
    delays = [{dict(one.parameters)["delay_frames"] for one in fed(attack)} for attack in WHOLE.relit]
    assert delays == [{0.0}, {1.0}, {2.0}]


def test_only_what_a_decision_takes_is_filmed_ahead() -> None:
    ahead = dict(SAMPLE.ahead(LONG, SHORT))
    assert all(ahead[shot] == LONG for shot in SAMPLE.headline.shots)
    for attack in SAMPLE.flat:
        assert all(ahead[shot] == REFUSE_AFTER for shot in attack.presented if isinstance(shot, Shot))
    assert set(ahead.values()) <= {REFUSE_AFTER, LONG, SHORT}


@pytest.mark.parametrize("people", [1, 2])
def test_a_protocol_of_few_has_an_accomplice_for_everybody(people: int) -> None:
    small = Protocol(people=people, group=1, pairs=1, solid=1, seeds=range(700_000, 701_000))
    assert small.streams[0].presented
