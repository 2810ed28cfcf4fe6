"""What motion's limit is chosen by: what lasts two frames, of every species but the one left out."""

import pytest

from firmware.liveness.motion import Deformation
from hil.rig.motion_limits import MARGIN, fitted, kept_up, largest_of
from hil.rig.motion_trials import RIGID, Moved, Trial, trials


def shown(*excess: float) -> list[Moved]:
    """A frame every tenth of a second."""
    return [Moved(n / 10, Deformation(value, 0.1, 0.1, 0.0, value, value / 2)) for n, value in enumerate(excess)]


FOUND = {
    Trial("mannequin", 0, None): shown(0.1, 0.4, 0.3),
    Trial("rigid_mask", 0, None): shown(0.2, 0.9, 0.6),
    Trial("none", 0, "smile"): shown(3.0, 3.0, 3.0),
}


def test_single_frame_is_not_kept_up() -> None:
    assert kept_up(shown(0.1, 9.0, 0.2)) == 0.2
    assert kept_up(shown(5.0, 5.0, 0.2, 0.3), since_s=0.2) == 0.2
    assert kept_up(shown(9.0)) == 0


def test_limit_rests_on_the_worst_of_the_rigid_and_on_no_living_person() -> None:
    assert largest_of(FOUND, RIGID) == 0.6
    assert fitted(FOUND, RIGID) == pytest.approx(MARGIN * 0.6)
    assert fitted(FOUND, [name for name in RIGID if name != "rigid_mask"]) == pytest.approx(MARGIN * 0.3)


def test_every_rigid_species_is_held_still_turned_carried_and_touched() -> None:
    drawn = list(trials(3, 30))
    for name in RIGID:
        own = [trial for trial in drawn if trial.name == name]
        assert len(own) == 30
        for held in (lambda t: t.turned is None, lambda t: t.turned, lambda t: t.carried, lambda t: t.touched):
            assert 5 < sum(map(bool, map(held, own))) < 30
