"""The page of evidence says what was measured, what was missed and what cannot be shown."""

import numpy as np
import pytest

from hil.evaluate.chimera import ASSUMING, Decided, Point
from hil.evaluate.page import TABLES, Acquired, Fused, Int8, Page, Row, page
from hil.evaluate.rates import Rate, Rates, Tar


def rated(impostor: int, eer: float, tar: float) -> Rates:
    found = (Tar(1e-3, 0.5, Rate(tar, tar - 0.01, tar + 0.01)),) if impostor >= 30_000 else ()
    return Rates(2000, impostor, 510, Rate(eer, eer / 2, eer * 2), Rate(0.99, 0.98, 1.0), found)


def made(eer: float = 0.02, tar: float = 0.93, fused: float = 0.99, **changed: object) -> Page:
    both = {"depth": rated(250_000, eer, tar), "ir": rated(250_000, 0.01, 0.9), "both": rated(250_000, 0.01, 0.9)}
    small = {column: rated(1000, eer, tar) for column in ("depth", "ir")}
    points = [Point(1e-3, 1.0, Rate(0.999, 0.99, 1.0)), Point(1e-5, 5.0, Rate(fused, 0.98, 1.0))]
    fields: dict[str, object] = {
        "rows": [Row("the headline", both, "headline"), *(Row(f"row of {key}", small, key) for key in TABLES)],
        "int8": Int8(rated(250_000, eer, tar + 0.002), both["depth"]),
        "fused": Fused(points, [points[0], Point(1e-5, 5.0, None)], [Decided(1e-4, 3.4, 40, 10**6, 99, 100)],
                       (402, 510), 994, 10),
        "acquired": [Acquired("makehuman", 610, {"not_frontal": 2}, {"flat": 30}, 3050, {"too_near": 61}, {})],
        "networks": {"depth": ("depth_identity of the manifest", "ab" * 32)},
        "calibration": {"real": "cd" * 32},
        "moved_mm": np.array([1.0, 2.0, 3.0]),
        "enrolled_adults": 510,
        "acquired_share": 0.9,
        "changed": ["hil/sensor/dots.py"],
    }  # fmt: skip
    return Page(**{**fields, **changed})  # type: ignore[arg-type]


def line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_what_is_met_is_said_with_its_interval() -> None:
    text = page(made())
    assert "missed" not in text
    assert line(text, "| depth: TAR") == "| depth: TAR % at FAR 1e-3 | >= 90 | **93.00** (92.00-94.00) | met |"
    assert "| 0.20 | met |" in line(text, "| int8 costs")
    assert "{" not in text


@pytest.mark.parametrize(
    ("changed", "start"),
    [
        ({"eer": 0.031}, "| depth: EER"),
        ({"tar": 0.899}, "| depth: TAR"),
        ({"fused": 0.984}, "| depth and IR, chimeric"),
        ({"enrolled_adults": 499}, "| adults enrolled"),
    ],
)
def test_what_is_missed_is_said(changed: dict[str, float], start: str) -> None:
    assert line(page(made(**changed)), start).endswith("| **missed** |")


def test_what_the_pairs_cannot_show_is_a_dash() -> None:
    text = page(made())
    assert line(text, "| row of pose").count("| - ") == 2
    assert line(text, "| IR alone (proxy)").endswith("| - |")


def test_whatever_is_chimeric_or_simulated_is_called_so() -> None:
    text = page(made())
    headings = [heading for heading in text.splitlines() if heading.startswith("## ")]
    assert all("imulated" in heading or ASSUMING in heading for heading in headings[1:-1])
    assert ASSUMING in line(text, "| depth and IR, chimeric")


def test_repeated_pairings_are_told_as_what_one_of_them_shows() -> None:
    assert "One pairing has 398,594 comparisons of different people, 4.0\nfalse accepts at 1e-5" in page(made())


def test_failures_changed_sources_and_networks_are_named() -> None:
    text = page(made())
    assert "2 (0.3 %): not_frontal 2 | 30 (4.9 %): flat 30 | 3050 | 61 (2.0 %): too_near 61 | 0 |" in text
    assert "`hil/sensor/dots.py`" in text
    assert "`abababababababab...`" in text
    assert "the depth TAR at FAR 1e-3 is 83.70 %" in text
