"""The coarse pass loses nobody: the index finds exactly whom comparing with everybody finds."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firmware.vision.calibration import Calibration
from firmware.vision.embed import Embedded
from firmware.vision.fusion import Judge
from firmware.vision.policy import load_policy
from firmware.vision.search import SearchIndex
from firmware.vision.templates import TEMPLATE_SHAPE, TemplateError
from tests.vision.units import calibration, reading, unit

PAYMENT = load_policy("payment")[0]


def crowd(seed: int, people: int, spread: float, missing: float = 0.0) -> NDArray[np.float32]:
    """(people, 2, 3, 128) templates in clusters; `missing` is the share of empty ones."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, 1, 1, 128))[rng.integers(0, 4, people)]
    vectors = (
        centres + spread * rng.normal(size=(people, 2, 1, 128)) + spread * rng.normal(size=(people, *TEMPLATE_SHAPE))
    )
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors[rng.random((people, 2, 3)) < missing] = 0
    return vectors.astype(np.float32)


def exhaustive(probe: Embedded, templates: NDArray[np.float32], meant: Calibration) -> list[float]:
    judge = Judge(meant, PAYMENT, PAYMENT.claimed)
    sums = [match.llr for match in (judge.compare(probe, one) for one in templates)]
    return sorted((value for value in sums if value == value), reverse=True)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    people=st.integers(1, 300),
    spread=st.sampled_from([0.0, 0.003, 0.1, 0.5, 3.0]),
    missing=st.sampled_from([0.0, 0.3]),
    near=st.floats(0, 1),
    seen=st.sampled_from(["both", "ir", "depth"]),
)
def test_the_best_two_are_those_of_an_exhaustive_search(
    seed: int, people: int, spread: float, missing: float, near: float, seen: str
) -> None:
    templates = crowd(seed, people, spread, missing)
    rng = np.random.default_rng(seed + 1)
    vectors = near * templates[rng.integers(people), :, 0] + (1 - near) * rng.normal(size=(2, 128)) / 11
    vectors += 1e-3 * rng.normal(size=(2, 128))
    ir, depth = (np.asarray(vector / np.linalg.norm(vector), np.float32) for vector in vectors)
    probe = Embedded(ir if seen != "depth" else None, depth if seen != "ir" else None)
    index = SearchIndex(templates, calibration())
    found = [hit.llr for hit in index.best(probe, 2) if np.isfinite(hit.llr)]
    assert found == pytest.approx(exhaustive(probe, templates, calibration())[:2], abs=1e-3)


def test_a_component_beyond_every_template_is_bounded_too() -> None:
    """One axis of the probe is larger than a byte can say on the templates' scale."""
    rng = np.random.default_rng(3)
    templates = rng.uniform(-1, 1, (500, 2, 3, 128))
    templates = (templates / np.linalg.norm(templates, axis=-1, keepdims=True)).astype(np.float32)
    spike = np.zeros(128, np.float32)
    spike[5] = 1
    probe = Embedded(spike, spike)
    meant = calibration()
    found = [hit.llr for hit in SearchIndex(templates, meant).best(probe, 2)]
    assert found == pytest.approx(exhaustive(probe, templates, meant)[:2], abs=1e-3)


def test_the_mean_is_subtracted_in_the_coarse_pass_as_well() -> None:
    mean = tuple(round(float(number), 5) for number in 0.6 * unit(77))
    centred = msgspec.structs.replace(reading(), mean=mean)
    meant = msgspec.structs.replace(calibration(), ir=centred, depth=centred)
    templates = crowd(5, 200, 0.5)
    probe = Embedded(templates[17, 0, 1].copy(), templates[17, 1, 2].copy())
    index = SearchIndex(templates, meant)
    hits = index.best(probe, 2)
    assert hits[0].who == 17
    assert [hit.llr for hit in hits] == pytest.approx(exhaustive(probe, templates, meant)[:2], abs=1e-3)


def test_few_are_compared_exactly_where_people_differ() -> None:
    templates = crowd(1, 3000, 3.0)
    index = SearchIndex(templates, calibration())
    index.best(Embedded(templates[5, 0, 0].copy(), templates[5, 1, 0].copy()), 2)
    assert index.scored < 300
    assert index.bytes_coarse == 3000 * 2 * 3 * 128


def test_a_crowd_of_the_same_face_does_not_make_a_search_endless() -> None:
    templates = np.repeat(crowd(1, 1, 0.001), 2000, axis=0)
    index = SearchIndex(templates, calibration())
    hits = index.best(Embedded(templates[0, 0, 0].copy(), templates[0, 1, 0].copy()), 2)
    assert hits[0].llr == hits[1].llr == 20.0
    assert index.scored < 200


def test_templates_of_another_layout_are_refused() -> None:
    with pytest.raises(TemplateError):
        SearchIndex(np.zeros((5, 128), np.float32), calibration())
