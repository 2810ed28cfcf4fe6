"""Cosines, templates, likelihood ratios, and calibrations that are never mixed or stretched."""

from importlib.resources import files
from typing import Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.vision import calibration as shipped
from firmware.vision.calibration import Calibration, CalibrationError, decode_calibration, load_calibration
from firmware.vision.match import MatchError, is_match, llr, make_template, score

POPULATIONS: tuple[Literal["virtual", "real"], ...] = ("virtual", "real")
REAL, VIRTUAL = load_calibration("real"), load_calibration("virtual")


def _raw(population: str) -> bytes:
    return (files("firmware.vision.calibration") / f"{population}.toml").read_bytes()


def _unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@pytest.mark.parametrize("calibration", [REAL, VIRTUAL])
def test_the_same_embedding_is_a_match_and_its_opposite_is_not(calibration: Calibration) -> None:
    probe = _unit(1)
    assert score(probe, probe, calibration) == pytest.approx(1)
    assert is_match(score(probe, probe, calibration), calibration)
    assert not is_match(score(-probe, probe, calibration), calibration)


@pytest.mark.parametrize("calibration", [REAL, VIRTUAL])
def test_more_alike_is_never_worth_less(calibration: Calibration) -> None:
    ratios = [llr(cosine, calibration) for cosine in np.linspace(-1, 1, 41)]
    assert ratios == sorted(ratios)
    assert max(ratios) == calibration.llr_limit
    assert np.exp(-calibration.llr_limit) >= calibration.fmr_upper * 0.99, "more than the trials can show"


def test_nan_matches_nobody() -> None:
    assert not is_match(float("nan"), REAL)


def test_the_template_is_the_mean_of_the_units_at_unit_length() -> None:
    one, two = _unit(1), _unit(2)
    template = make_template([one, two * 3])
    assert np.linalg.norm(template) == pytest.approx(1, abs=1e-6)
    assert float(template @ one) == pytest.approx(float(template @ two), abs=1e-6)


@pytest.mark.parametrize("bad", [np.zeros(128, np.float32), np.full(128, np.nan, np.float32), np.ones(64, np.float32)])
def test_what_is_no_embedding_is_never_scored(bad: np.ndarray) -> None:
    for call in (lambda: score(bad, _unit(1), REAL), lambda: score(_unit(1), bad, REAL), lambda: make_template([bad])):
        with pytest.raises(MatchError, match="cannot be compared"):
            call()


def test_no_embedding_is_no_template() -> None:
    with pytest.raises(MatchError, match="at least one"):
        make_template([])


@pytest.mark.parametrize("population", POPULATIONS)
def test_a_calibration_says_whom_it_holds_for_and_on_what_evidence(population: Literal["virtual", "real"]) -> None:
    calibration = load_calibration(population)
    assert calibration.population == population
    assert calibration.kind == {"virtual": "simulated", "real": "proxy"}[population]
    assert calibration.fmr_upper > calibration.fmr
    assert bool(calibration.mean) == (population == "virtual")
    assert len(calibration.digest) == 32


def test_the_real_operating_point_rests_on_thirty_errors_or_more() -> None:
    assert REAL.errors >= 30
    assert REAL.fmr <= 1e-4


def test_populations_are_never_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert REAL.digest != VIRTUAL.digest
    monkeypatch.setattr(shipped, "_calibration_bytes", lambda _: _raw("virtual"))
    with pytest.raises(CalibrationError, match="never to be mixed with real"):
        load_calibration("real")


def test_a_population_that_is_not_shipped_is_refused() -> None:
    with pytest.raises(CalibrationError, match="shipped: virtual, real"):
        load_calibration("site")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("fmr", "1e-9", "is not errors / trials"),
        ("fmr_upper", "1e-9", "claims more than"),
        ("errors", "999999999", "more errors than trials"),
        ("threshold", "1.5", "threshold"),
        ("threshold", "nan", "threshold"),
        ("slope", "-3.0", "slope"),
        ("offset", "inf", "not finite"),
        ("kind", '"measured"', "kind"),
        ("mean", "[0.5]", "mean has 1 numbers"),
        ("treshold", "0.1", "treshold"),
    ],
)
def test_a_calibration_with_a_mistake_is_refused_with_its_key(key: str, value: str, reason: str) -> None:
    lines = [line for line in _raw("real").decode().splitlines() if not line.startswith(f"{key} =")]
    with pytest.raises(CalibrationError, match=f"here.toml: .*{reason}"):
        decode_calibration("\n".join([*lines, f"{key} = {value}"]).encode(), "here.toml")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_garbage_is_a_calibration_error(raw: bytes) -> None:
    with pytest.raises(CalibrationError, match="here"):
        decode_calibration(raw, "here")


def test_a_huge_file_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(CalibrationError, match="larger than"):
        decode_calibration(b"#" * 100_000, "here")


def test_a_calibration_is_frozen() -> None:
    with pytest.raises(AttributeError):
        REAL.threshold = 0.0  # type: ignore[misc]
    assert msgspec.structs.replace(REAL, threshold=0.5).threshold == 0.5
