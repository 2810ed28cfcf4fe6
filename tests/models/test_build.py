"""Building gives the manifest's bytes, every time, and says what is missing."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from drivers.npu.onnx import open_network
from models import build
from models.fold import fold
from models.manifest import Entry, ModelError, load_manifest
from models.quantise import Ranges, quantise


@pytest.fixture(scope="module")
def built_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second build, in a process of its own."""
    out = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-m", "models.build", "--out", str(out)], check=True, timeout=240)
    return out


def test_two_builds_in_two_processes_are_the_same_bytes(built_elsewhere: Path) -> None:
    for name, entry in load_manifest().items():
        assert build.build(entry) == (built_elsewhere / entry.built.file).read_bytes(), name


def test_what_is_there_with_the_right_hash_is_left_alone(built_elsewhere: Path) -> None:
    entry = load_manifest()["yunet"]
    assert build.install(entry, built_elsewhere) is False
    (built_elsewhere / entry.built.file).write_bytes(b"damaged")
    assert build.install(entry, built_elsewhere) is True
    assert build.install(entry, built_elsewhere) is False


def _with_source(entry: Entry, **changes: str) -> Entry:
    return msgspec.structs.replace(entry, source=msgspec.structs.replace(entry.source, **changes))


def test_a_missing_package_says_what_to_install(tmp_path: Path) -> None:
    entry = _with_source(load_manifest()["yunet"], package="nowhere", file="nowhere_at_all/x.onnx")
    with pytest.raises(ModelError, match=r"package nowhere is not installed; .*pip install --no-deps nowhere==1\.1\.1"):
        build.install(entry, tmp_path)


def test_other_weights_under_the_same_name_are_refused(tmp_path: Path) -> None:
    entry = _with_source(load_manifest()["yunet"], sha256="0" * 64)
    with pytest.raises(ModelError, match="is not the file in the manifest"):
        build.install(entry, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_build_that_gives_other_bytes_installs_nothing(tmp_path: Path) -> None:
    entry = load_manifest()["yunet"]
    entry = msgspec.structs.replace(entry, built=msgspec.structs.replace(entry.built, sha256="0" * 64))
    with pytest.raises(ModelError, match="as built here"):
        build.install(entry, tmp_path)
    assert not list(tmp_path.iterdir())


def test_int8_sface_agrees_with_its_float_parent(built_elsewhere: Path) -> None:
    entry = load_manifest()["sface"]
    parent = open_network(fold(build.read_source(entry), tuple(entry.input_shape)).SerializeToString())
    child = open_network((built_elsewhere / entry.built.file).read_bytes())
    y, x = np.mgrid[0:112, 0:112] / 111
    face = (60 + 120 * np.exp(-4 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))).astype(np.float32)
    item = np.ascontiguousarray(np.broadcast_to(face, (1, 3, 112, 112)))
    one, other = parent.run(item)[0][0], child.run(item)[0][0]
    assert float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)) > 0.97


def test_ranges_that_lack_a_tensor_name_it() -> None:
    entry = load_manifest()["sface"]
    model = fold(build.read_source(entry), tuple(entry.input_shape))
    with pytest.raises(ValueError, match=r"ranges of sface lack .*models\.train\.ranges"):
        quantise(model, Ranges(network="sface", measured_on="nothing", images=1, tensors={}), 5)
