"""Files that are not what they say: a clear error with the file's name, never a crash or a black picture."""

import contextlib
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera import Intrinsics
from hil.evaluate import meshes
from hil.evaluate.errors import EvaluateError
from hil.evaluate.lens import read_intrinsics
from hil.evaluate.pictures import read_depth, read_grey

LENS = Intrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)


def png(width: int, height: int) -> bytes:
    """A small file that claims a picture of that size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not a PNG"),
        (b"GIF89a" + bytes(50), "not a PNG"),
        (png(60_000, 60_000), "60000 x 60000 pixels"),
        (png(8, 8), "8 x 8 pixels"),
        (png(64, 48), "a damaged picture"),
        (b"\xff\xd8\xff", "not a PNG"),
        (b"P5\n99999 99999\n255\n", "pixels; must be"),
        (b"P5\nmany many\n", "not a PNG"),
        (b"BM" + bytes(10), "not a PNG"),
    ],
)
def test_a_broken_picture_is_named(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "x_1.png"
    path.write_bytes(raw)
    with pytest.raises(EvaluateError, match=said) as caught:
        read_grey(path)
    assert "x_1.png" in str(caught.value)


@given(st.binary(max_size=200), st.sampled_from([b"", b"P5\n40 40\n255\n", b"\xff\xd8\xff\xc0", b"BM", png(40, 40)]))
def test_any_bytes_are_a_picture_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.png"
    path.write_bytes(start + raw)
    with contextlib.suppress(EvaluateError):
        assert read_grey(path).ndim == 2


@pytest.mark.parametrize("kind", [".png", ".jpg", ".bmp", ".pgm", ".ppm"])
def test_each_kind_of_picture_is_read_grey(tmp_path: Path, kind: str) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    path = tmp_path / f"x_1{kind}"
    cv2.imwrite(str(path), picture[..., 0] if kind == ".pgm" else picture)
    assert read_grey(path).shape == (48, 64)


def test_depth_of_the_wrong_kind_or_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x_1.png"
    for picture, said in (
        (np.zeros((48, 64), np.uint8), "16 bit"),
        (np.zeros((48, 64, 3), np.uint16), "16 bit"),
        (np.zeros((48, 32), np.uint16), "the intrinsics are for 64 x 48"),
    ):
        cv2.imwrite(str(path), picture)
        with pytest.raises(EvaluateError, match=said):
            read_depth(path, LENS)
    with pytest.raises(EvaluateError, match="16-bit PNG"):
        read_depth(tmp_path / "x.tiff", LENS)


def test_depth_of_0_and_of_farther_than_any_face_is_unknown(tmp_path: Path) -> None:
    picture = np.full((48, 64), 500, np.uint16)
    picture[0], picture[1] = 0, 60_000
    cv2.imwrite(str(tmp_path / "x_1.png"), picture)
    depth_mm = read_depth(tmp_path / "x_1.png", LENS)
    assert np.isnan(depth_mm[:2]).all()
    assert (depth_mm[2:] == 500).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("width=64", "height"),
        ("width=64\nheight=48\nfx=1.0\nfy=60\ncx=1\ncy=1", "fx is 1.0"),
        ("width=64\nheight=48\nfx=nan\nfy=60\ncx=1\ncy=1", "fx is nan"),
        ("width=64\nheight=48\nfx=60\nfy=60\ncx=100\ncy=1", "cx is 100"),
        ("width=64\nheight=48\nfx=60\nfy=60\ncx=1\ncy=1\nk1=0", "k1"),
        ("width=", "lens.toml"),
    ],
)
def test_intrinsics_are_strict(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "lens.toml").write_text(text)
    with pytest.raises(EvaluateError, match=said):
        read_intrinsics(tmp_path / "lens.toml")


CUBE = np.array([[x, y, z] for x in (0, 0.2) for y in (0, 0.2) for z in (0, 0.2)], np.float32)
FACES = np.array([[0, 1, 2], [1, 3, 2], [4, 6, 5]])


@pytest.mark.parametrize(
    ("vertices", "faces", "said"),
    [
        (np.where(CUBE > 0, np.nan, CUBE), FACES, "not a finite number"),
        (np.where(CUBE > 0, np.inf, CUBE), FACES, "not a finite number"),
        (CUBE, FACES + 6, "names a vertex that is not there"),
        (CUBE, FACES - 1, "names a vertex that is not there"),
        (CUBE * 1000, FACES, "not a head in metres"),
        (CUBE[:, :2], FACES, "must be"),
        (CUBE, FACES.astype(float), "must be"),
        (CUBE, FACES[:0], "must be"),
        (CUBE.astype(object), FACES, "not an .npz"),
    ],
)
def test_a_mesh_that_is_none_is_refused(tmp_path: Path, vertices: np.ndarray, faces: np.ndarray, said: str) -> None:
    np.savez(tmp_path / "x_1.npz", vertices_m=vertices, faces=faces, allow_pickle=True)
    with pytest.raises(EvaluateError, match=said):
        meshes.load(tmp_path / "x_1.npz")


def test_a_mesh_that_is_no_archive_or_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x_1.npz"
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(EvaluateError, match=r"not an \.npz"):
        meshes.load(path)
    np.savez_compressed(path, vertices_m=np.zeros((40_000, 3)), faces=FACES)
    monkeypatch.setattr(meshes, "MAX_BYTES", 100_000)
    with pytest.raises(EvaluateError, match="unpacks to more"):
        meshes.load(path)
    (tmp_path / "x_1.obj").write_text("v 0 0 nan\nf 1 1 1\n")
    with pytest.raises(EvaluateError, match=r"x_1\.obj"):
        meshes.load(tmp_path / "x_1.obj")


def test_a_mesh_without_a_face_is_refused(tmp_path: Path, models_dir: Path) -> None:
    np.savez(tmp_path / "x_1.npz", vertices_m=CUBE, faces=FACES)
    with pytest.raises(EvaluateError, match="no face is found"):
        meshes.load(tmp_path / "x_1.npz")
