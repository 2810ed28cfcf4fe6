import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.artefacts.species import SPECIES
from hil.evaluate.presentations import who
from hil.evaluate.shots import Shot
from hil.people.generators import EVALUATION_SEEDS
from hil.rig.attack_search import GENERATION, STALE, TRIED, proposals
from hil.rig.attack_space import VICTIMS, WEARERS, Cast, Space

MASK = Space(SPECIES["rigid_mask"])
HEAD = Space(SPECIES["printed_head_painted"])


@given(st.sampled_from(sorted(SPECIES)), st.data())
def test_whatever_is_proposed_is_physically_possible(name: str, data: st.DataObject) -> None:
    space = Space(SPECIES[name])
    point = data.draw(st.lists(st.floats(-0.5, 1.5), min_size=space.size, max_size=space.size))
    shot = space.shot(point, Cast(VICTIMS[0], 1, WEARERS[0]))
    limits = SPECIES[name].parameters
    assert [parameter for parameter, _ in shot.parameters] == list(limits)
    assert all(limits[parameter].holds(value) for parameter, value in shot.parameters)


def test_the_first_is_typical() -> None:
    shot = next(proposals(HEAD, 0))
    limits = SPECIES["printed_head_painted"].parameters
    assert dict(shot.parameters) == pytest.approx({name: limit.typical for name, limit in limits.items()})


def test_people_of_a_search_are_adults_that_nothing_else_draws_from() -> None:
    rng = np.random.default_rng(0)
    cast = [MASK.cast(rng) for _ in range(50)]
    assert all(one.victim in VICTIMS and one.wearer in WEARERS for one in cast)
    assert all(who(seed).grown for one in cast for seed in (one.victim, one.wearer) if seed is not None)
    assert EVALUATION_SEEDS.stop <= VICTIMS.start < VICTIMS.stop <= WEARERS.start
    assert HEAD.cast(rng).wearer is None


def test_a_search_looks_widely_with_many_casts_and_closes_in_with_the_best_of_them() -> None:
    shots = _shots(HEAD, 0, TRIED + GENERATION)
    assert len({shot.person for shot in shots[:TRIED]}) == TRIED
    best = max(shots[:TRIED], key=_score)
    assert {(shot.person, shot.seed) for shot in shots[TRIED:]} == {(best.person, best.seed)}


def test_a_search_finds_what_lies_off_the_beaten_track() -> None:
    scores = [_score(shot) for shot in _shots(HEAD, 1, 120)]
    assert max(scores) > max(scores[:TRIED])
    assert max(scores) > -0.05


def test_a_search_that_finds_nothing_better_begins_another_round() -> None:
    shots = _shots(HEAD, 0, TRIED + STALE * GENERATION + TRIED, flat=True)
    assert len({shot.person for shot in shots[:TRIED]}) == TRIED < len({shot.person for shot in shots})


def test_what_is_proposed_follows_from_seed_and_scores_alone() -> None:
    rng_before = np.random.get_state()[1].tolist()  # type: ignore[index]
    assert _shots(MASK, 3, 40) == _shots(MASK, 3, 60)[:40]
    assert _shots(MASK, 3, 8) != _shots(MASK, 4, 8)
    assert np.random.get_state()[1].tolist() == rng_before  # type: ignore[index]


def _shots(space: Space, seed: int, count: int, flat: bool = False) -> list[Shot]:
    proposed = proposals(space, seed)
    shots = [next(proposed)]
    for _ in range(count - 1):
        shots.append(proposed.send(0.0 if flat else _score(shots[-1])))
    return shots


def _score(shot: Shot) -> float:
    """Best at a corner of two parameters."""
    values = dict(shot.parameters)
    return -((values["yaw_deg"] / 70 - 0.35) ** 2) - ((values["distance_mm"] - 900) / 750) ** 2
