"""Calibrations are never mixed, never stretched, and claim no more than was measured."""

from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.vision import calibration as shipped
from firmware.vision.calibration import Calibration, CalibrationError, Population, decode_calibration, load_calibration
from firmware.vision.calibration.evidence import chance_of_so_few
from hil.evaluate.fit import to_toml, upper_bound
from tests.vision.units import calibration

POPULATIONS: tuple[Population, ...] = ("virtual", "real")
GOOD = to_toml(calibration(), "a test")
MANY = "people = 1000\npairings = 1\ncomparisons = 1000000"
PAIRED = "people = 1000\npairings = 20\ncomparisons = 20000000"
STRICT = '\ngenuine = 5000\nmodalities = ["ir", "depth"]\nrate = 1e-05'


def _site(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("population", POPULATIONS)
def test_a_calibration_says_whom_it_holds_for_and_on_what_evidence(population: Population) -> None:
    found = load_calibration(population)
    assert found.population == population
    assert found.kind == "synthetic"
    assert found.ir.kind == {"virtual": "synthetic", "real": "proxy"}[population]
    assert bool(found.ir.mean) == (population == "virtual")
    assert len(found.digest) == 32
    assert found.threshold(1e-4).bound <= 1e-4


def test_the_real_calibration_says_that_it_is_a_proxy_and_assumes_independence() -> None:
    real = load_calibration("real")
    assert "proxy" in real.ir.about
    assert real.ir.people == 402
    both = real.threshold(1e-4)
    assert "assuming independence, visible-light proxy" in both.about.lower()
    assert both.pairings > 1


def test_the_real_calibration_has_no_rate_that_its_people_do_not_support() -> None:
    real = load_calibration("real")
    for one in real.thresholds:
        assert one.people * (one.people - 1) / 2 * one.rate >= 3
    with pytest.raises(CalibrationError, match="its evidence does not reach that far"):
        real.threshold(1e-5)


def test_populations_are_never_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_calibration("real").digest != load_calibration("virtual").digest
    raw = (files("firmware.vision.calibration") / "virtual.toml").read_bytes()
    monkeypatch.setattr(shipped, "_shipped", lambda _: raw)
    with pytest.raises(CalibrationError, match="never to be mixed with real"):
        load_calibration("real")


def test_a_population_that_is_not_shipped_is_refused() -> None:
    with pytest.raises(CalibrationError, match="shipped: virtual, real"):
        load_calibration("site")  # type: ignore[arg-type]


def test_a_site_calibration_replaces_the_proxy(tmp_path: Path) -> None:
    text = GOOD.replace('"virtual"', '"real"').replace('"synthetic"', '"site"')
    found = load_calibration("real", _site(text, tmp_path))
    assert found.kind == "site"
    assert found.digest != load_calibration("real").digest


def test_what_was_not_measured_at_the_site_does_not_replace_anything(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="only what was measured at the site"):
        load_calibration("real", _site(GOOD.replace('"virtual"', '"real"'), tmp_path))
    with pytest.raises(CalibrationError, match="never to be mixed with real"):
        load_calibration("real", _site(GOOD, tmp_path))
    with pytest.raises(CalibrationError, match=r"nothing\.toml: cannot be read"):
        load_calibration("real", tmp_path / "nothing.toml")


def test_what_other_networks_scored_says_nothing_of_these(tmp_path: Path) -> None:
    text = GOOD.replace('"virtual"', '"real"').replace('"synthetic"', '"site"')
    other = text.replace(calibration().networks, "ab" * 32)
    assert other != text
    with pytest.raises(CalibrationError, match="other networks than this version's; measure anew"):
        load_calibration("real", _site(other, tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("bound = 0.0001", "bound = 0.0002", "does not support a false-match rate of 0.0001"),
        ("bound = 0.0001", "bound = 1e-09", "is more than 0 errors in 1000000 can show"),
        ("errors = 0\nbound = 1e-05", "errors = 9\nbound = 1e-05", "is more than 9 errors"),
        ("comparisons = 1000000" + STRICT, "comparisons = 2000" + STRICT, "is more than 0 errors in 2000"),
        (MANY + STRICT, MANY.replace("1000", "700", 1) + STRICT, "244650 pairs .* 1e-05: it takes 299574"),
        # 20 pairings of 700 people are no more pairs of people, and one twentieth of the comparisons and errors
        (MANY + STRICT, PAIRED.replace("1000", "700", 1) + STRICT, "244650 pairs .* 1e-05: it takes 299574"),
        (MANY + STRICT, PAIRED.replace("20000000", "4000000") + STRICT, "is more than 0 errors in 200000 can show"),
        ("misses = 10", "misses = 5001", "more errors than comparisons"),
        ("llr = 9.0", "llr = 2.0", "1e-05 is easier to reach than 0.0001"),
        ("llr = 6.0", "llr = -0.1", "never less likely than not"),
        ("llr = 9.0", "llr = nan", "llr is not finite"),
        ("rate = 1e-05", "rate = 0.0001", "two of one name"),
        ('modalities = ["ir"]', 'modalities = ["depth", "ir"]', "in this order"),
        ('modalities = ["ir"]', 'modalities = ["smell"]', "smell"),
        ('kind = "synthetic"', 'kind = "proxy"', "one of .* is synthetic, its readings are"),
        ('kind = "synthetic"', 'kind = "simulated"', "simulated"),
        ("limit = 10.0", "limit = 13.0", "more than 499500 pairs of people can show"),
        ("slope = 20.0", "slope = -3.0", "slope"),
        ("floor = -4.0", "floor = 1.0", "floor"),
        ("offset = -8.0", "offset = inf", "not finite"),
        ("slope = 20.0", "slope = 20.0\nmean = [0.5]", "mean has 1 numbers"),
        ("slope", "slop", "slop"),
    ],
)  # fmt: skip
def test_a_claim_beyond_its_evidence_cannot_be_configured(old: str, new: str, reason: str) -> None:
    assert old in GOOD
    with pytest.raises(CalibrationError, match=f"here.toml: .*{reason}"):
        decode_calibration(GOOD.replace(old, new, 1).encode(), "here.toml")


def test_a_calibration_survives_its_own_file() -> None:
    for one in (calibration(), *map(load_calibration, POPULATIONS)):
        assert decode_calibration(to_toml(one, "a test").encode(), "written") == one


@given(st.integers(0, 60), st.integers(1_000, 5_000_000))
def test_the_check_at_decoding_agrees_with_clopper_and_pearson(errors: int, trials: int) -> None:
    assert chance_of_so_few(errors, trials, upper_bound(errors, trials)) == pytest.approx(0.05, rel=1e-3)


def test_a_rate_that_was_not_measured_is_not_there() -> None:
    with pytest.raises(CalibrationError, match="its evidence does not reach that far"):
        calibration().threshold(1e-6)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_garbage_is_a_calibration_error(raw: bytes) -> None:
    with pytest.raises(CalibrationError, match="here"):
        decode_calibration(raw, "here")


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="larger than"):
        load_calibration("real", _site("#" * 100_000, tmp_path))


def test_a_calibration_is_frozen() -> None:
    found: Calibration = calibration()
    with pytest.raises(AttributeError):
        found.population = "real"  # type: ignore[misc]
