import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware.liveness.look import Basis, load_basis
from firmware.vision.detect import Detector
from hil.evaluate.shots import Shot
from hil.rig import attack
from hil.rig.attack import SEARCH, TRIED, WORST, Search
from hil.rig.attack_score import ACCEPTED
from hil.rig.attack_trial import System, Tried
from hil.rig.attack_worst import AttackError, WorstCase, read
from hil.rig.commands import rig


class NoDetector(Detector):
    """Whatever is judged here is made up."""

    def __init__(self) -> None:
        pass


@pytest.fixture(scope="module")
def basis() -> Basis:
    return load_basis("payment")


class Stand:
    """Presentations that are scored without being filmed."""

    def __init__(self) -> None:
        self.presented: list[Shot] = []
        self.accepts_at = self.interrupts_at = -1

    def present(self, shot: Shot, system: System) -> Tried:
        number = len(self.presented)
        if number == self.interrupts_at:
            raise KeyboardInterrupt
        self.presented.append(shot)
        if number == self.accepts_at:
            return Tried(shot, ACCEPTED, "accepted", "")
        score = 1 - abs(dict(shot.parameters)["yaw_deg"] - 20) / 100
        return Tried(shot, score, "refused", "not_alive", "dot_halo", frames=16)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    stand = Stand()
    monkeypatch.setattr(attack, "present", stand.present)
    return stand


def begin(folder: Path, basis: Basis, species: str = "mannequin", seed: int = 0) -> Search:
    return Search(species, "payment", seed, folder, System(basis, NoDetector()))


def test_the_worst_is_on_disk_after_every_presentation(tmp_path: Path, basis: Basis, stand: Stand) -> None:
    search = begin(tmp_path / "s", basis)
    for number, _ in enumerate(search.run(20), start=1):
        case = read(tmp_path / "s" / WORST)
        assert case.worst == max(search.tried, key=lambda one: one.score)
        assert case.tried == number == len(stand.presented)
    assert (case.digest, case.policy, case.seed) == (basis.digest.hex(), "payment", 0)
    assert "SIMULATED" in case.about


def test_a_search_that_was_cut_short_goes_on_as_if_it_had_not_been(tmp_path: Path, basis: Basis, stand: Stand) -> None:
    for _ in begin(tmp_path / "whole", basis).run(40):
        pass
    whole, stand.presented, stand.interrupts_at = stand.presented, [], 23
    with pytest.raises(KeyboardInterrupt):
        for _ in begin(tmp_path / "cut", basis).run(40):
            pass
    with (tmp_path / "cut" / TRIED).open("ab") as file:
        file.write(b'{"shot":{"per')
    stand.interrupts_at = -1
    taken_up = begin(tmp_path / "cut", basis)
    assert len(taken_up.tried) == 23
    assert len(list(taken_up.run(40))) == 17
    assert stand.presented == whole
    assert (tmp_path / "cut" / TRIED).read_bytes() == (tmp_path / "whole" / TRIED).read_bytes()


def test_what_was_accepted_ends_the_search_for_good(tmp_path: Path, basis: Basis, stand: Stand) -> None:
    stand.accepts_at = 5
    search = begin(tmp_path / "s", basis)
    assert [one.accepted for one in search.run(40)] == [False] * 5 + [True]
    assert search.worst is search.tried[-1]
    assert not list(begin(tmp_path / "s", basis).run(100))


def test_a_folder_of_another_search_is_not_taken_up(tmp_path: Path, basis: Basis, stand: Stand) -> None:
    begin(tmp_path / "s", basis)
    for species, seed in (("rigid_mask", 0), ("mannequin", 1)):
        with pytest.raises(AttackError, match=r"another search \((species|seed)"):
            begin(tmp_path / "s", basis, species, seed)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(AttackError, match="not empty"):
        begin(tmp_path / "mine", basis)


def test_a_search_of_another_system_is_not_taken_up(tmp_path: Path, basis: Basis, stand: Stand) -> None:
    begin(tmp_path / "s", basis)
    terms = tmp_path / "s" / SEARCH
    terms.write_text(json.dumps(json.loads(terms.read_text()) | {"made_by": "an older version"}))
    with pytest.raises(AttackError, match="made_by"):
        begin(tmp_path / "s", basis)


@pytest.mark.parametrize("line", [b"{}\n", b"junk\n"])
def test_a_damaged_log_is_refused(line: bytes, tmp_path: Path, basis: Basis, stand: Stand) -> None:
    for _ in begin(tmp_path / "s", basis).run(2):
        pass
    log = tmp_path / "s" / TRIED
    log.write_bytes(log.read_bytes() + line)
    with pytest.raises(AttackError, match="damaged"):
        begin(tmp_path / "s", basis)


def test_a_log_whose_order_was_changed_is_refused(tmp_path: Path, basis: Basis, stand: Stand) -> None:
    for _ in begin(tmp_path / "s", basis).run(3):
        pass
    log = tmp_path / "s" / TRIED
    log.write_bytes(b"".join(reversed(log.read_bytes().splitlines(keepends=True))))
    with pytest.raises(AttackError, match="number 1 is not what comes next"):
        begin(tmp_path / "s", basis)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--species", "wax_figure", "--budget", "3"], "no species 'wax_figure'"),
        (["--species", "mannequin", "--budget", "0"], "budget"),
        (["--species", "mannequin", "--budget", "3", "--policy", "bank"], "no policy 'bank'"),
    ],
)
def test_what_cannot_be_searched_is_said(words: list[str], told: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = CliRunner().invoke(rig, ["attack", *words, "--out", str(out)], env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert told in ran.output
    assert not out.exists()


def test_ctrl_c_keeps_the_nearest_so_far_and_records_it(
    tmp_path: Path, basis: Basis, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attack, "shipped", lambda policy: System(basis, NoDetector()))
    recorded: list[Shot] = []

    def record(case: WorstCase, system: System, path: Path) -> None:
        recorded.append(case.worst.shot)
        path.write_bytes(b"a recording")

    monkeypatch.setattr("hil.rig.attack_commands.record", record)
    stand.interrupts_at = 6
    words = ["attack", "--species", "mannequin", "--budget", "30", "--out", str(tmp_path / "s")]
    ran = CliRunner().invoke(rig, words)
    assert ran.exit_code == 130
    assert "6 of 30 tried, simulated" in ran.output
    assert recorded == [read(tmp_path / "s" / WORST).worst.shot]
    stand.interrupts_at = -1
    assert "30 of 30 tried" in CliRunner().invoke(rig, words).output


def test_a_file_that_is_no_worst_case_is_refused(tmp_path: Path) -> None:
    (tmp_path / "worst.json").write_text('{"about": "nothing"}')
    ran = CliRunner().invoke(rig, ["worst-case", str(tmp_path / "worst.json"), "--out", str(tmp_path / "x.mcap")])
    assert ran.exit_code == 2
    assert not (tmp_path / "x.mcap").exists()
