"""Keys are made, ended and exchanged in a token whose owner is killed: the old state is left, or the new."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.absent import absent
from tests.secure_element.softhsm import soft_token

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        absent("no C compiler: apt-get install gcc libc6-dev")
    built = tmp_path_factory.mktemp("shim") / "killed.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", built, HERE / "killed.c", "-ldl"], check=True, timeout=60)
    return built


def trials(shim: Path, folder: Path, change: str, every: int) -> list[dict[str, Any]]:
    with soft_token(folder) as token:
        asked = json.dumps({"options": token.options, "folder": str(token.folder), "change": change, "every": every})
        # the folder of tokens is of this process; a child's own library sees the same
        ran = subprocess.run(
            [sys.executable, HERE / "killed.py", asked],
            env=os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=1800,
        )
    shutil.rmtree(token.folder.parent.parent / "pristine", ignore_errors=True)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _check(told: list[dict[str, Any]], change: str) -> None:
    assert not told[0]["finished"]
    assert told[-1]["finished"]
    seen = []
    for trial in told:
        before, after, again = trial["states"]
        if change == "provision":
            assert after is None or after[1:] == [False, [1], []], trial
            assert again is not None
            assert again[1:] == [False, [1], []], trial
        else:
            key = before[0]
            old = [key, change == "adopt_identity", [1, 2], [1, 2]]
            assert before == old, trial
            between = [key, False, [1], [1]] if change == "prepare_epoch again" else old
            assert after in (old, between) or _is_new(change, key, after), trial
            assert _is_new(change, key, again), trial
        seen.append(after != before)
    assert seen == sorted(seen), "what was done was undone by being killed later"
    assert seen[0] is False
    assert seen[-1] is True


def _is_new(change: str, key: str, state: list[Any]) -> bool:
    return {
        "prepare_epoch": state == [key, False, [1, 2, 3], [1, 2]],
        "prepare_epoch again": state == [key, False, [1, 2], [1]],
        "end_epochs_before": state == [key, False, [2], [2]],
        "prepare_identity": state == [key, True, [1, 2], [1, 2]],
        "adopt_identity": state[0] != key and state[1:] == [False, [1, 2], [1, 2]],
    }[change]


@pytest.mark.parametrize(
    "change",
    ["provision", "prepare_epoch", "prepare_epoch again", "end_epochs_before", "prepare_identity", "adopt_identity"],
)
def test_killed_before_a_change_of_a_file_the_old_state_is_left_or_the_new(
    shim: Path, tmp_path: Path, change: str
) -> None:
    _check(trials(shim, tmp_path, change, every=50), change)


@pytest.mark.soak
@pytest.mark.timeout(1900)
@pytest.mark.parametrize("change", ["provision", "prepare_epoch", "prepare_identity"])
def test_killed_before_every_change_of_a_file(shim: Path, tmp_path: Path, change: str) -> None:
    _check(trials(shim, tmp_path, change, every=1), change)
