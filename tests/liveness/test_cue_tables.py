"""The tables of the cues: polarity, bounds, strict reading, and what the fit makes of values that are known."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.liveness.cues import CueError, Table, load_cues, parse
from firmware.liveness.cues.calibration import BOUND, CueCalibration
from firmware.liveness.policy import CueName
from hil.evaluate.cue_fit import CUES, LIVING, Values, fit, load_values, total

PLAIN = b"""about = "test"
[tables.eyes]
values = [-1.0, 0.0]
llr = [2.0, -2.0]
unknown = -1.0
"""


def test_the_shipped_tables_speak_for_people_and_against_plaster_and_painted_heads() -> None:
    tables, digest = load_cues()
    assert len(digest) == 32
    assert "imulated" in tables.about
    values = load_values()

    def middle(species: str, name: CueName) -> float:
        own = [one[name] for one in values[species] if math.isfinite(one[name])]
        return tables.tables[name].at(float(np.median(own)))

    for name in CUES:
        assert middle(LIVING, name) > 0, name
    for name in ("photometric", "dot_halo", "eyes"):
        assert middle("mannequin", name) < 0, name
    assert middle("printed_head_painted", "dot_halo") < -1
    assert middle("cutout_print", "mask_edges") < -1
    sums = {species: [total(tables, one, CUES) for one in rows] for species, rows in values.items()}
    assert max(sums["mannequin"]) < min(sums[LIVING])


def test_the_shipped_tables_are_the_fit_of_the_shipped_values() -> None:
    shipped, _ = load_cues()
    fitted = fit(load_values())
    for name in CUES:
        assert shipped.tables[name].llr == pytest.approx(fitted.tables[name].llr, abs=1e-3)
        assert shipped.tables[name].values == pytest.approx(fitted.tables[name].values, abs=1e-3)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_value_is_worth_more_than_the_bound_and_no_unknown_one_speaks_for_life(value: float) -> None:
    tables, _ = load_cues()
    for cue in tables.weigh(dict.fromkeys(CUES, value), CUES):
        assert -BOUND <= cue.llr <= BOUND
        assert math.isfinite(value) or cue.llr <= 0


def test_the_network_says_less_than_other_cues_may_and_less_for_life_than_against_it() -> None:
    said = load_cues()[0].tables["network"].llr
    assert min(said) >= -2
    assert max(said) <= 1


def test_a_cue_without_a_value_is_unknown_and_one_without_a_table_is_against_life() -> None:
    tables = parse(PLAIN)
    (eyes,) = tables.weigh({}, ["eyes"])
    assert math.isnan(eyes.value)
    assert eyes.llr == -1.0
    assert [cue.llr for cue in tables.weigh({"dot_halo": 1.0, "eyes": -0.5}, ["dot_halo", "eyes"])] == [-BOUND, 0.0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"[-1.0, 0.0]", b"[0.0, -1.0]"),
        (b"[-1.0, 0.0]", b"[0.0, 0.0]"),
        (b"[2.0, -2.0]", b"[2.0]"),
        (b"[2.0, -2.0]", b"[3.5, -2.0]"),
        (b"[2.0, -2.0]", b"[nan, -2.0]"),
        (b"unknown = -1.0", b"unknown = 0.5"),
        (b"unknown = -1.0", b"unknown = -inf"),
        (b"unknown = -1.0", b""),
        (b"unknown = -1.0", b"unknown = -1.0\nweight = 2.0"),
        (b"[tables.eyes]", b"[tables.smile]"),
        (b'"test"', b"7"),
    ],
)
def test_a_table_that_is_out_of_order_or_bounds_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(CueError):
        parse(PLAIN.replace(old, new))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read_whole(raw: bytes) -> None:
    for text in (raw, PLAIN + raw):
        try:
            tables = parse(text)
        except CueError:
            continue
        assert isinstance(tables, CueCalibration)


numbers = st.lists(st.floats(-5, 5), min_size=2, max_size=12)


@given(numbers, numbers)
def test_a_table_that_was_taken_is_bounded_everywhere(values: list[float], llr: list[float]) -> None:
    try:
        table = Table(tuple(values), tuple(llr), -1.0)
    except CueError:
        return
    assert all(abs(table.at(value)) <= BOUND for value in np.linspace(-6, 6, 50))


def _made(living: float, artefact: float) -> Values:
    rng = np.random.default_rng(4)

    def rows(mean: float, count: int) -> list[Mapping[CueName, float]]:
        return [dict.fromkeys(CUES, float(value)) for value in rng.normal(mean, 0.1, count)]

    return {LIVING: rows(living, 80), "one": rows(artefact, 40), "other": rows(artefact, 12)}


def test_a_fit_gives_life_to_what_living_people_showed_and_nothing_beyond_it() -> None:
    tables = fit(_made(living=1.0, artefact=0.0)).tables
    for name in ("photometric", "dot_halo", "eyes"):
        assert tables[name].at(1.0) > 1
        assert tables[name].at(0.0) < -1
        assert tables[name].at(9.0) <= 0, "nobody living was ever there"
        assert tables[name].unknown <= -1, "who hides a cue gains nothing"
    rising = np.diff([tables["dot_halo"].at(value) for value in np.linspace(-0.2, 1.1, 30)])
    assert (rising >= -1e-6).all()


def test_values_the_wrong_way_round_give_a_cue_that_only_falls_nothing_for_life() -> None:
    """A halo that is larger on paper than on skin is a sign turned over: the table does not follow it."""
    upside_down = fit(_made(living=0.0, artefact=1.0)).tables["dot_halo"]
    assert upside_down.at(1.0) <= upside_down.at(0.0) + 1e-6 or upside_down.at(0.0) < 0.5


def test_leaving_a_species_out_leaves_it_out() -> None:
    values = dict(_made(1.0, 0.0)) | {"odd": [dict.fromkeys(CUES, 1.0 + place / 100) for place in range(12)]}
    with_it, without = fit(values), fit(values, leave_out="odd")
    assert with_it.tables["eyes"].at(1.05) < without.tables["eyes"].at(1.05)
    assert without == fit({name: rows for name, rows in values.items() if name != "odd"})


def test_too_few_presentations_are_no_calibration() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit({LIVING: [dict.fromkeys(CUES, 1.0)] * 80})
