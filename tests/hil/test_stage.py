"""The stage file: strict, bounded, replaced whole."""

from contextlib import suppress
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.people.living import PROMPT_KINDS
from hil.sensor.stage import (
    MAX_STAGE_BYTES,
    SHEETS,
    Alive,
    Asked,
    Fault,
    James,
    Person,
    Stage,
    StageError,
    read_stage,
    write_stage,
)

PEOPLE = st.builds(
    Alive, who=st.sampled_from(["virtual-2", "makehuman-3", "ict-123", "james"]), seed=st.integers(0, 2**31)
)
SUBJECTS = st.one_of(st.builds(Person, seed=st.integers(0, 2**31)), st.just(James()), PEOPLE)
STAGES = st.builds(
    Stage,
    subject=SUBJECTS,
    artefact=st.sampled_from([None, *SHEETS]),
    distance_mm=st.floats(200, 2000),
    yaw_deg=st.floats(-90, 90),
    pitch_deg=st.floats(-60, 60),
    second=st.none() | SUBJECTS,
    prompts=st.lists(
        st.builds(Asked, kind=st.sampled_from(PROMPT_KINDS), at_ns=st.integers(0, 2**62)), max_size=16
    ).map(tuple),
    fault=st.none() | st.sampled_from(get_args(Fault)),
    serial=st.none() | st.text(min_size=1, max_size=64),
    calibration_digest=st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex),
)


@given(stage=STAGES)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, stage: Stage) -> None:
    path = tmp_path_factory.mktemp("stage") / "stage.json"
    write_stage(path, stage)
    assert read_stage(path) == stage
    assert [each.name for each in path.parent.iterdir()] == ["stage.json"]


@given(raw=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_garbage_is_a_stage_error_or_a_stage(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("stage") / "stage.json"
    path.write_bytes(raw)
    with suppress(StageError):
        assert isinstance(read_stage(path), Stage)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"subject": {"kind": "person", "seed": -1}}',
        b'{"subject": {"kind": "person", "seed": "7"}}',
        b'{"subject": {"kind": "dog"}}',
        b'{"subject": {"kind": "james", "seed": 1}}',
        b'{"distance": 450}',
        b'{"distance_mm": 45}',
        b'{"yaw_deg": 91}',
        b'{"artefact": "flat_print"}',
        b'{"second": {"kind": "james"}}',
        b'{"subject": {"kind": "james"}, "artefact": "mask"}',
        b'{"subject": {"kind": "james"}, "artefact": "mannequin"}',
        b'{"subject": {"kind": "alive", "who": "ict-3"}, "artefact": "mask"}',
        b'{"subject": {"kind": "alive", "who": "makehuman-"}}',
        b'{"subject": {"kind": "alive", "who": "james\\n"}}',
        b'{"prompts": [{"kind": "wink", "at_ns": 1}]}',
        b'{"prompts": [{"kind": "smile"}]}',
        b'{"fault": "explode"}',
        b'{"serial": ""}',
        b'{"calibration_digest": "00"}',
        b"[" * 3000,
        b"[]",
        b"",
    ],
)
def test_an_impossible_stage_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "stage.json").write_bytes(raw)
    with pytest.raises(StageError, match=r"stage\.json"):
        read_stage(tmp_path / "stage.json")


def test_an_oversized_stage_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "stage.json").write_bytes(b"{}" + b" " * MAX_STAGE_BYTES)
    with pytest.raises(StageError, match="larger than"):
        read_stage(tmp_path / "stage.json")


def test_the_documented_example_is_a_stage() -> None:
    raw = b"""{"subject": {"kind": "person", "seed": 7}, "artefact": null, "distance_mm": 450, "yaw_deg": 0,
               "pitch_deg": 0, "second": {"kind": "james"}, "fault": "freeze"}"""
    stage = msgspec.json.decode(raw, type=Stage)
    assert stage == Stage(subject=Person(7), second=James(), fault="freeze")


def test_an_instrument_after_somebody_who_lives_is_a_stage() -> None:
    raw = b"""{"subject": {"kind": "alive", "who": "makehuman-3", "seed": 2}, "artefact": "rigid_mask",
               "wearer": "makehuman-9", "prompts": [{"kind": "smile", "at_ns": 1}]}"""
    her = Alive("makehuman-3", 2)
    assert msgspec.json.decode(raw, type=Stage) == Stage(
        her, "rigid_mask", wearer="makehuman-9", prompts=(Asked("smile", 1),)
    )
