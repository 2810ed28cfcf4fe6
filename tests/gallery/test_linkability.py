"""The rotations are attacked, and fall: no document may call templates unlinkable because they are turned."""

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hil.evaluate.commands import evaluate
from hil.evaluate.linkability import LATER, SAME, measure, profile, rotations, turned
from tests.gallery.people import templates

PEOPLE = 300


@pytest.fixture(scope="module")
def attacks() -> dict[tuple[str, str, int], dict[str, Any]]:
    return {(row["galleries"], row["attack"], row["known"]): row for row in measure(PEOPLE)["attacks"]}


def test_distance_profiles_link_everybody_of_one_enrolment_and_nobody_need_be_known(
    attacks: dict[tuple[str, str, int], dict[str, Any]],
) -> None:
    assert attacks[SAME, "distance profiles", 0]["linked"] == PEOPLE


@pytest.mark.parametrize("galleries", [SAME, LATER])
def test_a_hundred_known_pairs_give_the_rotation_and_with_it_the_others(
    attacks: dict[tuple[str, str, int], dict[str, Any]], galleries: str
) -> None:
    row = attacks[galleries, "known pairs", 100]
    assert row["people"] == PEOPLE - 100
    assert row["linked"] >= 0.98 * row["people"]
    assert attacks[galleries, "known pairs", 5]["rate"] < row["rate"]


def test_rotation_hides_from_who_only_compares_and_encryption_from_all(
    attacks: dict[tuple[str, str, int], dict[str, Any]],
) -> None:
    for galleries in (SAME, LATER):
        assert attacks[galleries, "not turned at all", 0]["rate"] > 0.98
        assert attacks[galleries, "turned, compared as they are", 0]["rate"] < 0.05
    assert attacks[SAME, "sealed, nearest bits", 0]["rate"] < 0.03  # 1 in 300 by chance


def test_profile_is_the_same_under_every_rotation() -> None:
    some = np.stack([templates(seed) for seed in range(20)])
    np.testing.assert_allclose(profile(turned(some, "payment")), profile(some), atol=1e-5)


def test_procrustes_finds_the_rotation_itself() -> None:
    some = np.stack([templates(seed) for seed in range(120)])
    payment, door = turned(some, "payment"), turned(some, "door")
    found = rotations(payment, door)
    np.testing.assert_allclose(np.matmul(payment, found), door, atol=1e-4)


def test_command_prints_the_failure() -> None:
    told = CliRunner().invoke(evaluate, ["linkability", "--people", "60"])
    assert told.exit_code == 0
    assert "60 of 60" in told.output
    assert "the encryption is the protection" in " ".join(told.output.split())
    rows = json.loads(CliRunner().invoke(evaluate, ["linkability", "--people", "60", "--json"]).output)["attacks"]
    assert {row["attack"] for row in rows} >= {"distance profiles", "known pairs", "sealed, nearest bits"}
