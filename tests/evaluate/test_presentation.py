"""From recordings to a report: what is no response, what a report says and never says, cut short and gone on."""

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from drivers.camera.recording import RecordingReader, RecordingWriter
from hil.evaluate import presentation_run
from hil.evaluate.commands import evaluate
from hil.evaluate.judge import Judged
from hil.evaluate.presentation_run import Told
from hil.evaluate.shots import info_of
from hil.rig.render import render
from hil.rig.scenario import take_of

HEAD = "path,label,species,subject,instrument,level,groups"
TAKES: dict[str, dict[str, object]] = {
    "anna": {"person": "makehuman-4000001", "seconds": 0.7},
    "print": {"person": "makehuman-4000001", "artefact": "flat_print_toner", "seconds": 0.3},
    "screen": {"person": "makehuman-4000001", "artefact": "lcd_replay", "seconds": 0.2},
}
LISTED = {
    "anna": "bona_fide,,anna,,,skin=II",
    "print": "attack,flat_print,anna,print 1,A,",
    "screen": "attack,lcd_replay,anna,phone 1,A,",
    "wordless": "attack,flat_print,bo,print 2,A,",
    "cut": "attack,flat_print,cleo,print 3,A,",
    "cut late": "attack,flat_print,dora,print 4,A,",
    "noise": "bona_fide,,emil,,,",
    "empty": "bona_fide,,fay,,,",
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """Three rendered recordings, and what can be wrong with one."""
    home = tmp_path_factory.mktemp("recordings")
    for number, (name, values) in enumerate(TAKES.items()):
        path = home / f"{name}.mcap"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hil.rig.render.camera_of", info_of)  # a camera whose light was measured
            list(render(take_of(out=path.name, seed=number, **values), path))
    reader = RecordingReader(home / "print.mcap")
    with RecordingWriter(home / "wordless.mcap", "simulated") as writer:
        while (frame := reader.next_frame()) is not None:
            writer.write(frame)
    whole = (home / "print.mcap").read_bytes()
    (home / "cut.mcap").write_bytes(whole[: len(whole) // 3])
    (home / "cut late.mcap").write_bytes(whole[:-200])
    (home / "noise.mcap").write_bytes(bytes(range(256)) * 40)
    (home / "empty.mcap").touch()
    lines = [f"{name}.mcap,{rest}" for name, rest in LISTED.items()]
    (home / "all.csv").write_text("\n".join([HEAD, *lines]) + "\n")
    return home


@pytest.fixture(scope="module")
def whole(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished evaluation of all of them, policy door."""
    out = tmp_path_factory.mktemp("reports") / "door"
    run(recordings / "all.csv", out)
    return out


def run(manifest: Path, out: Path, *more: str, profile: str = "door") -> dict[str, Any]:
    arguments = ["presentation", "--manifest", str(manifest), "--profile", profile, "--report", str(out), *more]
    result = CliRunner().invoke(evaluate, arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    return found


def refused(manifest: Path, out: Path, *more: str, profile: str = "door") -> str:
    arguments = ["presentation", "--manifest", str(manifest), "--profile", profile, "--report", str(out), *more]
    result = CliRunner(env={"COLUMNS": "500"}).invoke(evaluate, arguments)
    assert result.exit_code == 2, result.output
    return result.output


def decisions(out: Path) -> dict[str, dict[str, str]]:
    with (out / "presentations.csv").open(newline="") as file:
        return {Path(row["path"]).stem: row for row in csv.DictReader(file)}


def written(folder: Path, recordings: Path, **rows: str) -> Path:
    """A list of recordings by their absolute paths."""
    path = folder / "list.csv"
    lines = [f"{recordings / name}.mcap,{rest}" for name, rest in rows.items()]
    path.write_text("\n".join([HEAD, *lines]) + "\n")
    return path


def test_a_person_is_accepted_and_a_print_refused(whole: Path) -> None:
    found = decisions(whole)
    assert (found["anna"]["decision"], found["anna"]["reason"]) == ("accepted", "")
    assert (found["print"]["decision"], found["print"]["reason"], found["print"]["frames"]) == ("refused", "flat", "3")
    assert float(found["print"]["gate_relief"]) < 2


def test_a_recording_without_a_session_is_no_response_and_nobodys_acceptance_or_refusal(whole: Path) -> None:
    found = decisions(whole)
    expected = {
        "wordless": "no_code", "cut": "cut_short", "noise": "damaged", "empty": "damaged", "screen": "no_face",
    }  # fmt: skip
    for name, reason in expected.items():
        assert (found[name]["decision"], found[name]["reason"]) == ("non_response", reason), name
    report = json.loads((whole / "report.json").read_text())
    assert report["non_response"] == 5
    assert report["non_response_by_reason"] == {"damaged": 2, "no_face": 1, "no_code": 1, "cut_short": 1}
    assert (report["bona_fide"]["presented"], report["bona_fide"]["people"]) == (3, 1)
    assert (report["bona_fide"]["rejected"], report["bona_fide"]["bpcer"]) == (0, 0.0)
    its = report["species"]["flat_print"]
    assert (its["presented"], its["non_response"], its["pairs"], its["accepted"]) == (4, 2, 2, 0)
    assert report["species"]["lcd_replay"]["apcer"] is None


def test_what_follows_the_decision_is_not_looked_at(whole: Path) -> None:
    assert decisions(whole)["cut late"]["decision"] == "refused"


def test_an_impossible_lens_is_a_damaged_recording_not_a_petabyte(recordings: Path, tmp_path: Path) -> None:
    reader = RecordingReader(recordings / "anna.mcap")
    frame = reader.next_frame()
    assert frame is not None
    path = tmp_path / "lens.mcap"
    with RecordingWriter(path, "simulated") as writer:
        writer.event("code", 1, levels=(1.0,) * 9)
        writer.write(replace(frame, intrinsics=msgspec.structs.replace(frame.intrinsics, fx=1e-9)))
    run(written(tmp_path, tmp_path, lens=LISTED["anna"]), tmp_path / "out")
    found = decisions(tmp_path / "out")["lens"]
    assert (found["decision"], found["reason"]) == ("non_response", "damaged")


def test_the_worst_species_is_the_headline_and_nothing_is_pooled(whole: Path) -> None:
    report = json.loads((whole / "report.json").read_text())
    assert report["headline"]["species"] == "flat_print"
    assert report["headline"]["without_a_response"] == ["lcd_replay"]
    assert "apcer" not in report
    assert not keys(report) & {"acer", "hter", "accuracy", "eer", "average", "pooled", "total_apcer"}
    assert report["simulated"] is True
    for name in ("report.md", "det.png"):
        assert (whole / name).stat().st_size > 500
    page = (whole / "report.md").read_text()
    assert "SIMULATED" in page.splitlines()[0]
    assert "fewer than 100 people" in page
    assert not (whole / "notes").exists()


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_a_policy_that_asks_for_motion_is_counted_statically_and_says_so(recordings: Path, tmp_path: Path) -> None:
    manifest = written(tmp_path, recordings, print=LISTED["print"])
    report = run(manifest, tmp_path / "out", profile="payment")
    assert "a terminal asks for motion besides" in report["decision"]
    page = (tmp_path / "out" / "report.md").read_text()
    assert "STATIC" in page.splitlines()[0]
    assert "cannot be asked for any" in page


def test_a_copy_and_a_contradiction_are_doubts_at_the_head(recordings: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.mcap").write_bytes((recordings / "print.mcap").read_bytes())
    manifest = written(tmp_path, tmp_path, one="attack,flat_print,anna,1,A,", two="bona_fide,,bo,,,")
    report = run(manifest, tmp_path / "out")
    copied, listed = report["doubts"]
    assert "two.mcap is a copy of" in copied
    assert "two.mcap is listed as bona_fide; its own ground truth says flat_print_toner" in listed
    page = (tmp_path / "out" / "report.md").read_text()
    assert page.index("byte for byte") < page.index("## Worst species")


def test_a_run_that_was_killed_goes_on_to_the_same_report(
    recordings: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    judge = presentation_run.judge_recording

    def dying(path: Path, *rest: Any) -> Told:
        seen.append(path.stem)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return judge(path, *rest)

    monkeypatch.setattr(presentation_run, "judge_recording", dying)
    out = tmp_path / "out"
    arguments = ["--manifest", str(recordings / "all.csv"), "--profile", "door", "--report", str(out)]
    result = CliRunner().invoke(evaluate, ["presentation", *arguments])
    assert result.exit_code != 0
    assert not (out / "report.json").exists()
    assert len(list((out / "notes").iterdir())) == 2
    report = run(recordings / "all.csv", out)
    assert seen.count("anna") == 1
    assert len(seen) == len(LISTED) + 1
    first = json.loads((whole / "report.json").read_text())
    for told in (report, first):
        for measured in ("time_to_decision", "cpu_ms_per_frame"):
            told.pop(measured)
    assert report == first
    assert timeless(decisions(out)) == timeless(decisions(whole))
    assert "there is a report already" in refused(recordings / "all.csv", out)


def timeless(rows: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    return {name: {key: value for key, value in row.items() if key != "cpu_ms"} for name, row in rows.items()}


def test_other_bytes_or_another_policy_are_judged_anew(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []

    def counted(path: Path, sha256: str, *rest: Any) -> Told:
        judged.append(sha256)
        return Told(sha256, Judged("refused", "flat"))

    monkeypatch.setattr(presentation_run, "judge_recording", counted)
    monkeypatch.setattr("hil.evaluate.presentation_commands.forget", lambda notes: None)
    path = tmp_path / "x.mcap"
    manifest = written(tmp_path, tmp_path, x=LISTED["print"]) if path.write_bytes(b"one") else None
    assert manifest is not None
    out = tmp_path / "out"

    def again(profile: str = "door") -> int:
        (out / "report.json").unlink(missing_ok=True)
        run(manifest, out, profile=profile)
        return len(judged)

    assert [again(), again(), again("payment"), again()] == [1, 1, 2, 2]
    path.write_bytes(b"other")
    assert again() == 3
    assert judged[-1] == hashlib.sha256(b"other").hexdigest()


def test_a_note_that_is_none_is_refused_by_name(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.evaluate.presentation_commands.forget", lambda notes: None)
    manifest = written(tmp_path, recordings, noise=LISTED["noise"])
    out = tmp_path / "out"
    run(manifest, out)
    (out / "report.json").unlink()
    (note,) = (out / "notes").iterdir()
    note.write_text('{"sha256": 3}')
    assert f"{note.name}: not a note" in refused(manifest, out)


def test_wrong_lists_and_profiles_are_refused_by_name(recordings: Path, tmp_path: Path) -> None:
    assert "must be one of demo, door, payment" in refused(recordings / "all.csv", tmp_path / "a", profile="rig")
    (tmp_path / "list.csv").write_text("path,label\n")
    assert "line 1: the header" in refused(tmp_path / "list.csv", tmp_path / "b")
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_a_plan_says_what_a_claim_takes_and_what_a_list_can_claim(recordings: Path) -> None:
    result = CliRunner().invoke(evaluate, ["plan", "--manifest", str(recordings / "all.csv")])
    assert result.exit_code == 0, result.output
    for trials in ("19", "42", "99", "299"):
        assert f" {trials} " in result.output
    assert "63.16" in result.output  # three people, four prints are 52.71
    assert "52.72" in result.output
    assert CliRunner().invoke(evaluate, ["plan", "--apcer", "1.5"]).exit_code == 2
