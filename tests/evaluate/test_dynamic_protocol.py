"""What is presented as evidence of motion: distinct, unseen by any fit, and turned as people turn."""

import pytest

from hil.artefacts.species import SPECIES
from hil.evaluate.dynamic_protocol import ALL, FEW, MANNERS, PEOPLE, RIGID, SOFT, Presented
from hil.evaluate.shots import TURNS
from hil.people.generators import EVALUATION_SEEDS


@pytest.fixture(scope="module")
def everything() -> list[Presented]:
    return [one for part in ALL.in_order for one in part]


def test_there_are_as_many_pairs_and_people_as_the_claims_take(everything: list[Presented]) -> None:
    assert len({one.shot.person for one in everything if one.row == PEOPLE}) >= 500
    for species in RIGID:
        for manner in MANNERS:
            pairs = ALL.pairs(species, manner)
            assert len({one.shot for one in pairs}) == len({one.shot.person for one in pairs}) >= 299
            assert sum(one.motion_alone for one in pairs) == ALL.watched
    assert len(set(everything)) == len(everything)


def test_the_order_leaves_nothing_out(everything: list[Presented]) -> None:
    wanted = [*ALL.people, *ALL.at_the_door, *ALL.james]
    wanted += [one for species in (*RIGID, *SOFT) for one in ALL.pairs(species, "held", "door")]
    wanted += [one for species in (*RIGID, *SOFT) for manner in MANNERS for one in ALL.pairs(species, manner)]
    assert set(wanted) == set(everything)


def test_nobody_was_tuned_on(everything: list[Presented]) -> None:
    for one in everything:
        shot = one.shot
        assert shot.generator == "james" or shot.person in EVALUATION_SEEDS
        assert (shot.sensor, shot.family) == ("held-out", "evaluation")
        assert shot.wearer is None or (shot.wearer in EVALUATION_SEEDS and shot.wearer != shot.person)
    assert not [shot for one in FEW.people if (shot := one.shot).person in EVALUATION_SEEDS]


def test_what_is_turned_is_turned_all_the_time_and_nothing_else_about_it_differs() -> None:
    for species in RIGID:
        held, turned = (ALL.pairs(species, manner)[7].shot for manner in MANNERS)
        assert held.prompts == ()
        assert {prompt.kind for prompt in turned.prompts} <= set(TURNS)
        starts = [prompt.at_s for prompt in turned.prompts]
        assert starts[0] < 0
        assert starts[-1] > 12.0 - 2.5
        assert turned.parameters == held.parameters
    assert {name for name, species in SPECIES.items() if species.rigid} == {
        *RIGID[:1],
        *RIGID[2:4],
        "printed_head_translucent",
    }


def test_james_stands_alike_at_rest_and_moving() -> None:
    moving, still = ALL.james[: ALL.takes], ALL.james[ALL.takes :]
    assert [one.shot.parameters for one in moving] == [one.shot.parameters for one in still]
    assert {one.shot.still for one in still} == {True}
