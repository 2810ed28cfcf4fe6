"""The list of pairs: strict, with lines in its errors, and never out of the folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.evaluate import pairs as module
from hil.evaluate.errors import EvaluateError
from hil.evaluate.pairs import inside, person_of, read_pairs


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "pairs.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_pairs_are_read_with_people_from_names_and_groups(tmp_path: Path) -> None:
    text = "a,b,same,group\nanna_1.png,anna_2.png,1,x\nanna_1.png,Bo/1.png,0,\n"
    one, other = read_pairs(written(tmp_path, text))
    assert (one.same, one.person_a, one.group) == (True, "anna", "x")
    assert (other.same, other.person_b, other.group) == (False, "Bo", "")


def test_a_column_may_say_who_it_is(tmp_path: Path) -> None:
    (pair,) = read_pairs(written(tmp_path, "same,b,a,person_a,person_b\n1,2.png,1.png,anna,anna\n"))
    assert pair.same


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the header"),
        ("a,b\n", r"missing: \['same'\]"),
        ("a,b,same,colour\n", "unknown: .*colour"),
        ("a,b,same,same\n", "each once"),
        ("a,b,same,person_a\n", "person_b"),
        ("a,b,same\n", "no pairs"),
        ("a,b,same\nx_1.png,x_2.png\n", "line 2: 2 fields"),
        ("a,b,same\nx_1.png,x_2.png,1\nx_1.png,,0\n", "line 3: b is empty"),
        ("a,b,same\nx_1.png,x_2.png,yes\n", "line 2: same is 'yes'"),
        ("a,b,same\nx_1.png,y_2.png,1\n", "line 2: same is 1, but the sides are 'x' and 'y'"),
        ("a,b,same\nx_1.png,x_2.png,0\n", "line 2: same is 0"),
        ("a,b,same\nx_1.png,x_1.png,1\n", "line 2: a picture beside itself"),
        ("a,b,same\nx_1.png,./x_1.png,1\n", "line 2: a picture beside itself"),
        ("a,b,same\n../x_1.png,x_2.png,1\n", "line 2: a: .* leaves the folder"),
        ("a,b,same\nx_1.png,/etc/passwd,0\n", "line 2: b: .* leaves the folder"),
        ("a,b,same\nx_1.png,c:\\x,0\n", "leaves the folder"),
        ("a,b,same\nx_1.png,y\x1b[2J.png,0\n", "not printable"),
        ("a,b,same\nx_1.png," + "y" * 600 + ",0\n", "longer than"),
        ('a,b,same\nx_1.png,"y_1.png,0\n', "not a CSV file"),
        (b"a,b,same\n\xff\xfe,y,0\n", "not a CSV file"),
    ],
)
def test_a_wrong_list_is_refused_by_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(EvaluateError, match=said):
        read_pairs(written(tmp_path, text))


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match="cannot be read"):
        read_pairs(tmp_path / "none.csv")


def test_endless_lists_and_groups_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"x_1.png,y_{row}.png,0,g{row}\n" for row in range(80))
    with pytest.raises(EvaluateError, match="line 66: more than 64 groups"):
        read_pairs(written(tmp_path, "a,b,same,group\n" + rows))
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    with pytest.raises(EvaluateError, match="line 12: more than 10 pairs"):
        read_pairs(written(tmp_path, "a,b,same,group\n" + rows))
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(EvaluateError, match="larger than"):
        read_pairs(written(tmp_path, "a,b,same,group\n" + rows))


@given(st.binary(max_size=300))
def test_any_bytes_are_pairs_or_an_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"a,b,same\n" + raw)
    try:
        for pair in read_pairs(path):
            assert ".." not in Path(pair.a).parts
    except EvaluateError as error:
        assert str(path) in str(error)  # noqa: PT017


def test_who_is_on_a_file_follows_from_its_name() -> None:
    assert [person_of(name) for name in ("anna_1.png", "anna_b_1.png", "anna.png", "Anna/left_1.png", "x/y/1.png")] == [
        "anna", "anna_b", "anna", "Anna", "x/y",
    ]  # fmt: skip


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.png").write_bytes(b"")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "images" / "loop.png").symlink_to(tmp_path / "images" / "loop.png")
    for name in ("link.png", "loop.png", "none.png", "."):
        with pytest.raises(EvaluateError, match=r"is no file inside|is not there"):
            inside(tmp_path / "images", name)
