"""Both modalities of people put together: person-consistent, by the terminal's own rule, no more than can be shown."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from firmware.vision.calibration import Calibration, load_calibration
from hil.evaluate import chimera
from hil.evaluate.chimera import Scores, decided, pair_up, read_proxy, tar_at
from hil.evaluate.errors import EvaluateError

REAL, MADE, PICTURES = 8, 12, 3


def scores(people: int, each: int, seed: int) -> Scores:
    """Cosines of `each` probes of `people`: 0.6 of oneself, 0.2 of others, and noise."""
    rng = np.random.default_rng(seed)
    whose = np.repeat(np.arange(people), each)
    own = np.arange(people) == whose[:, None]
    return Scores(np.where(own, 0.6, 0.2) + rng.normal(0, 0.12, own.shape), whose)


@pytest.fixture
def plain() -> Calibration:
    """Ratios that are cosines, and no floor to speak of."""
    real = load_calibration("real")
    changed = {"slope": 1.0, "offset": 0.0, "floor": -5.0}
    return replace(real, ir=replace(real.ir, **changed), depth=replace(real.depth, **changed))


def test_a_real_person_keeps_one_made_up_person_throughout_a_pairing(plain: Calibration) -> None:
    ir = scores(REAL, PICTURES, 0)
    # a made-up person's depth cosine is his own number: the pairing can be read off it
    whose = np.repeat(np.arange(MADE), 2)
    depth = Scores(np.broadcast_to(np.arange(MADE) / 100, (len(whose), MADE)).copy(), whose)
    pairs = pair_up(ir, depth, plain, pairings=4)
    assert pairs.given.shape == (4, REAL)
    assert all(len(set(row)) == REAL for row in pairs.given.tolist())
    assert len({tuple(row) for row in pairs.given.tolist()}) > 1
    expected = np.broadcast_to(pairs.given[:, None] / 100, pairs.depth.shape)
    assert np.allclose(pairs.depth, expected)
    assert np.allclose(pairs.ir, ir.cosine)


def test_true_accept_rates_are_those_of_the_slow_computation(
    plain: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chimera, "TAIL", 0.5)
    monkeypatch.setattr(chimera, "needed", lambda far: round(1 / far))
    pairs = pair_up(scores(REAL, PICTURES, 1), scores(MADE, 2, 2), plain, pairings=5)
    own = np.broadcast_to(np.arange(REAL) == pairs.whose[:, None], pairs.fused.shape)
    genuine, impostor = pairs.fused[own], np.sort(pairs.fused[~own])[::-1]
    for point in tar_at(pairs, pairs.fused, (0.1, 0.01), rounds=20):
        allowed = int(point.far * len(impostor))
        assert point.rate is not None
        assert point.rate.value == pytest.approx(float((genuine > impostor[allowed]).mean()))
        assert (impostor >= point.threshold).sum() <= allowed
        assert 0 <= point.rate.low <= point.rate.value <= point.rate.high <= 1


def test_a_rate_the_comparisons_cannot_show_is_not_shown(plain: Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chimera, "TAIL", 0.9)
    pairs = pair_up(scores(REAL, PICTURES, 1), scores(MADE, 2, 2), plain, pairings=5)
    (point,) = tar_at(pairs, pairs.fused, (0.01,), rounds=2)
    assert point.rate is None


def test_a_shipped_threshold_is_decided_with_its_floors(plain: Calibration) -> None:
    pairs = pair_up(scores(REAL, PICTURES, 1), scores(MADE, 2, 2), plain, pairings=3)
    strict = replace(plain, thresholds=(replace(plain.thresholds[0], rate=1e-4, llr=0.8),))
    found = decided(pairs, strict, 1e-4)
    own = np.broadcast_to(np.arange(REAL) == pairs.whose[:, None], pairs.fused.shape)
    assert found.accepted == int((pairs.fused[own] >= 0.8).sum())
    assert found.false == int((pairs.fused[~own] >= 0.8).sum())
    assert (found.genuine, found.impostors) == (own.sum(), (~own).sum())
    vetoed = replace(strict, ir=replace(strict.ir, floor=0.0))
    below = (pairs.fused[own] >= 0.8) & (pairs.ir[own] < 0.0)
    assert decided(pairs, vetoed, 1e-4).accepted == found.accepted - int(below.sum())


def test_more_real_people_than_made_up_ones_is_refused(plain: Calibration) -> None:
    with pytest.raises(EvaluateError, match="8 real ones"):
        pair_up(scores(REAL, PICTURES, 0), scores(REAL - 1, 2, 0), plain)


def written(folder: Path, **arrays: np.ndarray) -> Path:
    (folder / "scores").mkdir()
    np.savez(folder / "scores" / "sface_grey_portraits.npz", **arrays)  # type: ignore[arg-type]
    return folder


def test_a_picture_is_compared_with_the_best_of_everybodys_others(tmp_path: Path) -> None:
    """Pictures 0 and 1 of one person, 2 of another: pairs 01, 02, 12."""
    people = {"person_a": np.array([0, 0, 0], np.int16), "person_b": np.array([0, 1, 1], np.int16)}
    found = read_proxy(written(tmp_path, score=np.array([0.9, 0.1, 0.3]), **people))
    assert found.whose.tolist() == [0, 0, 1]
    assert found.cosine[0].tolist() == [0.9, 0.1]
    assert found.cosine[2].tolist() == [0.3, -1.0]


@pytest.mark.parametrize(
    ("score", "first", "second"),
    [([0.9, 0.1], [0, 0], [0, 1]), ([0.9, np.nan, 0.3], [0, 0, 0], [0, 1, 1]), ([0.9, 0.1, 0.3], [0, 1, 0], [0, 1, 1])],
)
def test_scores_that_are_not_all_pairs_are_refused(
    tmp_path: Path, score: list[float], first: list[int], second: list[int]
) -> None:
    with pytest.raises(EvaluateError, match="sface_grey_portraits"):
        read_proxy(written(tmp_path, score=np.array(score), person_a=np.array(first), person_b=np.array(second)))
    with pytest.raises(EvaluateError, match="TESSERA_DATA"):
        read_proxy(tmp_path / "none")
