"""The list of presentations: strict, with line and column in its errors, and one trial is one trial."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.evaluate import presentation_manifest as module
from hil.evaluate.errors import EvaluateError
from hil.evaluate.presentation_manifest import Presentation, read_manifest

HEAD = "path,label,species,subject,instrument,level\n"
WITH_GROUPS = "path,label,species,subject,instrument,level,groups\n"
GOOD = "a.mcap,attack,print,anna,p1,A\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mcap", "b.mcap"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    return tmp_path


def read(folder: Path, text: str | bytes) -> list[Presentation]:
    path = folder / "manifest.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_manifest(path)


def test_a_list_is_read_with_groups(folder: Path) -> None:
    attack, living = read(
        folder, WITH_GROUPS + "a.mcap,attack,print,anna,p1,A,\nb.mcap,bona_fide,,bo,,,skin=VI;age=8\n"
    )
    assert (attack.label, attack.species, attack.pair, attack.level) == ("attack", "print", ("anna", "p1"), "A")
    assert (living.label, living.subject, living.groups) == ("bona_fide", "bo", {"skin": "VI", "age": "8"})
    assert living.path == (folder / "b.mcap").resolve()


def test_a_recording_elsewhere_is_named_by_its_absolute_path(folder: Path) -> None:
    inner = folder / "sub" / "manifest.csv"
    inner.write_text(HEAD + f"{folder / 'a.mcap'},attack,print,anna,p1,\n")
    assert read_manifest(inner)[0].path == (folder / "a.mcap").resolve()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the header is path,label"),
        ("path,label,subject,species,instrument,level\n", "in this order"),
        (HEAD.replace("\n", ",colour\n"), "line 1"),
        (HEAD.replace("path", "Path"), "line 1"),
        (HEAD, "no presentations"),
        (HEAD + "a.mcap,attack\n", "line 2: 2 fields"),
        (HEAD + GOOD + "b.mcap,spoof,print,anna,p1,A\n", "line 3: label: 'spoof'"),
        (HEAD + "a.mcap,Bona_Fide,,anna,,\n", "line 2: label"),
        (HEAD + "a.mcap,attack,,anna,p1,A\n", "line 2: species: ''"),
        (HEAD + "a.mcap,attack,../x,anna,p1,A\n", "line 2: species"),
        (HEAD + "a.mcap,attack,bona_fide,anna,p1,A\n", "line 2: species"),
        (HEAD + "a.mcap,attack,print,,p1,A\n", "line 2: subject: is empty"),
        (HEAD + "a.mcap,attack,print,anna,,A\n", "line 2: instrument: is empty"),
        (HEAD + "a.mcap,attack,print,anna,p1,D\n", "line 2: level: 'D'"),
        (HEAD + "a.mcap,bona_fide,print,anna,,\n", "line 2: species: 'print', must be empty"),
        (HEAD + "a.mcap,bona_fide,,anna,p1,\n", "line 2: instrument: .* must be empty"),
        (HEAD + "a.mcap,bona_fide,,anna,,A\n", "line 2: level: .* must be empty"),
        (HEAD + "c.mcap,attack,print,anna,p1,A\n", "line 2: path: 'c.mcap' is not there"),
        (HEAD + ",attack,print,anna,p1,A\n", "line 2: path: is empty"),
        (HEAD + "sub,attack,print,anna,p1,A\n", "line 2: path: 'sub' is not a file"),
        (HEAD + "/dev/zero,attack,print,anna,p1,A\n", "line 2: path: .* is not a file"),
        (HEAD + "sub/../a.mcap,attack,print,anna,p1,A\n", r"line 2: path: .* has \.\."),
        (HEAD + GOOD + "./a.mcap,attack,print,bo,p1,A\n", "line 3: path: the recording of line 2 again"),
        (HEAD + GOOD + "b.mcap,attack,print,Anna,p2,A\n", "line 3: subject: 'Anna' was 'anna' before"),
        (HEAD + GOOD + "b.mcap,attack,print,ａnna,p2,A\n", "line 3: subject"),
        (HEAD + GOOD + "b.mcap,attack,print,anna,P1,A\n", "line 3: instrument"),
        (HEAD + "a.mcap,attack,print, anna,p1,A\n", "line 2: subject: .* has spaces"),
        (HEAD + "a.mcap,attack,print,an\x1b[2Jna,p1,A\n", "line 2: subject .* not printable"),
        (HEAD + "a.mcap,attack,print," + "y" * 65 + ",p1,A\n", "line 2: subject: longer than 64"),
        (HEAD + "a.mcap,attack,print," + "y" * 600 + ",p1,A\n", "line 2: subject is longer than 512"),
        (HEAD + 'a.mcap,attack,print,"anna,p1,A\n', "not a CSV file"),
        (HEAD.encode() + b"\xff\xfe,attack,print,anna,p1,A\n", "not a CSV file"),
        (WITH_GROUPS + "a.mcap,bona_fide,,anna,,,skin\n", "line 2: groups: 'skin'"),
        (WITH_GROUPS + "a.mcap,bona_fide,,anna,,,skin=I;skin=VI\n", "line 2: groups: 'skin' twice"),
        (WITH_GROUPS + "a.mcap,bona_fide,,anna,,," + ";".join(f"g{n}=1" for n in range(9)) + "\n", "more than 8"),
        (WITH_GROUPS + "a.mcap,attack,print,anna,p1,A,skin=I\n", "line 2: groups: must be empty"),
    ],
)  # fmt: skip
def test_a_wrong_list_is_refused_by_line_and_column(folder: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(EvaluateError, match=said):
        read(folder, text)


def test_a_link_leads_nowhere_else(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "x.mcap"
    outside.touch()
    (folder / "link.mcap").symlink_to(outside)
    with pytest.raises(EvaluateError, match=r"line 2: path: .* leads out"):
        read(folder, HEAD + "link.mcap,attack,print,anna,p1,A\n")
    (folder / "other.mcap").symlink_to(folder / "a.mcap")
    with pytest.raises(EvaluateError, match="line 3: path: the recording of line 2 again"):
        read(folder, HEAD + GOOD + "other.mcap,attack,print,bo,p1,A\n")
    (folder / "loop.mcap").symlink_to(folder / "loop.mcap")
    with pytest.raises(EvaluateError, match="not there"):
        read(folder, HEAD + "loop.mcap,attack,print,anna,p1,A\n")


def test_a_huge_list_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 1)
    with pytest.raises(EvaluateError, match="more than 1 presentations"):
        read(folder, HEAD + GOOD + "b.mcap,attack,print,anna,p2,A\n")
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(EvaluateError, match="larger than 10 bytes"):
        read(folder, HEAD + GOOD)


@given(st.lists(st.lists(st.text(max_size=12), min_size=6, max_size=7), max_size=4), st.booleans())
def test_any_fields_are_a_list_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], groups: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    text = (WITH_GROUPS if groups else HEAD) + "".join(",".join(row) + "\n" for row in rows)
    with contextlib.suppress(EvaluateError):
        assert read(folder, text.encode("utf-8", "replace"))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_an_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    with contextlib.suppress(EvaluateError):
        assert read(tmp_path_factory.getbasetemp(), HEAD.encode() + raw)
