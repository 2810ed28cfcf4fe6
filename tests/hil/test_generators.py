"""What may be trained on: no manifest, range, threshold or limit names an evaluation person or sensor.

What is asserted, in words:
- no data file of `models` or `firmware` names MakeHuman, `anny`, james or a number among the evaluation seeds, but for
  the sentence in `limits.toml` that nobody looked at them;
- of the workshop `models/train`, only the demo's own calibration touches MakeHuman's `virtual_person`, and what it
  writes is the population `virtual` and the int8 ranges of a network that somebody else trained;
- nothing in `models` or `firmware`, code or data, names the sensor preset that is held out; `models` walks through no
  list of presets that holds it;
- thresholds for real people owe nothing to rendered infrared; their depth is of ICT people, and says so.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib

from hil.people import likeness
from hil.people.generators import EVALUATION_SEEDS, GENERATORS
from hil.sensor.presets import HELD_OUT
from models.train import rendered

ROOT = Path(__file__).resolve().parents[2]
LIMITS = ROOT / "firmware/liveness/limits.toml"
DATA_SUFFIXES = (".toml", ".json", ".txt", ".csv", ".md")
EVALUATION_PEOPLE = re.compile(r"make\s*human|\banny\b|mpfb|\bjames\b", re.IGNORECASE)
HELD_OUT_SENSOR = re.compile(r"\bheld[-_]out\b", re.IGNORECASE)
ALL_SENSORS = re.compile(r"\bPRESETS\b")
# the one sentence that may name them: that the limits of the gates owe them nothing
DENIAL = "# No MakeHuman person, no evaluation seed and nothing of the sensor `held-out` was looked at.\n"
BYTES_OF_A_FILE = re.compile(r"^bytes = \d+$", re.MULTILINE)  # in the manifest; a size is no seed
# the demo population's calibration, from before there was a second generator; nothing may be added here
DEMO_CALIBRATION = {"rendered.py", "virtual_faces.py"}
EVALUATION_NAMES = {"virtual_person", "james", "moving_james", "makehuman", "makehuman_moving", "moving", "bust"}


def data_files() -> list[Path]:
    found = (path for folder in ("models", "firmware") for path in (ROOT / folder).rglob("*"))
    return sorted(path for path in found if path.suffix in DATA_SUFFIXES and path.is_file())


def names_in(source: str) -> set[str]:
    """Names imported, and strings written, in a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names} | set((node.module or "").split("."))
        elif isinstance(node, ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def numbers_in(text: str) -> Iterator[int]:
    for number in re.findall(r"(?<![\w.])\d[\d_]*(?![\w.])", text):
        yield int(number.replace("_", ""))


@pytest.mark.parametrize("path", data_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_manifest_range_or_threshold_names_an_evaluation_person(path: Path) -> None:
    text = path.read_text()
    if path == LIMITS:
        text = text.replace(DENIAL, "", 1)
    assert not EVALUATION_PEOPLE.search(text)
    assert not HELD_OUT_SENSOR.search(text)
    assert not [number for number in numbers_in(BYTES_OF_A_FILE.sub("", text)) if number in EVALUATION_SEEDS]


def test_no_code_of_the_terminal_or_the_workshop_names_the_held_out_sensor() -> None:
    for path in sorted(path for folder in ("models", "firmware") for path in (ROOT / folder).rglob("*.py")):
        assert not HELD_OUT_SENSOR.search(path.read_text()), path
    for path in sorted((ROOT / "models").rglob("*.py")):
        assert not ALL_SENSORS.search(path.read_text()), path


def test_only_the_demo_calibration_draws_makehuman_people() -> None:
    for path in sorted((ROOT / "models").rglob("*.py")):
        if path.name not in DEMO_CALIBRATION:
            assert not names_in(path.read_text()) & EVALUATION_NAMES, path


def test_no_module_of_the_workshop_writes_an_evaluation_seed() -> None:
    for path in sorted((ROOT / "models").rglob("*.py")):
        assert not [number for number in numbers_in(path.read_text()) if number in EVALUATION_SEEDS], path


def test_the_people_of_the_demo_calibration_and_of_tuning_are_no_evaluation_people() -> None:
    for seeds in (rendered.MEAN_PEOPLE, rendered.SCORED_PEOPLE, rendered.RANGE_PEOPLE, rendered.AGREEMENT_PEOPLE):
        assert not set(seeds) & set(EVALUATION_SEEDS)
    assert EVALUATION_SEEDS.start > likeness.FIRST_SEED + 100_000


def test_thresholds_for_real_people_owe_nothing_to_rendered_ones() -> None:
    calibration = tomllib.loads((ROOT / "firmware/vision/calibration/real.toml").read_text())
    assert calibration["population"] == "real"
    assert calibration["ir"]["kind"] != "synthetic"
    assert not re.search(r"render|virtual|made-up|simulat", calibration["ir"]["about"], re.IGNORECASE)
    assert calibration["depth"]["kind"] == "synthetic"
    assert "ICT" in calibration["depth"]["about"]
    for modality in ("ir", "depth"):
        assert "mean" not in calibration[modality], "the mean of other virtual people is the virtual population's alone"


def test_the_rule_would_notice(tmp_path: Path) -> None:
    assert EVALUATION_PEOPLE.search("trained on 200 MakeHuman heads")
    assert EVALUATION_PEOPLE.search("scan = 'james'")
    assert not EVALUATION_PEOPLE.search("of ICT people; any name")
    assert HELD_OUT_SENSOR.search(f'preset = "{HELD_OUT}"')
    assert HELD_OUT_SENSOR.search("from hil.sensor.presets import HELD_OUT")
    assert ALL_SENSORS.search("for name in presets.PRESETS:")
    assert BYTES_OF_A_FILE.sub("", "seed = 5\nbytes = 5000003\nseeds = [5000003]") == "seed = 5\n\nseeds = [5000003]"
    assert names_in("from hil.people import virtual_person") & EVALUATION_NAMES
    assert names_in("make_actor('makehuman', 3)") & EVALUATION_NAMES
    assert [n for n in numbers_in("seeds 5_000_003 and 12") if n in EVALUATION_SEEDS] == [5_000_003]
    assert set(GENERATORS) == {"ict", "makehuman"}


def test_people_of_a_generator_look_like_themselves_and_not_like_each_other(
    data_dir: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSERA_DATA", str(data_dir))
    assert models_dir
    measured = likeness.measure("ict", 4)
    assert measured.found >= measured.asked - 1
    assert measured.genuine.mean() > measured.impostor.mean() + 0.3
    said = likeness.report("ict", 4, measured)
    assert "simulated" in said
    assert f"mean {measured.impostor.mean():.3f}" in said
    assert said.endswith("met")
